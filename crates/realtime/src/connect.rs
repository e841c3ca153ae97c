//! Opening a session.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt as _;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, USER_AGENT};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector as TlsConnector, connect_async_tls_with_config};
use trunkline_domain::ProviderKind;
use url::Url;

use crate::codec::{Begun, Codec, Output};
use crate::openai::{self, OpenAi};
use crate::session::Session;
use crate::socket::{self, Socket};
use crate::task::{Running, closed};
use crate::text::Cleaner;
use crate::{CloseReason, ConnectError, Endpoint, Event, Options, Trouble};

/// Messages that may come before the session begins. Vendors send one.
const MAX_MESSAGES_BEFORE: usize = 16;

/// Opens sessions. One for the process, cheap to clone: the system's root
/// certificates are read once, and TLS sessions are resumed.
#[derive(Clone)]
pub struct Connector {
    options: Options,
    tls: Arc<ClientConfig>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// Reads the system's root certificates. Where there are none, `wss`
    /// endpoints will fail by their certificate; it is logged here.
    ///
    /// # Errors
    /// When the crypto provider offers no version of TLS that we speak.
    pub fn new(options: Options) -> Result<Self, rustls::Error> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, ignored) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            tracing::warn!(
                errors = ?found.errors,
                "no root certificates found: no model can be reached over TLS"
            );
        } else {
            tracing::debug!(added, ignored, "root certificates read");
        }
        let provider = CryptoProvider::get_default()
            .cloned()
            .unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            options,
            tls: Arc::new(tls),
        })
    }

    /// Opens a session with `model` and waits until the vendor says that it has
    /// begun, for [`Options::connect_timeout_ms`] at most. Dropping the future
    /// gives up.
    ///
    /// # Errors
    /// When the vendor cannot be reached, refuses, or takes too long.
    pub async fn connect(&self, endpoint: &Endpoint, model: &str) -> Result<Session, ConnectError> {
        let started = Instant::now();
        let limit = self.options.connect_timeout();
        let result = timeout(limit, self.open(endpoint, model))
            .await
            .unwrap_or(Err(ConnectError::TimedOut { after: limit }));
        let label = result
            .as_ref()
            .map_or_else(ConnectError::as_label, |_| "ok");
        metrics::counter!("trunkline_realtime_connects_total", "result" => label).increment(1);
        metrics::histogram!("trunkline_realtime_connect_duration_seconds", "result" => label)
            .record(started.elapsed().as_secs_f64());
        result
    }

    async fn open(&self, endpoint: &Endpoint, model: &str) -> Result<Session, ConnectError> {
        let url = endpoint.socket_url(model)?;
        let cleaner = Cleaner::new(endpoint.api_key.clone());
        let request = request(&url, endpoint)?;
        let (mut stream, _) = connect_async_tls_with_config(
            request,
            Some(socket::limits()),
            // Small messages go out at once.
            true,
            Some(TlsConnector::Rustls(Arc::clone(&self.tls))),
        )
        .await
        .map_err(|error| refused(error, &cleaner))?;

        let mut codec: Box<dyn Codec> = match endpoint.kind {
            ProviderKind::OpenAi => Box::new(OpenAi::new(
                url.host_str().unwrap_or_default(),
                model,
                cleaner.clone(),
            )),
        };
        let mut out = Output::default();
        for _ in 0..MAX_MESSAGES_BEFORE {
            match stream.next().await {
                Some(Ok(Message::Text(text))) => codec.text(text.as_str(), &mut out),
                Some(Ok(Message::Close(frame))) => {
                    return Err(ConnectError::Closed(closed(frame, &cleaner)));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(ConnectError::Unreachable(Box::new(error))),
                None => return Err(ConnectError::Closed(closed(None, &cleaner))),
            }
            if let Some(error) = refusal(&out) {
                return Err(error);
            }
            if out.begun == Begun::Yes {
                break;
            }
        }
        if out.begun == Begun::No {
            return Err(ConnectError::Refused {
                status: None,
                error: cleaner.garbage("many messages, but not that the session has begun"),
            });
        }
        let running = Running {
            socket: Socket::new(stream),
            codec,
            cleaner,
            events: VecDeque::from(out.events),
        };
        let options = self.options.clone();
        Ok(Session::start(model, |ends| running.run(options, ends)))
    }
}

/// An error that comes before the session has begun is its refusal, however
/// mild it would be later. What cannot be read at all is not: the session may
/// still begin.
fn refusal(out: &Output) -> Option<ConnectError> {
    let refused = |error| ConnectError::Refused {
        status: None,
        error,
    };
    match &out.end {
        Some(CloseReason::Vendor(error)) => return Some(refused(error.clone())),
        Some(reason) => return Some(ConnectError::Closed(reason.clone())),
        None => {}
    }
    out.events.iter().find_map(|event| match event {
        Event::Warning(error) if error.trouble != Trouble::Garbage => Some(refused(error.clone())),
        _ => None,
    })
}

fn request(url: &Url, endpoint: &Endpoint) -> Result<Request, ConnectError> {
    let unusable = |problem| ConnectError::Endpoint { problem };
    let mut request = url
        .as_str()
        .into_client_request()
        .map_err(|_| unusable("its address is none for a WebSocket"))?;
    let bearer = format!("Bearer {}", endpoint.api_key.expose_secret());
    let mut bearer = HeaderValue::from_str(&bearer)
        .map_err(|_| unusable("its key has characters that no header may have"))?;
    bearer.set_sensitive(true);
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, bearer);
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("trunkline/", env!("CARGO_PKG_VERSION"))),
    );
    Ok(request)
}

fn refused(error: Error, cleaner: &Cleaner) -> ConnectError {
    match error {
        Error::Http(response) => {
            let status = response.status().as_u16();
            let body = response.into_body().unwrap_or_default();
            ConnectError::Refused {
                status: Some(status),
                error: openai::from_http(status, &body, cleaner),
            }
        }
        error => ConnectError::Unreachable(Box::new(error)),
    }
}
