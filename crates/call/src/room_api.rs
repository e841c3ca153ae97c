//! LiveKit's room service of each project, through which a phone side is removed
//! and a room deleted. A client holds its project's key and a pool of
//! connections, so one is kept per tenant and made anew when the row changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{Tenant, TenantId, TenantVersion, TransferTarget, chain};
use livekit_api::services::room::RoomClient;
use livekit_api::services::sip::{SIPClient, TransferSIPParticipantOptions};
use livekit_api::services::{ServerError, ServerErrorCode, ServiceError};
use parking_lot::Mutex;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;
use trunkline_domain as domain;
use url::Url;

/// One request, with its retries. The caller waits in silence meanwhile.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the phone that a call is passed on to may ring.
const RINGING_TIMEOUT: Duration = Duration::from_secs(30);

/// Between attempts to delete a room: one minute in all, after which the bridge
/// has long noticed that nothing is heard of us.
const RETRY_PAUSES: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(15),
    Duration::from_secs(30),
];

/// See the module.
pub(crate) struct RoomApi {
    cut: CancellationToken,
    clients: Mutex<HashMap<TenantId, (TenantVersion, Arc<RoomClient>)>>,
}

impl RoomApi {
    /// `cut` is cancelled when the process ends and waits for nobody.
    pub(crate) fn new(cut: CancellationToken) -> Self {
        Self {
            cut,
            clients: Mutex::default(),
        }
    }

    /// Deletes a room, which hangs up on whoever is in it. With LiveKit out of
    /// reach it is tried again for a minute: the caller may still be on the line,
    /// in silence. A process that is cut tries once: it has no minute, and the
    /// call's record must still be handed over.
    pub(crate) async fn delete_room(&self, tenant: &Tenant, room: &str) {
        let client = self.of(tenant);
        let mut pauses = RETRY_PAUSES.iter();
        while let Err(error) = client.delete_room(room).await {
            let pause = pauses.next().filter(|_| is_passing(&error));
            let Some(pause) = pause else {
                // Usually the room is gone already, deleted by its owner.
                tracing::debug!(error = %chain(&error), "the room was not deleted");
                return;
            };
            tracing::warn!(error = %chain(&error), "LiveKit is out of reach: the room stays for now");
            tokio::select! {
                () = tokio::time::sleep(*pause) => {}
                () = self.cut.cancelled() => return,
            }
        }
    }

    /// Has the bridge pass a phone side on (REFER), and waits until somebody takes the call.
    pub(crate) async fn transfer(
        &self,
        tenant: &Tenant,
        room: String,
        identity: String,
        to: &TransferTarget,
    ) -> Result<(), ServiceError> {
        let project = &tenant.project;
        // One for each transfer: they are rare, and wait for as long as a phone rings.
        let client = SIPClient::with_api_key(
            http_url(&project.url).as_str().trim_end_matches('/'),
            &project.api_key,
            project.api_secret.expose_secret(),
        );
        let options = TransferSIPParticipantOptions {
            play_dialtone: Some(true),
            ringing_timeout: Some(RINGING_TIMEOUT),
            ..Default::default()
        };
        let to = to.as_str().to_owned();
        client
            .transfer_sip_participant(room, identity, to, options)
            .await
    }

    /// The client of a tenant's project.
    pub(crate) fn of(&self, tenant: &Tenant) -> Arc<RoomClient> {
        let mut clients = self.clients.lock();
        match clients.get(&tenant.id) {
            Some((version, client)) if *version == tenant.version => client.clone(),
            _ => {
                let project = &tenant.project;
                let client = RoomClient::with_api_key(
                    http_url(&project.url).as_str().trim_end_matches('/'),
                    &project.api_key,
                    project.api_secret.expose_secret(),
                );
                // Failover to other regions is for LiveKit Cloud; its look-up
                // would take longer than a caller waits in silence.
                let client = client
                    .with_failover(false)
                    .with_request_timeout(REQUEST_TIMEOUT);
                let client = Arc::new(client);
                clients.insert(tenant.id, (tenant.version, client.clone()));
                client
            }
        }
    }
}

/// Whether the same request may well succeed later.
fn is_passing(error: &ServiceError) -> bool {
    match error {
        ServiceError::Twirp(ServerError::Request(_)) => true,
        ServiceError::Twirp(ServerError::Twirp(refusal)) => [
            ServerErrorCode::UNAVAILABLE,
            ServerErrorCode::DEADLINE_EXCEEDED,
        ]
        .contains(&refusal.code.as_str()),
        _ => false,
    }
}

/// A project's URL as its HTTP API wants it: `ws` becomes `http`, `wss` `https`.
pub(crate) fn http_url(url: &Url) -> Url {
    let mut url = url.clone();
    let scheme = match url.scheme() {
        "ws" => "http",
        "wss" => "https",
        _ => return url,
    };
    // Both are special schemes with a host, between which `set_scheme` never fails.
    let _ = url.set_scheme(scheme);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_at_the_projects_address_over_http() {
        for (project, api) in [
            ("wss://acme.livekit.cloud", "https://acme.livekit.cloud/"),
            ("ws://localhost:7880/lk", "http://localhost:7880/lk"),
            ("https://lk.example", "https://lk.example/"),
        ] {
            assert_eq!(http_url(&Url::parse(project).unwrap()).as_str(), api);
        }
    }
}
