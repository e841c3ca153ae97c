//! What the demo is played on: everything started, both tenants onboarded.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use trunkline_testbed::backend::{Backend, Reply};
use trunkline_testbed::bed::{Bed, Project, answer_of};
use trunkline_testbed::caller::{Caller, SAMPLE_RATE};
use trunkline_testbed::model::ModelOptions;
use trunkline_testbed::voice;

use crate::story::{millis, say};
use crate::{LIMIT, Model};

pub(crate) const HARBOUR: &str = "harbour";
pub(crate) const LANTERN: &str = "lantern";

/// Long enough to be broken into.
const HARBOUR_GREETING: &str = "Welcome to the harbour office. We are open every day from seven \
                                in the morning until eight in the evening. What can I do for you?";
const LANTERN_GREETING: &str = "This is the lantern shop. How can I help you?";
const LANTERN_NEW_GREETING: &str = "The lantern shop has moved to the market square. Hello!";

/// See the module.
pub(crate) struct Stage {
    pub(crate) bed: Bed,
    /// Where the changed row sends the lookups of the second tenant.
    moved: Backend,
    model: Model,
}

impl Stage {
    pub(crate) async fn set(model: Model) -> anyhow::Result<Self> {
        let key = match model {
            Model::Simulated => None,
            Model::Openai => Some(SecretString::from(
                std::env::var("OPENAI_API_KEY").context("--model openai needs OPENAI_API_KEY")?,
            )),
        };
        let started = Instant::now();
        let bed = Bed::prepare(&[HARBOUR, LANTERN], ModelOptions::default(), &[]).await?;
        bed.project(HARBOUR)
            .backend
            .reply(answering(HARBOUR, HARBOUR_GREETING));
        bed.project(LANTERN)
            .backend
            .reply(answering(LANTERN, LANTERN_GREETING));
        let moved = Backend::start(answering(LANTERN, LANTERN_NEW_GREETING)).await?;
        say(&format!(
            "Started Postgres, two livekit-servers with keys of their own, two backends, \
             {}, and trunkline in {} ms.",
            match model {
                Model::Simulated => "a simulated model",
                Model::Openai => "a socket to OpenAI's model for each call",
            },
            millis(started.elapsed())
        ))?;
        let stage = Self { bed, moved, model };
        stage.onboard(key.as_ref()).await?;
        Ok(stage)
    }

    pub(crate) fn project(&self, slug: &str) -> &Project {
        self.bed.project(slug)
    }

    pub(crate) fn is_simulated(&self) -> bool {
        self.model == Model::Simulated
    }

    /// Changes the second tenant's row, and returns how long it took to hold.
    pub(crate) async fn change_row(&self) -> anyhow::Result<Duration> {
        let before = self.version(LANTERN).await?;
        sqlx::query("UPDATE tenants SET call_config_url = $1 WHERE slug = $2")
            .bind(self.moved.url())
            .bind(LANTERN)
            .execute(&self.bed.sql)
            .await?;
        let changed = Instant::now();
        let newer = |project: &trunkline_testbed::product::ProjectStatus| project.version > before;
        self.bed
            .product
            .project_until(LANTERN, LIMIT, newer)
            .await?;
        Ok(changed.elapsed())
    }

    /// Waits until the caller's greeting was heard: to its end, or until it broke
    /// off. Of a model whose words are not decoded: until there was a second of sound.
    pub(crate) async fn greeted(
        &self,
        caller: &Caller,
        expected: &str,
        broken: bool,
    ) -> anyhow::Result<()> {
        let simulated = self.is_simulated();
        caller
            .heard_until(LIMIT, |pcm| match simulated {
                true => voice::decode(pcm, SAMPLE_RATE)
                    .first()
                    .is_some_and(|greeting| {
                        let last = expected.rsplit(' ').next().unwrap_or_default();
                        broken || greeting.complete || greeting.text.ends_with(last)
                    }),
                false => sounding(pcm) >= Duration::from_secs(1),
            })
            .await
    }

    /// The sentence that the caller of this call is to hear first.
    pub(crate) fn expected(&self, slug: &str, number: u32) -> &'static str {
        match (slug, number) {
            (HARBOUR, _) => HARBOUR_GREETING,
            (_, 1) => LANTERN_GREETING,
            _ => LANTERN_NEW_GREETING,
        }
    }

    /// What the backends were asked about the call in a room: when.
    pub(crate) fn asked(&self, slug: &str, room: &str) -> Option<Instant> {
        let backends = [&self.project(slug).backend, &self.moved];
        backends
            .into_iter()
            .flat_map(Backend::requests)
            .find(|request| request.body["room"] == room)
            .map(|request| request.at)
    }

    async fn onboard(&self, key: Option<&SecretString>) -> anyhow::Result<()> {
        let began = Instant::now();
        for project in &self.bed.projects {
            self.bed.onboard(project).await?;
        }
        if let Some(key) = key {
            sqlx::query("UPDATE tenants SET provider_base_url = NULL, provider_api_key = $1")
                .bind(key.expose_secret())
                .execute(&self.bed.sql)
                .await?;
        }
        say("Onboarded both tenants, each by one row:")?;
        say("    INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret, …)")?;
        for project in &self.bed.projects {
            say(&format!(
                "    VALUES ('{}', '{}', '{}', '…', …);",
                project.slug,
                project.livekit.url(),
                project.livekit.api_key()
            ))?;
        }
        for slug in [HARBOUR, LANTERN] {
            self.bed.registered(slug).await?;
            let after = millis(began.elapsed());
            say(&format!(
                "    {slug}: registered with LiveKit {after} ms after the first INSERT"
            ))?;
        }
        Ok(())
    }

    async fn version(&self, slug: &str) -> anyhow::Result<i64> {
        Ok(self
            .bed
            .product
            .project_until(slug, LIMIT, |_| true)
            .await?
            .version)
    }
}

fn answering(slug: &str, start_message: &str) -> Reply {
    let mut answer = answer_of(slug);
    answer["startMessage"] = json!(start_message);
    Reply::Json(answer)
}

/// How much of a recording is louder than a quiet line.
pub(crate) fn sounding(pcm: &[i16]) -> Duration {
    let loud = pcm
        .iter()
        .filter(|sample| sample.unsigned_abs() > 500)
        .count();
    Duration::from_secs_f64(loud as f64 / f64::from(SAMPLE_RATE))
}
