//! The LiveKit project of one case: a server, a backend and a model of its own, and a tenant.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio::net::TcpListener;
use trunkline_testbed::backend::{Backend, Reply};
use trunkline_testbed::bed::{Bed, answer_of};
use trunkline_testbed::caller::{Caller, CallerOptions};
use trunkline_testbed::livekit::{LiveKitOptions, LiveKitServer};
use trunkline_testbed::model::{ModelOptions, SimulatedModel};
use trunkline_testbed::product::ProjectStatus;
use trunkline_testbed::proxy::Proxy;

use crate::case::Case;

/// How the agent greets: with what the backend says, and with the tenant's default.
const GREETING: &str = "Harbour office, good morning.";
const DEFAULT_GREETING: &str = "This is the harbour, hello.";

/// A server that all cases' starting makes slow.
const REGISTER_LIMIT: Duration = Duration::from_secs(60);

/// How often it is looked whether it has registered.
const POLL: Duration = Duration::from_millis(50);

/// See the module.
pub(crate) struct Site {
    pub(crate) slug: String,
    pub(crate) livekit: LiveKitServer,
    /// Between the product and the server.
    pub(crate) proxy: Proxy,
    pub(crate) model: SimulatedModel,
    /// Kept for as long as it is to answer.
    _backend: Option<Backend>,
}

impl Site {
    /// Starts everything, and waits until the product has registered.
    pub(crate) async fn open(bed: &Bed, slug: String, case: &Case) -> anyhow::Result<Self> {
        let livekit = LiveKitServer::start(LiveKitOptions::default()).await?;
        let proxy = Proxy::start(livekit.address()).await?;
        let model = SimulatedModel::start(ModelOptions {
            api_key: None,
            behaviour: case.model.clone(),
        })
        .await?;
        let (backend, backend_url) = if case.backend_listens {
            let reply = case.backend.clone();
            let reply = reply.unwrap_or_else(good_reply);
            let backend = Backend::start(reply).await?;
            let url = backend.url();
            (Some(backend), url)
        } else {
            (None, unused_url().await?)
        };
        sqlx::query(
            "INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret, \
             call_config_url, provider_base_url, provider_api_key, default_config) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&slug)
        .bind(proxy.url())
        .bind(livekit.api_key())
        .bind(livekit.api_secret().expose_secret())
        .bind(backend_url)
        .bind(model.base_url())
        .bind(model.api_key().expose_secret())
        .bind(json!({ "startMessage": DEFAULT_GREETING }))
        .execute(&bed.sql)
        .await
        .context("onboarding a tenant")?;
        registered(bed, &slug).await?;
        Ok(Self {
            slug,
            livekit,
            proxy,
            model,
            _backend: backend,
        })
    }

    /// Takes the tenant out again.
    pub(crate) async fn close(self, bed: &Bed) -> anyhow::Result<()> {
        sqlx::query("UPDATE tenants SET removed_at = now() WHERE slug = $1")
            .bind(&self.slug)
            .execute(&bed.sql)
            .await
            .context("removing a tenant")?;
        Ok(())
    }

    pub(crate) async fn ring(&self) -> anyhow::Result<Caller> {
        Caller::ring(CallerOptions::to(&self.livekit, "+15550001000")).await
    }
}

/// What a backend answers that works.
pub(crate) fn good_reply() -> Reply {
    let mut answer = answer_of("harbour");
    answer["startMessage"] = json!(GREETING);
    Reply::Json(answer)
}

/// How every answer to a question begins.
pub(crate) const ANSWER: &str = "You said:";

/// What the model says when a new session has taken the place of one that broke off.
pub(crate) const GOING_ON: &str = "As I was saying, come in.";

/// What the agent may say that is known beforehand.
pub(crate) fn sentences(question: &str) -> [(String, &'static str); 4] {
    [
        (GOING_ON.to_owned(), "going on"),
        (GREETING.to_owned(), "greeting"),
        (DEFAULT_GREETING.to_owned(), "default greeting"),
        (format!("{ANSWER} {question}"), "answer"),
    ]
}

/// Waits until the product takes calls for a tenant.
async fn registered(bed: &Bed, slug: &str) -> anyhow::Result<()> {
    let until = Instant::now() + REGISTER_LIMIT;
    loop {
        // A busy machine may take too long for one answer.
        let projects = bed.product.projects().await.unwrap_or_default();
        let is_ready = |it: &ProjectStatus| it.slug == slug && it.state == "registered";
        if projects.iter().any(is_ready) {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < until,
            "{slug} does not register; the product's log ends with\n{}",
            bed.product.log_tail()
        );
        tokio::time::sleep(POLL).await;
    }
}

/// Where nobody listens: a port that was free a moment ago.
async fn unused_url() -> anyhow::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Ok(format!("http://{}/call-config", listener.local_addr()?))
}
