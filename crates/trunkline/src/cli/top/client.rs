//! Asks the API. Every answer is bounded in time and size.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::DATE;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::picture::{Call, Clean, Picture, Replica, Worker};

/// For one answer. A picture that is older is of no use to who watches calls.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The largest answer: some hundred calls have 2 kB each, a page of workers less.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// The longest page that the API gives.
const PAGE: u32 = 100;

/// So many pages of projects are asked for. A token may ask for 50 things a second, and
/// nobody scrolls through more than a thousand projects.
const MAX_PAGES: usize = 10;

pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    token: SecretString,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Problem {
    detail: Option<Clean>,
}

impl Client {
    pub(super) fn new(api: Url, token: SecretString) -> anyhow::Result<Self> {
        ensure!(
            matches!(api.scheme(), "http" | "https") && api.has_host(),
            "--api must be an URL with http or https, such as http://127.0.0.1:8081"
        );
        let http = reqwest::Client::builder()
            .timeout(ANSWER_LIMIT)
            // Wherever else it sends us, the token is not for it.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .context("the HTTP client cannot be made")?;
        Ok(Self {
            http,
            base: api,
            token,
        })
    }

    /// Where it asks, for people.
    pub(super) fn address(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// Everything as it is now.
    pub(super) async fn picture(&self) -> anyhow::Result<Picture> {
        let (replica, now): (Replica, _) = self.get("/v1/replica", &[]).await?;
        let (calls, _): (Items<Call>, _) = self.get("/v1/calls/live", &[]).await?;
        let mut workers: Vec<Worker> = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let limit = PAGE.to_string();
            let mut query = vec![("here", "true"), ("limit", limit.as_str())];
            if let Some(cursor) = &cursor {
                query.push(("cursor", cursor));
            }
            let (page, _): (Items<Worker>, _) = self.get("/v1/workers", &query).await?;
            workers.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(Picture {
            at: now,
            replica,
            workers,
            has_more_workers: cursor.is_some(),
            calls: calls.items,
        })
    }

    /// The answer, and the API's own clock: ages are told by it, whatever ours says.
    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> anyhow::Result<(T, DateTime<Utc>)> {
        let mut url = self.base.clone();
        url.set_path(path);
        url.query_pairs_mut().clear().extend_pairs(query);
        let request = self.http.get(url).bearer_auth(self.token.expose_secret());
        let mut response = request
            .send()
            .await
            // Its text would repeat the whole address.
            .map_err(|error| error.without_url())
            .with_context(|| format!("the API at {} does not answer", self.address()))?;
        let status = response.status();
        let date = response.headers().get(DATE).and_then(|d| d.to_str().ok());
        let now = date
            .and_then(|date| DateTime::parse_from_rfc2822(date).ok())
            .map_or_else(Utc::now, |date| date.to_utc());
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| error.without_url())
            .context("the API's answer broke off")?
        {
            ensure!(
                body.len() + chunk.len() <= MAX_ANSWER_BYTES,
                "the API's answer has more than {MAX_ANSWER_BYTES} bytes"
            );
            body.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            bail!(refusal(status, &body));
        }
        let answer = serde_json::from_slice(&body)
            .with_context(|| format!("{path} did not answer as this version's API does"))?;
        Ok((answer, now))
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> String {
    let problem: Option<Problem> = serde_json::from_slice(body).ok();
    let detail = problem
        .and_then(|problem| problem.detail)
        .map(|detail| format!(": {detail}"))
        .unwrap_or_default();
    let remedy = match status {
        StatusCode::UNAUTHORIZED => {
            "; make a token with `trunkline token add --scope read NAME`, and name it with \
             --token-from or TRUNKLINE_API_TOKEN"
        }
        StatusCode::NOT_FOUND => "; is --api the address of api.listen?",
        _ => "",
    };
    format!("the API refuses with {}{detail}{remedy}", status.as_u16())
}
