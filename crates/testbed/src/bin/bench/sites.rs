//! Where the projects of `bench tenants` are.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use sqlx::Row as _;
use tokio::sync::watch;
use trunkline_testbed::bed::Bed;
use trunkline_testbed::livekit::{LiveKitOptions, LiveKitServer};
use trunkline_testbed::worker_endpoint::WorkerEndpoint;

/// Until all have registered.
const REGISTER_LIMIT: Duration = Duration::from_secs(600);

/// Until one change is in effect.
pub(crate) const CHANGE_LIMIT: Duration = Duration::from_secs(20);

/// How often real servers' projects are looked at while all register.
const POLL: Duration = Duration::from_millis(20);

/// How often it is told how many have registered.
const PROGRESS: Duration = Duration::from_secs(5);

/// See the module. The tenants are `t1`, `t2`, ….
pub(crate) enum Site {
    /// All at one worker endpoint.
    Simulated(WorkerEndpoint),
    /// Each at a livekit-server of its own, with whether its second key is in use.
    Real(Vec<(LiveKitServer, bool)>),
}

impl Site {
    pub(crate) async fn simulated() -> anyhow::Result<Self> {
        Ok(Self::Simulated(WorkerEndpoint::start().await?))
    }

    pub(crate) async fn real(count: usize) -> anyhow::Result<Self> {
        let mut servers = Vec::new();
        for _ in 0..count {
            let server = LiveKitServer::start(LiveKitOptions::default()).await?;
            servers.push((server, false));
        }
        Ok(Self::Real(servers))
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Simulated(_) => "simulated",
            Self::Real(_) => "real",
        }
    }

    /// Onboards so many tenants with one statement, secrets in clear.
    pub(crate) async fn insert(&self, bed: &Bed, count: usize) -> anyhow::Result<()> {
        let insert = match self {
            Self::Simulated(endpoint) => sqlx::query(
                "INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret) \
                 SELECT 't' || n, $1, 'key-' || n, 'secret-of-tenant-' || n \
                 FROM generate_series(1, $2) n",
            )
            .bind(endpoint.url())
            .bind(i32::try_from(count)?),
            Self::Real(servers) => {
                let servers = servers.iter().map(|(server, _)| server);
                let urls: Vec<_> = servers.clone().map(LiveKitServer::url).collect();
                let keys: Vec<_> = servers.clone().map(|it| it.api_key().to_owned()).collect();
                let secrets: Vec<_> = servers
                    .map(|it| it.api_secret().expose_secret().to_owned())
                    .collect();
                sqlx::query(
                    "INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret) \
                     SELECT 't' || n, url, key, secret \
                     FROM unnest($1::text[], $2::text[], $3::text[]) \
                     WITH ORDINALITY AS it (url, key, secret, n)",
                )
                .bind(urls)
                .bind(keys)
                .bind(secrets)
            }
        };
        insert
            .execute(&bed.sql)
            .await
            .context("inserting tenants")?;
        Ok(())
    }

    pub(crate) async fn all_registered(&self, bed: &Bed, count: usize) -> anyhow::Result<()> {
        match self {
            Self::Simulated(endpoint) => counted(endpoint.projects(), count).await,
            Self::Real(_) => {
                let until = Instant::now() + REGISTER_LIMIT;
                loop {
                    let projects = bed.product.projects().await?;
                    let registered = projects
                        .iter()
                        .filter(|it| it.slug.starts_with('t') && it.state == "registered");
                    if registered.count() == count {
                        return Ok(());
                    }
                    anyhow::ensure!(Instant::now() < until, "not all were registered in time");
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }

    /// The product has ended: waits until its registrations are gone.
    pub(crate) async fn forgotten(&self) -> anyhow::Result<()> {
        match self {
            Self::Simulated(endpoint) => counted(endpoint.projects(), 0).await,
            Self::Real(_) => Ok(()),
        }
    }

    /// An `UPDATE` of the key of tenant `number`: milliseconds until it is registered with it.
    pub(crate) async fn reregister(
        &mut self,
        bed: &Bed,
        number: usize,
        change: usize,
    ) -> anyhow::Result<f64> {
        let slug = format!("t{number}");
        let took = match self {
            Self::Simulated(endpoint) => {
                let key = format!("key-{number}-{change}");
                endpoint.forget();
                let began = Instant::now();
                sqlx::query("UPDATE tenants SET livekit_api_key = $2 WHERE slug = $1")
                    .bind(slug)
                    .bind(&key)
                    .execute(&bed.sql)
                    .await
                    .context("changing a key")?;
                let registered = async {
                    loop {
                        let registration = endpoint.registration().await;
                        if registration.api_key == key {
                            return registration.at;
                        }
                    }
                };
                let at = tokio::time::timeout(CHANGE_LIMIT, registered)
                    .await
                    .context("the new key was not registered")?;
                at.duration_since(began)
            }
            Self::Real(servers) => {
                let (server, is_spare) = &mut servers[number - 1];
                *is_spare = !*is_spare;
                let (key, secret) = match *is_spare {
                    true => server.spare_key(),
                    false => (server.api_key(), server.api_secret()),
                };
                let began = Instant::now();
                let row = sqlx::query(
                    "UPDATE tenants SET livekit_api_key = $2, livekit_api_secret = $3 \
                     WHERE slug = $1 RETURNING version",
                )
                .bind(&slug)
                .bind(key)
                .bind(secret.expose_secret())
                .fetch_one(&bed.sql)
                .await
                .context("changing a key")?;
                let version: i64 = row.try_get("version")?;
                // A version is in effect when its registration is there.
                bed.product
                    .project_until(&slug, CHANGE_LIMIT, |it| {
                        it.version >= version && it.state == "registered"
                    })
                    .await?;
                began.elapsed()
            }
        };
        Ok(took.as_secs_f64() * 1_000.0)
    }
}

async fn counted(mut projects: watch::Receiver<usize>, wanted: usize) -> anyhow::Result<()> {
    let until = tokio::time::Instant::now() + REGISTER_LIMIT;
    let mut tell = tokio::time::interval_at(tokio::time::Instant::now() + PROGRESS, PROGRESS);
    loop {
        let now = *projects.borrow_and_update();
        if now == wanted {
            return Ok(());
        }
        tokio::select! {
            changed = projects.changed() => changed.context("the endpoint has ended")?,
            _ = tell.tick() => tracing::warn!("{now} of {wanted} registered"),
            () = tokio::time::sleep_until(until) => {
                anyhow::bail!("{now} of {wanted} were registered after {} s", REGISTER_LIMIT.as_secs())
            }
        }
    }
}
