"""A backend for POST /call-config. Standard library only.

    CALL_CONFIG_SECRETS=new,old PORT=8090 python3 backend.py
"""

import hashlib
import hmac
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# The secret in use and, while it is being exchanged, the one before or after it.
SECRETS = [s.encode() for s in os.environ["CALL_CONFIG_SECRETS"].split(",") if s]
# How old or how far ahead a timestamp may be, in seconds. Older ones are replays.
WINDOW_S = 300
# What is read at most, in bytes. A request has some 1,000, and 600,000 at the very most.
MAX_BODY = 1 << 20

# By called number. Look yours up in your database.
CONFIGS = {
    "+15550001111": {
        "systemPrompt": "You answer the phone of Acme, a bicycle shop. Be brief.",
        "startMessage": "Acme bicycles, hello!",
    },
    "+15550002222": {"action": {"type": "transfer", "to": "+15551234567"}},
}


def is_ours(headers, body):
    timestamp = headers.get("Trunkline-Timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        return False
    if abs(time.time() - int(timestamp)) > WINDOW_S:
        return False
    given = headers.get("Trunkline-Signature", "").encode()
    signed = timestamp.encode() + b"." + body
    tags = [hmac.new(secret, signed, hashlib.sha256).hexdigest() for secret in SECRETS]
    # All are compared, in the same time whatever they are.
    return any([hmac.compare_digest(f"v1={tag}".encode(), given) for tag in tags])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A client that says nothing is not waited for for ever.
    timeout = 60

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY:
            self.close_connection = True
            return self.answer(413, {"error": "too large"})
        body = self.rfile.read(int(length))
        if self.path != "/call-config":
            return self.answer(404, {"error": "not found"})
        if not is_ours(self.headers, body):
            return self.answer(401, {"error": "the signature is wrong or too old"})
        # A number that is not known has the tenant's default configuration.
        self.answer(200, CONFIGS.get(json.loads(body)["calledPhone"], {}))

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8090"))), Handler)
print(f"http://127.0.0.1:{server.server_address[1]}/call-config", flush=True)
server.serve_forever()
