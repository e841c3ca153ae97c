//! Secrets are sealed, and are nowhere to be read: not after a whole run with calls, a
//! token in use, and everything going wrong that has to do with a secret.

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, ensure};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;
use trunkline_testbed::bed::{Bed, start_message_of};

use crate::common::{SOON, eventually, hears, record_of};
use crate::leaks::Leaks;

/// Secrets of the tenant beside those that the bed makes. Signs that are written otherwise in
/// JSON, in URLs and in base64 are among them.
const BEARER: &str = "b/e+a=r&er?of~harbour-0001";
const SIGNING: &str = "s/i+g=n&ing?of~harbour-0002";
const SECOND_MODEL_KEY: &str = "sk-se/c+ond=key&of~harbour-0007";
/// Credentials that are refused, or that never get so far.
const WRONG_SECRET: &str = "wr/on+g-secret-of-lantern-00003";
const WRONG_MODEL_KEY: &str = "sk-wr/on+g-key-of-harbour-00004";
const MISPLACED: &str = "mis/pla+ced-secret-0000000005";
const FORGED_TOKEN: &str = "tl_0123456789ab_forged+token/0006-xxxxxxxxxxxxxxxxxx";

/// A client of the API, whose answers are kept.
struct Api {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Api {
    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        request.bearer_auth(&self.token)
    }

    /// Sends it, keeps what was answered, headers included, and checks the status.
    async fn keep(
        &self,
        leaks: &mut Leaks,
        status: u16,
        request: reqwest::RequestBuilder,
    ) -> anyhow::Result<String> {
        let request = request.build()?;
        let name = format!("{} {}", request.method(), request.url().path());
        let answer = self.http.execute(request).await?;
        let (found, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await?;
        ensure!(found == status, "{name} answered {found}: {text}");
        leaks.place(format!("{name} {status}"), format!("{headers:?}\n{text}"));
        Ok(text)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_anywhere_after_a_run_with_calls_a_token_and_refused_credentials()
-> anyhow::Result<()> {
    let environment = [("TRUNKLINE_LOG__FILTER", "trace")];
    let tenants = ["harbour", "lantern"];
    let bed = Bed::prepare(&tenants, Default::default(), &environment).await?;
    for tenant in tenants {
        bed.onboard(bed.project(tenant)).await?;
    }
    sqlx::query(
        "UPDATE tenants SET call_config_bearer = $1, call_config_signing_secret = $2, \
         fallback_provider = 'openai', fallback_provider_api_key = $3 WHERE slug = 'harbour'",
    )
    .bind(BEARER)
    .bind(SIGNING)
    .bind(SECOND_MODEL_KEY)
    .execute(&bed.sql)
    .await?;
    for tenant in tenants {
        bed.registered(tenant).await?;
    }
    let mut leaks = Leaks::default();
    let api = api_of(&bed).await?;
    let own = own_token(&api).await?;
    for (name, secret) in [
        ("the bearer", BEARER),
        ("the signing secret", SIGNING),
        ("the second model's key", SECOND_MODEL_KEY),
        ("the wrong secret", WRONG_SECRET),
        ("the wrong model key", WRONG_MODEL_KEY),
        ("the misplaced secret", MISPLACED),
        ("the forged token", FORGED_TOKEN),
        ("the model's key", bed.model_key.expose_secret()),
        (
            "the database's password",
            bed.database_password.expose_secret(),
        ),
        ("the administrator's token", secret_part(&api.token)),
        ("the tenant's token", secret_part(&own)),
    ] {
        leaks.secret(name, secret);
    }
    let keys = bed.product.sealing_keys().expose_secret();
    leaks.secret("the sealing key", keys.split_once(':').context("id:key")?.1);
    for tenant in tenants {
        let secret = bed.project(tenant).livekit.api_secret();
        leaks.secret("a project's secret", secret.expose_secret());
    }

    let (events, mut listening) = listen(&api).await?;
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    let live = call_id(&api, "/v1/calls/live").await?;
    let path = format!("/v1/calls/{live}");
    let read = api.request(Method::GET, &path);
    api.keep(&mut leaks, 200, read).await?;
    let room = caller.room().to_owned();
    caller.hang_up().await?;
    record_of(&bed.sql, &room).await?;
    // The backend was shown what it is to be shown, so the secrets were in use.
    let asked = bed.project("harbour").backend.requests();
    ensure!(!asked.is_empty(), "the backend was asked");

    go_wrong(&bed, &api, &own, &mut leaks).await?;
    every_route(&api, &mut leaks).await?;
    let said = eventually(async || {
        let said = events.lock().expect("a lock").clone();
        let have_ended = said.matches("event: call_ended").count() >= 2;
        Ok(have_ended
            .then_some(said.clone())
            .ok_or_else(|| format!("no end of the calls in {said}")))
    })
    .await?;
    leaks.place("the events", said);
    listening.shutdown().await;
    for path in ["/status", "/metrics", "/readyz", "/healthz"] {
        leaks.place(path, bed.product.get(path).await?.1);
    }
    commands(&bed, &mut leaks).await?;
    dump(&bed, &mut leaks).await?;
    leaks.place("the log", bed.product.log());

    metrics_are_on_the_page(leaks.said("/metrics"));
    // What is looked through is what it is taken for.
    for (place, part) in [
        ("the log", "TRACE"),
        ("the log", "audit"),
        ("the table tenants", "harbour"),
        ("the table tenant_history", "livekit_api_secret"),
        ("the table api_audit", "authenticate"),
        ("the table api_tokens", "own-token"),
        ("the table calls", "model_failed"),
        ("tenant test harbour", "failed"),
        ("config show", "[set]"),
        ("GET /v1/audit 200", "tenant.change"),
        ("PATCH /v1/tenants/lantern 422", "invalid"),
    ] {
        assert!(leaks.said(place).contains(part), "no {part} in {place}");
    }
    let found = leaks.found();
    assert!(found.is_empty(), "{found:#?}");
    Ok(())
}

async fn api_of(bed: &Bed) -> anyhow::Result<Api> {
    let arguments = ["token", "add", "ops", "--scope", "admin"];
    let http = reqwest::Client::builder()
        .no_proxy()
        // A check of a tenant takes 24 s at the most.
        .timeout(SOON + SOON)
        .build()?;
    Ok(Api {
        http,
        url: bed.product.api_url(),
        token: bed.product.command(&arguments).await?.trim().to_owned(),
    })
}

/// A token of one tenant, made by the API: the one answer that holds a secret.
async fn own_token(api: &Api) -> anyhow::Result<String> {
    let asked = json!({"name": "own-token", "scope": "operator", "tenant": "harbour"});
    let made = api.request(Method::POST, "/v1/tokens").json(&asked);
    let made: Value = made.send().await?.error_for_status()?.json().await?;
    let token = made["token"].as_str().context("a token")?;
    Ok(token.to_owned())
}

/// `tl_<public part>_<secret part>`.
fn secret_part(token: &str) -> &str {
    token.splitn(3, '_').nth(2).unwrap_or_default()
}

async fn call_id(api: &Api, path: &str) -> anyhow::Result<String> {
    let list = api.request(Method::GET, path).send().await?;
    let list: Value = list.error_for_status()?.json().await?;
    let id = list["items"][0]["id"].as_str().context("a call")?;
    Ok(id.to_owned())
}

/// Collects the events from here on.
async fn listen(api: &Api) -> anyhow::Result<(Arc<Mutex<String>>, JoinSet<()>)> {
    let mut stream = api.request(Method::GET, "/v1/events").send().await?;
    ensure!(stream.status() == 200, "the events are refused");
    let said = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&said);
    let mut listening = JoinSet::new();
    listening.spawn(async move {
        while let Ok(Some(chunk)) = stream.chunk().await {
            let text = String::from_utf8_lossy(&chunk).into_owned();
            kept.lock().expect("a lock").push_str(&text);
        }
    });
    Ok((said, listening))
}

/// Everything that is refused, with a secret in it.
async fn go_wrong(bed: &Bed, api: &Api, own: &str, leaks: &mut Leaks) -> anyhow::Result<()> {
    let lantern = "/v1/tenants/lantern";
    let patch = |path: &str, body: Value| api.request(Method::PATCH, path).json(&body);
    for (status, body) in [
        (
            422,
            json!({"livekit_api_secret": format!("{MISPLACED} with blanks")}),
        ),
        (422, json!({"livekit_api_secret": [MISPLACED]})),
        (422, json!({"max_calls": MISPLACED, "provider": MISPLACED})),
        (422, json!({"provider": MISPLACED})),
        (422, json!({"default_config": {"voice": [MISPLACED]}})),
        (
            422,
            json!({"call_config_url": format!("https://user:{MISPLACED}@x.example/")}),
        ),
    ] {
        api.keep(leaks, status, patch(lantern, body)).await?;
    }
    let broken = format!("{{\"livekit_api_secret\": \"{MISPLACED}\", }}");
    let broken = api.request(Method::PATCH, lantern).body(broken);
    let broken = broken.header("content-type", "application/json");
    api.keep(leaks, 400, broken).await?;
    let forged = api.http.get(format!("{}/v1/tenants", api.url));
    api.keep(leaks, 401, forged.bearer_auth(FORGED_TOKEN))
        .await?;
    let foreign = api.http.get(format!("{}{lantern}", api.url));
    api.keep(leaks, 404, foreign.bearer_auth(own)).await?;
    let beyond = api.http.get(format!("{}/v1/audit", api.url));
    api.keep(leaks, 403, beyond.bearer_auth(own)).await?;

    // New credentials that LiveKit refuses: the old ones stay in use.
    let wrong = patch(lantern, json!({"livekit_api_secret": WRONG_SECRET}));
    api.keep(leaks, 200, wrong).await?;
    bed.product
        .project_until("lantern", SOON, |project| {
            let reason = project.reason.as_deref().unwrap_or_default();
            reason.contains("refused")
        })
        .await?;

    // A key that the model refuses: callers hear the apology.
    let wrong = patch(
        "/v1/tenants/harbour",
        json!({"provider_api_key": WRONG_MODEL_KEY}),
    );
    let changed: Value = serde_json::from_str(&api.keep(leaks, 200, wrong).await?)?;
    let version = changed["version"].as_i64().context("a version")?;
    bed.product
        .project_until("harbour", SOON, |project| project.version >= version)
        .await?;
    let caller = bed.project("harbour").ring().await?;
    let room = caller.room().to_owned();
    let record = record_of(&bed.sql, &room).await?;
    ensure!(record.outcome == "model_failed", "{}", record.outcome);
    for slug in tenants_of(api).await? {
        let path = format!("/v1/tenants/{slug}/test");
        api.keep(leaks, 200, api.request(Method::POST, &path))
            .await?;
    }
    Ok(())
}

async fn tenants_of(api: &Api) -> anyhow::Result<Vec<String>> {
    let list = api.request(Method::GET, "/v1/tenants").send().await?;
    let list: Value = list.error_for_status()?.json().await?;
    let items = list["items"].as_array().context("tenants")?;
    let slugs = items.iter().filter_map(|item| item["slug"].as_str());
    Ok(slugs.map(str::to_owned).collect())
}

/// Every route that reads, as the API itself describes it.
async fn every_route(api: &Api, leaks: &mut Leaks) -> anyhow::Result<()> {
    let document = api.request(Method::GET, "/v1/openapi.json");
    let document: Value = serde_json::from_str(&api.keep(leaks, 200, document).await?)?;
    let call = call_id(api, "/v1/calls").await?;
    let slugs = tenants_of(api).await?;
    let mut read = 0;
    for (pattern, item) in document["paths"].as_object().context("paths")? {
        // The events do not end: they are listened to all the time.
        if item["get"].is_null() || pattern == "/v1/events" {
            continue;
        }
        for slug in &slugs {
            let path = pattern.replace("{slug}", slug).replace("{id}", &call);
            ensure!(!path.contains('{'), "what stands in {path}?");
            api.keep(leaks, 200, api.request(Method::GET, &path))
                .await?;
            read += 1;
        }
    }
    ensure!(read >= 20, "only {read} routes are described");
    Ok(())
}

/// What the command line says, on both of its outputs.
async fn commands(bed: &Bed, leaks: &mut Leaks) -> anyhow::Result<()> {
    for command in [
        "tenant list --json",
        "tenant show harbour",
        "tenant show lantern --json",
        "tenant history lantern",
        "tenant history harbour --json",
        "tenant test harbour",
        "tenant test lantern --json",
        "token list --json",
        "config show",
    ] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let output = bed.product.try_command(&arguments).await?;
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(!said.is_empty(), "`{command}` says nothing: {output:?}");
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        leaks.place(command, said);
    }
    Ok(())
}

/// Every table as text, in which bytes are hexadecimal.
async fn dump(bed: &Bed, leaks: &mut Leaks) -> anyhow::Result<()> {
    let query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'";
    let tables: Vec<String> = sqlx::query_scalar(query).fetch_all(&bed.sql).await?;
    ensure!(tables.len() >= 6, "{tables:?}");
    for table in tables {
        let query = format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} t");
        let text: String = sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(&bed.sql)
            .await?;
        leaks.place(format!("the table {table}"), text);
    }
    Ok(())
}

/// Every metric that a call brings to life is on the page.
fn metrics_are_on_the_page(metrics: &str) {
    let page = include_str!("../../docs/metrics.md");
    for line in metrics.lines() {
        let kind = line
            .strip_prefix("# TYPE ")
            .map(|line| line.split(' ').next());
        if let Some(Some(name)) = kind {
            assert!(
                page.contains(&format!("| `{name}` |")),
                "{name} is not in docs/metrics.md"
            );
        }
    }
}
