// A backend for POST /call-config. Standard library only.
//
//	CALL_CONFIG_SECRETS=new,old PORT=8090 go run backend.go
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// How old or how far ahead a timestamp may be. Older ones are replays.
	window = 300 * time.Second
	// What is read at most, in bytes. A request has some 1,000, and 600,000 at the very most.
	maxBody = 1 << 20
)

// The secret in use and, while it is being exchanged, the one before or after it.
var secrets = strings.Split(os.Getenv("CALL_CONFIG_SECRETS"), ",")

type config struct {
	SystemPrompt string  `json:"systemPrompt,omitempty"`
	StartMessage string  `json:"startMessage,omitempty"`
	Action       *action `json:"action,omitempty"`
}

type action struct {
	Type string `json:"type"`
	To   string `json:"to,omitempty"`
}

// By called number. Look yours up in your database.
var configs = map[string]config{
	"+15550001111": {
		SystemPrompt: "You answer the phone of Acme, a bicycle shop. Be brief.",
		StartMessage: "Acme bicycles, hello!",
	},
	"+15550002222": {Action: &action{Type: "transfer", To: "+15551234567"}},
}

func isOurs(headers http.Header, body []byte) bool {
	timestamp := headers.Get("Trunkline-Timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return false
	}
	if age := time.Since(time.Unix(seconds, 0)); age > window || age < -window {
		return false
	}
	given := []byte(headers.Get("Trunkline-Signature"))
	matches := false
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(timestamp + "."))
		mac.Write(body)
		wanted := []byte("v1=" + hex.EncodeToString(mac.Sum(nil)))
		matches = hmac.Equal(given, wanted) || matches
	}
	return matches
}

func callConfig(response http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(response, request.Body, maxBody))
	if err != nil {
		http.Error(response, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	if !isOurs(request.Header, body) {
		http.Error(response, "the signature is wrong or too old", http.StatusUnauthorized)
		return
	}
	var call struct {
		CalledPhone string `json:"calledPhone"`
	}
	if err := json.Unmarshal(body, &call); err != nil {
		http.Error(response, "no JSON", http.StatusBadRequest)
		return
	}
	response.Header().Set("Content-Type", "application/json")
	// A number that is not known has the tenant's default configuration.
	json.NewEncoder(response).Encode(configs[call.CalledPhone])
}

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8090"
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /call-config", callConfig)
	fmt.Printf("http://%s/call-config\n", listener.Addr())
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 60 * time.Second}
	log.Fatal(server.Serve(listener))
}
