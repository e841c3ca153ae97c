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
