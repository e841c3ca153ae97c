//! LiveKit's room service of each project, through which a phone side is removed
//! and a room deleted. A client holds its project's key and a pool of
//! connections, so one is kept per tenant and made anew when the row changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{Tenant, TenantId, TenantVersion};
use livekit_api::services::room::RoomClient;
use parking_lot::Mutex;
use secrecy::ExposeSecret;
use trunkline_domain as domain;
use url::Url;

/// One request, with its retries. The caller waits in silence meanwhile.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Default)]
pub(crate) struct RoomApi {
    clients: Mutex<HashMap<TenantId, (TenantVersion, Arc<RoomClient>)>>,
}

impl RoomApi {
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

/// A project's URL as its HTTP API wants it: `ws` becomes `http`, `wss` `https`.
fn http_url(url: &Url) -> Url {
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
