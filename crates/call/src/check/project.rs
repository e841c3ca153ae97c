//! Does the tenant's URL lead to a LiveKit server, and does that take the key?
//!
//! One harmless question answers both: a list of rooms of a name that none has.
//! It is asked by hand, and not with LiveKit's own client, which hides what a
//! refusal says.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use livekit_api::access_token::{AccessToken, VideoGrants};
use reqwest::header::{CONTENT_TYPE, DATE};
use reqwest::redirect::Policy;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use trunkline_domain::{LiveKitProject, chain};
use url::{Host, Url};

use super::report::{Check, CheckName};
use crate::room_api::http_url;

/// Finding an address takes milliseconds, some 5 s where the first server of names is down.
const RESOLVE_LIMIT: Duration = Duration::from_secs(8);
/// TCP and TLS, then the answer. A worker is as patient.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// A refusal's words are read up to here, in bytes. They repeat the token, of some 300.
const MAX_REFUSAL_BYTES: usize = 4096;
/// What a refusal of LiveKit's begins with, in front of what was wrong with a token of ours.
/// Source: `pkg/service/auth.go` of livekit-server.
const REFUSALS: [&str; 2] = ["invalid API key", "invalid token: "];
/// What a refusal for the token's times has in it.
const EARLY_OR_LATE: [&str; 3] = ["expired", "not valid yet", "used before issued"];
/// How far two clocks may differ. LiveKit forgives a minute when it looks at a token's times.
const MAX_SKEW: Duration = Duration::from_secs(60);
/// Worth saying: half of what is forgiven.
const NOTABLE_SKEW: Duration = Duration::from_secs(30);

pub(super) async fn check(project: &LiveKitProject) -> (Check, Check) {
    match ask(project).await {
        Ok((answer, took)) => {
            let mut checks = judge(&answer);
            checks.0.took_ms = took.as_millis() as u64;
            checks.1.took_ms = checks.0.took_ms;
            checks
        }
        Err(url) => {
            let key = Check::not_made(CheckName::Key, "the project cannot be reached");
            (url, key)
        }
    }
}

/// What the server said, as far as it matters.
struct Answer {
    status: u16,
    /// Holds the token where the server repeats it: never shown.
    body: String,
    /// How far our clock is ahead of the server's, in seconds; negative: behind.
    skew_s: Option<i64>,
}

async fn ask(project: &LiveKitProject) -> Result<(Answer, Duration), Check> {
    let mut url = http_url(&project.url);
    resolve(&url).await?;
    let failed = |detail: String, remedy: &str| Check::failed(CheckName::Url, detail, remedy);
    let broken = |error: &dyn std::error::Error| failed(chain(error).to_string(), ADDRESS);
    // As LiveKit's own clients do, whatever path the project's URL has.
    url.set_path("/twirp/livekit.RoomService/ListRooms");
    url.set_query(None);
    let grants = VideoGrants {
        room_list: true,
        ..Default::default()
    };
    let secret = project.api_secret.expose_secret();
    let token = AccessToken::with_api_key(&project.api_key, secret)
        .with_grants(grants)
        .to_jwt()
        .map_err(|error| broken(&error))?;
    let client = reqwest::Client::builder()
        .redirect(Policy::none())
        .timeout(REQUEST_LIMIT)
        .build()
        .map_err(|error| broken(&error))?;
    let started = Instant::now();
    let sent = client
        .post(url)
        .header(CONTENT_TYPE, "application/json")
        .bearer_auth(token)
        .body(r#"{"names":["trunkline-check"]}"#)
        .send()
        .await;
    let took = started.elapsed();
    let mut response = sent.map_err(unreachable)?;
    let theirs = response.headers().get(DATE);
    let theirs = theirs.and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok());
    let skew_s = theirs.map(|theirs| (Utc::now() - theirs.to_utc()).num_seconds());
    let mut body = Vec::new();
    while body.len() < MAX_REFUSAL_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    let answer = Answer {
        status: response.status().as_u16(),
        body: String::from_utf8_lossy(&body).into_owned(),
        skew_s,
    };
    Ok((answer, took))
}

const ADDRESS: &str = "check livekit_url, and that this machine may reach it (firewall, proxy)";

async fn resolve(url: &Url) -> Result<(), Check> {
    let (Some(Host::Domain(name)), Some(port)) = (url.host(), url.port_or_known_default()) else {
        return Ok(());
    };
    let found = tokio::time::timeout(RESOLVE_LIMIT, tokio::net::lookup_host((name, port))).await;
    let problem = match found {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", RESOLVE_LIMIT.as_secs()),
    };
    Err(Check::failed(
        CheckName::Url,
        format!("the host {name} has no address: {problem}"),
        "check livekit_url for a slip of the pen, and this machine's DNS",
    ))
}

fn unreachable(error: reqwest::Error) -> Check {
    let text = chain(&error.without_url()).to_string();
    let (detail, remedy) = if text.contains("certificate") {
        (
            format!("its certificate is not trusted: {text}"),
            "have the server send a valid certificate with its chain, or add its authority to \
             this machine's root certificates",
        )
    } else {
        (format!("it cannot be reached: {text}"), ADDRESS)
    };
    Check::failed(CheckName::Url, detail, remedy)
}

/// Whether LiveKit has let us in: it lists no room. Other servers answer anything with 200.
fn lists_rooms(body: &str) -> bool {
    let fields: Option<Map<String, Value>> = serde_json::from_str(body).ok();
    fields.is_some_and(|fields| {
        fields
            .iter()
            .all(|(name, value)| name == "rooms" && value.is_array())
    })
}

/// Whether a refusal is LiveKit's: in its own words, or as an error of Twirp, its RPC.
fn is_refusal_of_livekit(body: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Twirp {
        code: String,
        #[expect(dead_code, reason = "it must be there")]
        msg: String,
    }
    let twirp: Option<Twirp> = serde_json::from_str(body).ok();
    REFUSALS.iter().any(|words| body.starts_with(words))
        || twirp.is_some_and(|error| {
            ["unauthenticated", "permission_denied"].contains(&error.code.as_str())
        })
}

fn judge(answer: &Answer) -> (Check, Check) {
    let reached = || Check::ok(CheckName::Url, "a LiveKit server answers");
    let refused = |detail: &str, remedy: &str| {
        (
            reached(),
            Check::failed(CheckName::Key, detail, remedy.to_owned()),
        )
    };
    let said = |words: &str| answer.body.contains(words);
    let skew = answer.skew_s.map(i64::unsigned_abs);
    let skewed = skew.is_some_and(|seconds| seconds > MAX_SKEW.as_secs());
    match answer.status {
        200 if lists_rooms(&answer.body) => (reached(), accepted(answer.skew_s)),
        401 | 403 if !is_refusal_of_livekit(&answer.body) => another(answer.status),
        401 if said("invalid API key") => refused(
            "the server has no such API key",
            "check livekit_api_key, and that it is a key of this very project",
        ),
        401 if skewed || EARLY_OR_LATE.iter().any(|words| said(words)) => refused(
            &format!(
                "the token is refused for its time: this machine's clock is {}",
                answer.skew_s.map_or_else(|| "wrong".to_owned(), ahead)
            ),
            "set this machine's clock by NTP",
        ),
        // By the library for tokens that the server was built with.
        401 if said("cryptographic primitive") || said("signature is invalid") => refused(
            "the API key is known, but the API secret is not the one that belongs to it",
            "set livekit_api_secret anew; it may have been cut or changed as it was copied",
        ),
        401 | 403 => refused(
            &format!("the credentials are refused (HTTP {})", answer.status),
            "check livekit_api_key and livekit_api_secret, and that the key may manage rooms",
        ),
        status => another(status),
    }
}

fn another(status: u16) -> (Check, Check) {
    (
        Check::failed(
            CheckName::Url,
            format!("something answers there, but not as a LiveKit server does (HTTP {status})"),
            "check livekit_url; behind a proxy, that it lets /twirp and /agent through and asks \
             for no password of its own",
        ),
        Check::not_made(CheckName::Key, "no LiveKit server answers"),
    )
}

fn accepted(skew_s: Option<i64>) -> Check {
    match skew_s {
        Some(seconds) if seconds.unsigned_abs() > NOTABLE_SKEW.as_secs() => Check::warning(
            CheckName::Key,
            format!("accepted, but this machine's clock is {}", ahead(seconds)),
            "set this machine's clock by NTP: with a minute's difference the key is refused",
        ),
        _ => Check::ok(CheckName::Key, "the API key and secret are accepted"),
    }
}

fn ahead(seconds: i64) -> String {
    let side = if seconds < 0 { "behind" } else { "ahead of" };
    format!("{} s {side} the server's", seconds.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::super::report::CheckStatus;
    use super::*;

    #[test]
    fn a_refusal_says_which_half_of_the_key_is_wrong_or_that_the_clock_is() {
        use CheckStatus::{Failed, Ok, Warning};
        let signature = "invalid token: ey.J.x, error: go-jose: error in cryptographic primitive";
        let newer =
            "invalid token: ey.J.x, error: token signature is invalid: signature is invalid";
        let expired = "invalid token: ey.J.x, error: token is expired (exp)";
        let denied = r#"{"code":"permission_denied","msg":"permissions denied"}"#;
        for (status, body, skew_s, url, key, words) in [
            (200, r#"{"rooms":[]}"#, Some(0), Ok, Ok, "accepted"),
            (200, "{}", Some(-40), Ok, Warning, "40 s behind"),
            (401, "invalid API key: APIx", Some(0), Ok, Failed, "no such"),
            (401, signature, Some(0), Ok, Failed, "secret is not the one"),
            (401, newer, Some(0), Ok, Failed, "secret is not the one"),
            (401, signature, Some(3_600), Ok, Failed, "3600 s ahead of"),
            (401, expired, None, Ok, Failed, "clock"),
            (403, denied, None, Ok, Failed, "HTTP 403"),
            (403, "", None, Failed, Warning, "not checked"),
            (401, "Unauthorized", None, Failed, Warning, "not checked"),
            (
                401,
                r#"{"error":"invalid_token"}"#,
                None,
                Failed,
                Warning,
                "not checked",
            ),
            (200, "<html>", None, Failed, Warning, "not checked"),
            (200, r#"{"ok":true}"#, None, Failed, Warning, "not checked"),
            (404, "<html>", None, Failed, Warning, "not checked"),
            (502, "", None, Failed, Warning, "not checked"),
        ] {
            let answer = Answer {
                status,
                body: body.to_owned(),
                skew_s,
            };
            let checks = judge(&answer);
            assert_eq!((checks.0.status, checks.1.status), (url, key), "{body}");
            assert!(checks.1.detail.contains(words), "{checks:?}");
            assert!(!format!("{checks:?}").contains("ey.J"), "{checks:?}");
        }
    }
}
