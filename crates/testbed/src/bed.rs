//! Everything that a call needs, started and joined together: Postgres, a
//! livekit-server and a backend per project, the simulated model, the product.
//! Tenants are onboarded as ops do it: by a plain SQL `INSERT`.

use std::time::Duration;

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use url::Url;
use uuid::Uuid;

use crate::backend::{Backend, Reply};
use crate::caller::{Caller, CallerOptions};
use crate::livekit::{LiveKitOptions, LiveKitServer};
use crate::model::{ModelOptions, SimulatedModel};
use crate::postgres::Postgres;
use crate::product::{Product, ProjectStatus};

/// How long a worker may take to register. It takes some 50 ms; a machine that
/// builds something beside it takes longer.
pub const REGISTER_LIMIT: Duration = Duration::from_secs(20);

/// One LiveKit project with its tenant.
pub struct Project {
    /// The tenant.
    pub slug: String,
    /// The project's server.
    pub livekit: LiveKitServer,
    /// The tenant's backend.
    pub backend: Backend,
    /// The number that callers dial.
    pub number: String,
}

impl Project {
    /// Rings the project's number. The call waits for its agent; use the
    /// caller's methods to see what becomes of it.
    ///
    /// # Errors
    /// When the room cannot be joined.
    pub async fn ring(&self) -> anyhow::Result<Caller> {
        self.ring_with(|_| {}).await
    }

    /// As [`Project::ring`], with other options.
    ///
    /// # Errors
    /// When the room cannot be joined.
    pub async fn ring_with(
        &self,
        change: impl FnOnce(&mut CallerOptions),
    ) -> anyhow::Result<Caller> {
        let mut options = CallerOptions::to(&self.livekit, &self.number);
        change(&mut options);
        Caller::ring(options).await
    }
}

/// See the module.
pub struct Bed {
    /// The product.
    pub product: Product,
    /// The projects, in the order of their names.
    pub projects: Vec<Project>,
    /// The model of all tenants.
    pub model: SimulatedModel,
    /// The key that the model wants.
    pub model_key: SecretString,
    /// The password in the product's URL of the database, which the server does not ask for.
    pub database_password: SecretString,
    /// The database server.
    pub postgres: Postgres,
    /// A connection to the product's database, as ops have one.
    pub sql: PgPool,
}

impl Bed {
    /// Starts everything for these tenants and waits until each is registered.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start(slugs: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(slugs, &[]).await
    }

    /// As [`Self::start`], with more variables in the product's environment.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start_with(slugs: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let bed = Self::prepare(slugs, ModelOptions::default(), environment).await?;
        for project in &bed.projects {
            bed.onboard(project).await?;
        }
        for slug in slugs {
            bed.registered(slug).await?;
        }
        Ok(bed)
    }

    /// Starts everything, with no tenant onboarded, and with more variables in
    /// the product's environment.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn prepare(
        slugs: &[&str],
        model: ModelOptions,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        crate::install_crypto();
        let model_key = SecretString::from(format!("sk-{}", Uuid::new_v4().simple()));
        let postgres = Postgres::start().await?;
        let database = postgres.create_database("trunkline").await?;
        let model = SimulatedModel::start(ModelOptions {
            api_key: Some(model_key.clone()),
            ..model
        })
        .await?;
        let mut projects = Vec::new();
        for (index, slug) in slugs.iter().enumerate() {
            let backend = Backend::start(Reply::Json(answer_of(slug))).await?;
            projects.push(Project {
                slug: (*slug).to_owned(),
                livekit: LiveKitServer::start(LiveKitOptions::default()).await?,
                backend,
                number: format!("+1555000{:04}", 1000 + index),
            });
        }
        let options: PgConnectOptions = database.parse().context("the database's URL")?;
        let database_password = SecretString::from(format!("pw-{}", Uuid::new_v4().simple()));
        let mut url: Url = database.parse().context("the database's URL")?;
        let has_user = url.set_password(Some(database_password.expose_secret()));
        anyhow::ensure!(has_user.is_ok(), "the database's URL takes no password");
        let product = Product::start(url.as_str(), environment.iter().copied()).await?;
        let sql = PgPoolOptions::new()
            .max_connections(2)
            .connect_lazy_with(options);
        Ok(Self {
            product,
            projects,
            model,
            model_key,
            database_password,
            postgres,
            sql,
        })
    }

    /// The project of a tenant.
    ///
    /// # Panics
    /// When there is none of this name.
    #[must_use]
    pub fn project(&self, slug: &str) -> &Project {
        self.projects
            .iter()
            .find(|project| project.slug == slug)
            .expect("a project of the bed")
    }

    /// As [`Bed::project`], to stop and start its server.
    ///
    /// # Panics
    /// When there is none of this name.
    #[must_use]
    pub fn project_mut(&mut self, slug: &str) -> &mut Project {
        self.projects
            .iter_mut()
            .find(|project| project.slug == slug)
            .expect("a project of the bed")
    }

    /// Onboards a tenant: one `INSERT`, secrets in clear.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn onboard(&self, project: &Project) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret, \
             call_config_url, provider_base_url, provider_api_key, default_config) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&project.slug)
        .bind(project.livekit.url())
        .bind(project.livekit.api_key())
        .bind(project.livekit.api_secret().expose_secret())
        .bind(project.backend.url())
        .bind(self.model.base_url())
        .bind(self.model_key.expose_secret())
        .bind(json!({ "startMessage": default_message_of(&project.slug) }))
        .execute(&self.sql)
        .await
        .context("onboarding a tenant")?;
        Ok(())
    }

    /// Runs one statement as ops would.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn execute(&self, statement: &'static str) -> anyhow::Result<()> {
        sqlx::raw_sql(statement)
            .execute(&self.sql)
            .await
            .context(statement)?;
        Ok(())
    }

    /// Waits until a tenant's worker is registered.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn registered(&self, slug: &str) -> anyhow::Result<ProjectStatus> {
        self.product
            .project_until(slug, REGISTER_LIMIT, |project| {
                project.state == "registered"
            })
            .await
    }
}

/// What the backend of a tenant answers unless told otherwise.
#[must_use]
pub fn answer_of(slug: &str) -> Value {
    json!({
        "systemPrompt": format!("You answer the phone of {slug}."),
        "model": "gpt-realtime",
        "voice": "marin",
        "temperature": 0.8,
        "startMessage": start_message_of(slug),
    })
}

/// The start message in [`answer_of`].
#[must_use]
pub fn start_message_of(slug: &str) -> String {
    format!("{slug} office, {slug} speaking, welcome to {slug}")
}

/// The start message of the tenant's default configuration.
#[must_use]
pub fn default_message_of(slug: &str) -> String {
    format!("default of {slug}, {slug} takes messages for {slug}")
}
