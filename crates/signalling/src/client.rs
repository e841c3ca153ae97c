//! Opens sockets: in the process's one TLS configuration, each with an eye on who is in the room.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use livekit_net::{Header, TransportError, WsClient, WsConnectResult};
use tokio_tungstenite::Connector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use url::Url;

use crate::attended::Attended;
use crate::socket::Socket;

/// One for the process.
pub(crate) struct Client {
    tls: Arc<rustls::ClientConfig>,
    /// The SDK's own client, which knows how to go through a proxy.
    through_proxies: Option<Arc<dyn WsClient>>,
}

impl Client {
    /// Reads the system's root certificates. Where there are none, `wss` cannot be reached; it is
    /// logged here.
    pub(crate) fn new(through_proxies: Option<Arc<dyn WsClient>>) -> Result<Self, rustls::Error> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = rustls::RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            tracing::warn!(
                problems = ?found.errors,
                "the system has no root certificates: no room can be joined over wss://; install \
                 the package ca-certificates or set SSL_CERT_FILE"
            );
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: Arc::new(tls),
            through_proxies,
        })
    }

    async fn open(&self, url: &Url, headers: &[Header]) -> Result<Socket, TransportError> {
        let tls = Connector::Rustls(Arc::clone(&self.tls));
        Socket::open(request(url, headers)?, tls).await
    }
}

#[async_trait]
impl WsClient for Client {
    async fn connect(
        &self,
        url: String,
        headers: Vec<Header>,
        timeout_ms: u64,
    ) -> Result<WsConnectResult, TransportError> {
        let parsed =
            Url::parse(&url).map_err(|error| TransportError::Connection(error.to_string()))?;
        if let Some(client) = self.through_proxies.as_ref().filter(|_| has_proxy(&parsed)) {
            let opened = client.connect(url, headers, timeout_ms).await?;
            return Ok(WsConnectResult {
                connection: Arc::new(Attended::new(opened.connection)),
            });
        }
        let limit = Duration::from_millis(timeout_ms);
        let socket = tokio::time::timeout(limit, self.open(&parsed, &headers))
            .await
            .map_err(|_| TransportError::Timeout)??;
        Ok(WsConnectResult {
            connection: Arc::new(Attended::new(Arc::new(socket))),
        })
    }
}

/// Whether the environment names a proxy for this address, by the names that the SDK looks at.
fn has_proxy(url: &Url) -> bool {
    let names = match url.scheme() {
        "wss" => ["HTTPS_PROXY", "https_proxy"],
        _ => ["HTTP_PROXY", "http_proxy"],
    };
    names
        .into_iter()
        .find_map(|name| env::var(name).ok())
        .is_some_and(|proxy| !proxy.is_empty())
}

fn request(url: &Url, headers: &[Header]) -> Result<Request, TransportError> {
    let mut request = url
        .as_str()
        .into_client_request()
        .map_err(|error| TransportError::Connection(error.to_string()))?;
    for header in headers {
        let name: HeaderName = header
            .name
            .parse()
            .map_err(|_| TransportError::Other("a header's name is none".to_owned()))?;
        let mut value = HeaderValue::from_str(&header.value)
            .map_err(|_| TransportError::Other("a header's value is none".to_owned()))?;
        // One of them is the way into the room.
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinSet;
    use tokio_tungstenite::tungstenite::Message;

    use super::*;
    use crate::socket::READ_BUFFER_BYTES;

    const LIMIT_MS: u64 = 10_000;

    /// Where one connection is taken, by this.
    async fn server<F, T>(
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) -> (String, JoinSet<T>)
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/rtc?x=1", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream).await
        });
        (url, tasks)
    }

    async fn connect(url: String) -> Result<WsConnectResult, TransportError> {
        let bearer = Header {
            name: "Authorization".to_owned(),
            value: "Bearer me".to_owned(),
        };
        let client = Client::new(None).unwrap();
        client.connect(url, vec![bearer], LIMIT_MS).await
    }

    #[tokio::test]
    async fn frames_of_any_size_go_both_ways_and_pings_are_answered() {
        let (url, mut server) = server(async |stream| {
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            socket
                .send(Message::Ping("are you there".into()))
                .await
                .unwrap();
            let mut pongs = 0;
            while let Some(Ok(message)) = socket.next().await {
                match message {
                    Message::Pong(_) => pongs += 1,
                    Message::Binary(_) => socket.send(message).await.unwrap(),
                    _ => {}
                }
            }
            pongs
        })
        .await;
        let connection = connect(url).await.unwrap().connection;
        for length in [0, 1, READ_BUFFER_BYTES, 200 * READ_BUFFER_BYTES, 7] {
            let frame = vec![7; length];
            connection.send(frame.clone()).await.unwrap();
            assert_eq!(connection.recv().await.unwrap(), Some(frame));
        }
        connection.close().await;
        assert_eq!(connection.recv().await.unwrap(), None);
        assert_eq!(server.join_next().await.unwrap().unwrap(), 1);
    }

    #[tokio::test]
    async fn a_refusal_is_told_by_its_status() {
        let (url, mut server) = server(async |mut stream| {
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            let refusal = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(refusal).await.unwrap();
            String::from_utf8_lossy(&request[..length]).to_lowercase()
        })
        .await;
        let refused = connect(url).await.err();
        assert!(
            matches!(refused, Some(TransportError::Http { status: 404 })),
            "{refused:?}"
        );
        let request = server.join_next().await.unwrap().unwrap();
        assert!(request.starts_with("get /rtc?x=1 "), "{request}");
        assert!(
            request.contains("authorization: bearer me\r\n"),
            "{request}"
        );
    }

    #[tokio::test]
    async fn a_server_that_goes_without_a_word_has_closed() {
        let (url, _server) = server(async |stream| {
            tokio_tungstenite::accept_async(stream).await.unwrap();
        })
        .await;
        let connection = connect(url).await.unwrap().connection;
        assert_eq!(connection.recv().await.unwrap(), None);
    }

    #[test]
    fn the_way_into_the_room_is_not_shown() {
        let url = Url::parse("ws://a.example/rtc").unwrap();
        let bearer = Header {
            name: "Authorization".to_owned(),
            value: "Bearer secret".to_owned(),
        };
        let request = request(&url, &[bearer]).unwrap();
        assert!(!format!("{request:?}").contains("secret"));
    }
}
