//! The worker's socket: URL, proof of identity, TLS, and the opening handshake
//! under one deadline.

use std::sync::Arc;
use std::time::Duration;

use livekit_api::access_token::{AccessToken, AccessTokenError, VideoGrants};
use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header, response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use trunkline_domain::LiveKitProject;
use url::Url;

use crate::protocol::MAX_FRAME_BYTES;

/// How long the proof of identity holds. It is looked at once, in the
/// handshake; the rest is for clocks that differ.
const TOKEN_TTL: Duration = Duration::from_secs(300);

/// The socket's read buffer. Messages have a few hundred bytes, and there is one
/// buffer for each of many idle projects (the library's default is 128 KiB).
const READ_BUFFER_BYTES: usize = 4096;

/// How much of a refusal's text is kept, in characters.
const MAX_ANSWER_CHARS: usize = 200;

/// An open worker socket.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens sockets. One for the process: the system's root certificates are read
/// and kept once. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    tls: Arc<rustls::ClientConfig>,
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The crypto library lacks what TLS asks for.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

impl Connector {
    /// Reads the system's root certificates.
    ///
    /// # Errors
    /// When TLS cannot be set up. That there are no certificates is a warning:
    /// projects with `ws://` and `http://` do without.
    pub fn new() -> Result<Self, ConnectorError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = rustls::RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            tracing::warn!(
                problems = ?found.errors,
                "the system has no root certificates: projects with wss:// or https:// cannot be \
                 reached; install the package ca-certificates or set SSL_CERT_FILE"
            );
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(tls) })
    }

    /// Opens the worker socket of a project.
    pub(crate) async fn connect(
        &self,
        project: &LiveKitProject,
        deadline: Duration,
    ) -> Result<Socket, ConnectError> {
        let url = agent_url(&project.url);
        let mut request = url
            .as_str()
            .into_client_request()
            .map_err(|e| ConnectError::Socket(Box::new(e)))?;
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, bearer(project)?);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let tls = tokio_tungstenite::Connector::Rustls(Arc::clone(&self.tls));
        // Nagle's algorithm off: an answer to an offer must not wait for a packet to fill.
        let connecting = connect_async_tls_with_config(request, Some(config), true, Some(tls));
        match tokio::time::timeout(deadline, connecting).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(tungstenite::Error::Http(answer))) => Err(refusal(&answer)),
            Ok(Err(error)) => Err(ConnectError::Socket(Box::new(error))),
            Err(_) => Err(ConnectError::TimedOut { deadline }),
        }
    }
}

/// Why there is no socket. Each says what a person can do.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Retrying seldom helps before the row or the project's keys change.
    #[error(
        "the project refused the API key with status {status} ({answer}): check livekit_api_key \
         and livekit_api_secret of the tenant, and this machine's clock"
    )]
    Refused {
        /// 401 or 403.
        status: u16,
        /// The server's words, bounded.
        answer: String,
    },
    /// Something answers there, but no agent endpoint.
    #[error(
        "status {status} instead of a WebSocket ({answer}): check that livekit_url of the tenant \
         is the address of a LiveKit server"
    )]
    NotLiveKit {
        /// 2xx to 4xx.
        status: u16,
        /// The server's words, bounded.
        answer: String,
    },
    /// The server is there and cannot.
    #[error("the server is unavailable with status {status} ({answer})")]
    Unavailable {
        /// 429 or 5xx.
        status: u16,
        /// The server's words, bounded.
        answer: String,
    },
    /// Nothing within the deadline.
    #[error("no connection within {} ms: check livekit_url of the tenant, and the network", .deadline.as_millis())]
    TimedOut {
        /// The deadline.
        deadline: Duration,
    },
    /// Below HTTP.
    #[error("no connection to livekit_url of the tenant")]
    Socket(#[source] Box<tungstenite::Error>),
    /// The key cannot be used to sign.
    #[error("the API secret cannot sign: check livekit_api_secret of the tenant")]
    Token(#[from] AccessTokenError),
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Try again soon.
    Retry,
    /// Try again seldom: somebody has to change something.
    RetrySlowly,
}

impl ConnectError {
    /// What to do about it.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Refused { .. } | Self::Token(_) => Recovery::RetrySlowly,
            Self::NotLiveKit { .. }
            | Self::Unavailable { .. }
            | Self::TimedOut { .. }
            | Self::Socket(_) => Recovery::Retry,
        }
    }
}

impl ConnectError {
    /// For metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::NotLiveKit { .. } => "not_livekit",
            Self::Unavailable { .. } => "unavailable",
            Self::TimedOut { .. } => "timed_out",
            Self::Socket(_) => "unreachable",
            Self::Token(_) => "bad_secret",
        }
    }
}

fn refusal(answer: &response::Response<Option<Vec<u8>>>) -> ConnectError {
    let code = answer.status();
    let status = code.as_u16();
    let reason = code.canonical_reason().unwrap_or("no text").to_owned();
    match code {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ConnectError::Refused {
            status,
            answer: words(answer.body().as_deref()).unwrap_or(reason),
        },
        // What else answers there may be none of the reader's business.
        StatusCode::TOO_MANY_REQUESTS => ConnectError::Unavailable {
            status,
            answer: reason,
        },
        code if code.is_server_error() => ConnectError::Unavailable {
            status,
            answer: reason,
        },
        _ => ConnectError::NotLiveKit {
            status,
            answer: reason,
        },
    }
}

/// What the server says of its refusal.
fn words(body: Option<&[u8]>) -> Option<String> {
    let text = String::from_utf8_lossy(body?);
    let text: String = without_token(&text)
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_ANSWER_CHARS)
        .collect();
    (!text.is_empty()).then_some(text)
}

/// The server repeats the token that it refuses. Every JWT begins with `{"` in
/// base64, and holds neither blanks nor commas.
fn without_token(text: &str) -> String {
    const BEGIN: &str = "eyJ";
    const SHOWN: &str = "(our token)";
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, token)) = rest.split_once(BEGIN) {
        kept.push_str(before);
        kept.push_str(SHOWN);
        let in_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=');
        rest = token.trim_start_matches(in_token);
    }
    kept + rest
}

/// `<base>/agent`, as a WebSocket.
fn agent_url(base: &Url) -> Url {
    let mut url = base.clone();
    let scheme = match base.scheme() {
        "https" | "wss" => "wss",
        _ => "ws",
    };
    // All four are "special" schemes, between which a URL can be changed.
    let _ = url.set_scheme(scheme);
    let path = format!("{}/agent", base.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    url
}

fn bearer(project: &LiveKitProject) -> Result<HeaderValue, ConnectError> {
    let grants = VideoGrants {
        agent: true,
        ..Default::default()
    };
    let jwt = AccessToken::with_api_key(&project.api_key, project.api_secret.expose_secret())
        .with_ttl(TOKEN_TTL)
        .with_grants(grants)
        .to_jwt()?;
    let mut value = HeaderValue::from_str(&format!("Bearer {jwt}"))
        .map_err(|_| AccessTokenError::InvalidKeys)?;
    value.set_sensitive(true);
    Ok(value)
}

/// An error and what is behind it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Some libraries repeat the cause in their own text.
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use livekit_api::access_token::TokenVerifier;

    #[test]
    fn every_form_of_url_leads_to_the_agent_endpoint() {
        for (base, agent) in [
            ("ws://a.example:7880", "ws://a.example:7880/agent"),
            ("http://a.example:7880/", "ws://a.example:7880/agent"),
            ("wss://a.example", "wss://a.example/agent"),
            ("https://a.example/lk", "wss://a.example/lk/agent"),
            ("https://a.example/lk/?x=1#y", "wss://a.example/lk/agent"),
            ("https://[::1]:8443", "wss://[::1]:8443/agent"),
        ] {
            assert_eq!(agent_url(&Url::parse(base).unwrap()).as_str(), agent);
        }
    }

    #[test]
    fn the_bearer_proves_an_agent_and_is_not_shown() {
        let project = LiveKitProject {
            url: Url::parse("ws://a.example").unwrap(),
            api_key: "APIkey".into(),
            api_secret: "a-secret-of-some-length-for-hs256".into(),
        };
        let value = bearer(&project).unwrap();
        assert_eq!(format!("{value:?}"), "Sensitive");
        let token = value.to_str().unwrap().strip_prefix("Bearer ").unwrap();
        let claims = TokenVerifier::with_api_key("APIkey", "a-secret-of-some-length-for-hs256")
            .verify(token)
            .unwrap();
        assert!(claims.video.agent && !claims.video.room_join);
    }

    #[test]
    fn a_token_that_the_server_repeats_is_not_passed_on() {
        let response = response::Builder::new()
            .status(401)
            .body(Some(
                b"invalid token: eyJ0eXAi.eyJleHAi.DfJE-_Ux, error: wrong key".to_vec(),
            ))
            .unwrap();
        let text = refusal(&response).to_string();
        assert!(
            text.contains("(invalid token: (our token), error: wrong key)"),
            "{text}"
        );
    }

    #[test]
    fn a_refusal_is_told_apart_from_a_wrong_address_and_an_outage() {
        let answer = |status: u16| {
            let response = response::Builder::new()
                .status(status)
                .body(Some(b"no\r\nway".to_vec()))
                .unwrap();
            refusal(&response)
        };
        assert!(matches!(
            answer(401),
            ConnectError::Refused { status: 401, .. }
        ));
        assert_eq!(answer(403).recovery(), Recovery::RetrySlowly);
        assert!(matches!(answer(404), ConnectError::NotLiveKit { .. }));
        assert!(matches!(answer(429), ConnectError::Unavailable { .. }));
        let text = answer(503).to_string();
        assert_eq!(
            text,
            "the server is unavailable with status 503 (Service Unavailable)"
        );
        assert_eq!(answer(503).recovery(), Recovery::Retry);
    }
}
