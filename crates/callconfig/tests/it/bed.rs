//! A tenant, a call of its, and a backend that is no more than bytes on a socket.

use std::sync::Once;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use trunkline_callconfig::{CallConfigRequest, Lookup, Options, Resolved};
use trunkline_domain::{CallId, SipParticipant, Tenant, TenantFields, TenantId};
use uuid::Uuid;

/// Longer than anything here takes; to be reached is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen"))
}

pub(crate) fn lookup() -> Lookup {
    lookup_with(&Options::default())
}

pub(crate) fn lookup_with(options: &Options) -> Lookup {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .unwrap();
    });
    Lookup::new(options).unwrap()
}

/// A tenant with the longest deadline that there is, so that what must not need
/// it can be told from what does.
pub(crate) fn tenant(url: Option<&str>) -> Tenant {
    tenant_with_deadline(url, 30_000)
}

pub(crate) fn tenant_with_deadline(url: Option<&str>, deadline_ms: i32) -> Tenant {
    Tenant::try_from(TenantFields {
        call_config_url: url.map(str::to_owned),
        call_config_bearer: Some(SecretString::from("bearer-of-acme")),
        call_config_deadline_ms: deadline_ms,
        default_config: r#"{"startMessage": "Acme here.", "voice": "cedar"}"#.into(),
        ..TenantFields::new(
            TenantId(Uuid::from_u128(7)),
            "acme",
            "wss://acme.livekit.cloud",
            "APIabc",
            "s3cr3t-of-acme".into(),
        )
    })
    .unwrap()
}

pub(crate) fn request(tenant: &Tenant) -> CallConfigRequest {
    let sip = SipParticipant::from_attributes(
        "sip_+15557654321",
        [
            ("sip.callID", "SCL_abc"),
            ("sip.callStatus", "ringing"),
            ("sip.phoneNumber", "+15557654321"),
            ("sip.trunkPhoneNumber", "+15550001111"),
            ("sip.trunkID", "ST_abc"),
            ("sip.ruleID", "SDR_abc"),
            ("sip.h.x-account", "42"),
        ],
    );
    let call = CallId(Uuid::from_u128(0x019a_b3c2_0000_7000_8000_0000_0000_0000));
    CallConfigRequest::new(tenant, call, "call_+15557654321_x7Gq", &sip)
}

pub(crate) async fn resolve(tenant: &Tenant) -> Resolved {
    resolve_with(&lookup(), tenant).await
}

/// What a call of that tenant gets.
pub(crate) async fn resolve_with(lookup: &Lookup, tenant: &Tenant) -> Resolved {
    let deadline = Instant::now() + Duration::from_secs(60);
    let request = request(tenant);
    soon(
        "a configuration",
        lookup.resolve(tenant, &request, deadline),
    )
    .await
}

/// A listener for bytes.
pub(crate) struct Raw {
    listener: TcpListener,
}

impl From<TcpListener> for Raw {
    fn from(listener: TcpListener) -> Self {
        Self { listener }
    }
}

impl Raw {
    pub(crate) async fn start() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/call-config", self.listener.local_addr().unwrap())
    }

    pub(crate) async fn connected(&self) -> TcpStream {
        soon("a connection", self.listener.accept())
            .await
            .unwrap()
            .0
    }

    /// A connection whose request has been read.
    pub(crate) async fn asked(&self) -> TcpStream {
        let mut stream = self.connected().await;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(soon("a request", stream.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(request).unwrap().to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        soon("a body", stream.read_exact(&mut body)).await.unwrap();
        stream
    }

    /// Answers the next request with these bytes and closes.
    pub(crate) async fn answer(&self, bytes: &[u8]) {
        let mut stream = self.asked().await;
        // The other side may hang up in the middle of an answer that it dislikes.
        if stream.write_all(bytes).await.is_ok() {
            stream.shutdown().await.ok();
        }
    }
}

/// A whole answer.
pub(crate) fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
    .into_bytes()
}
