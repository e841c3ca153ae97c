//! What is asked of what is written, and not of what stands in a row already: a tenant
//! that runs is not parked because a rule is new.

use serde_json::Value;
use trunkline_domain::{
    ApologyAudio, CallConfigPatch, InvalidTenant, MAX_APOLOGY_BYTES, MAX_DEFAULT_CONFIG_BYTES,
    Tenant, TenantFields, leads_inside, shorten,
};
use url::Url;

use super::actor::{Actor, InnerUrls, Right};
use super::row::Unopened;
use super::update::TenantChange;
use crate::seal::Column;

/// Unknown fields that are named, and how long their names may be.
const MAX_NAMED: usize = 10;
const MAX_NAME_CHARS: usize = 64;

/// Whether a new tenant can be written and run.
pub(super) fn judge_new(fields: &TenantFields) -> Result<(), InvalidTenant> {
    let mut problems = Vec::new();
    for (name, url) in urls(fields) {
        problems.extend(url.and_then(|url| port(name, url)));
    }
    if let Ok(config) = serde_json::from_str(&fields.default_config) {
        problems.extend(default_config(&config));
    }
    problems.extend(apology(fields.apology_audio.as_ref()));
    both(Tenant::try_from(fields.clone()), problems)
}

/// What stands against a change, beside what cannot be run.
pub(super) fn of_change(
    change: &TenantChange,
    now: &TenantFields,
    unopened: &[Unopened],
    actor: &Actor,
) -> Vec<String> {
    let moves = moves(change, now, unopened);
    let mut problems = Vec::new();
    for url in &moves {
        let Some(new) = url.new else { continue };
        problems.extend(port(url.name, new));
    }
    if let Some(config) = &change.default_config {
        problems.extend(default_config(config));
    }
    problems.extend(apology(
        change.apology_audio.as_ref().and_then(Option::as_ref),
    ));
    if let Right::OwnTenant(inner) = actor.right() {
        for url in &moves {
            problems.extend(url.leads_inside(inner));
            problems.extend(url.takes_a_secret_along());
        }
    }
    problems
}

/// What can be run and has no other problem.
pub(super) fn both(
    run: Result<Tenant, InvalidTenant>,
    mut problems: Vec<String>,
) -> Result<(), InvalidTenant> {
    if let Err(invalid) = run {
        problems.splice(0..0, invalid.problems);
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(InvalidTenant { problems })
    }
}

fn urls(fields: &TenantFields) -> [(&'static str, Option<&str>); 4] {
    [
        ("livekit_url", Some(&fields.livekit_url)),
        ("call_config_url", fields.call_config_url.as_deref()),
        ("provider_base_url", fields.provider_base_url.as_deref()),
        (
            "fallback_provider_base_url",
            fields.fallback_provider_base_url.as_deref(),
        ),
    ]
}

/// A URL that is changed, and the secret that goes where it leads.
struct Move<'a> {
    name: &'static str,
    old: Option<&'a str>,
    new: Option<&'a str>,
    secret: &'static str,
    /// There is one, and it would stay.
    secret_stays: bool,
    /// Without a URL the secret still goes somewhere: to where the process is set to.
    has_default: bool,
}

fn moves<'a>(
    change: &'a TenantChange,
    now: &'a TenantFields,
    unopened: &[Unopened],
) -> Vec<Move<'a>> {
    let is_there = |column: Column, is_open: bool| {
        is_open || unopened.iter().any(|u| u.column == column.name())
    };
    let mut moves = Vec::new();
    if let Some(new) = &change.livekit_url {
        moves.push(Move {
            name: "livekit_url",
            old: Some(&now.livekit_url),
            new: Some(new),
            secret: "livekit_api_secret",
            secret_stays: change.livekit_api_secret.is_none(),
            has_default: false,
        });
    }
    if let Some(new) = &change.call_config_url {
        moves.push(Move {
            name: "call_config_url",
            old: now.call_config_url.as_deref(),
            new: new.as_deref(),
            secret: "call_config_bearer",
            secret_stays: change.call_config_bearer.is_none()
                && is_there(Column::CallConfigBearer, now.call_config_bearer.is_some()),
            has_default: false,
        });
    }
    if let Some(new) = &change.provider_base_url {
        moves.push(Move {
            name: "provider_base_url",
            old: now.provider_base_url.as_deref(),
            new: new.as_deref(),
            secret: "provider_api_key",
            secret_stays: change.provider_api_key.is_none()
                && is_there(Column::ProviderApiKey, now.provider_api_key.is_some()),
            has_default: true,
        });
    }
    if let Some(new) = &change.fallback_provider_base_url {
        let is_open = now.fallback_provider_api_key.is_some();
        moves.push(Move {
            name: "fallback_provider_base_url",
            old: now.fallback_provider_base_url.as_deref(),
            new: new.as_deref(),
            secret: "fallback_provider_api_key",
            secret_stays: change.fallback_provider_api_key.is_none()
                && is_there(Column::FallbackProviderApiKey, is_open),
            has_default: true,
        });
    }
    moves
}

impl Move<'_> {
    fn leads_inside(&self, inner: InnerUrls) -> Option<String> {
        let url = Url::parse(self.new?.trim()).ok()?;
        let is_refused = inner == InnerUrls::Refused && self.is_new() && leads_inside(&url);
        is_refused.then(|| {
            format!(
                "{} must not lead to an internal address (loopback, link-local, private, or a \
                 name of the local network): with a token of the tenant it must be public",
                self.name
            )
        })
    }

    fn takes_a_secret_along(&self) -> Option<String> {
        let goes_somewhere = self.new.is_some() || self.has_default;
        let is_moved = goes_somewhere && origin(self.old) != origin(self.new);
        (is_moved && self.secret_stays).then(|| {
            format!(
                "{} must come anew in the same request: {} has another origin, and the secret \
                 that is there is not sent elsewhere by a token of the tenant",
                self.secret, self.name
            )
        })
    }

    fn is_new(&self) -> bool {
        self.old != self.new
    }
}

/// Scheme, host and port. What cannot be read is of no origin, and is refused otherwise.
fn origin(text: Option<&str>) -> Option<String> {
    let url = Url::parse(text?.trim()).ok()?;
    // One server's two names of one transport are one.
    let is_safe = matches!(url.scheme(), "https" | "wss");
    let port = url.port_or_known_default().unwrap_or_default();
    Some(format!(
        "{is_safe} {} {port}",
        url.host_str().unwrap_or_default()
    ))
}

/// A ":" with nothing behind it is a port that was forgotten.
fn port(name: &str, url: &str) -> Option<String> {
    let (_, rest) = url.trim().split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority
        .ends_with(':')
        .then(|| format!("{name} must have a port behind the \":\" of its host, or no \":\" there"))
}

fn apology(audio: Option<&ApologyAudio>) -> Option<String> {
    let bytes = audio?.as_bytes().len();
    let is_bounded = (1..=MAX_APOLOGY_BYTES).contains(&bytes);
    (!is_bounded)
        .then(|| format!("apology_audio must have 1 to {MAX_APOLOGY_BYTES} bytes, not {bytes}"))
}

fn default_config(config: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    // Postgres, which writes more blanks, has the last word.
    let bytes = config.to_string().len();
    if bytes > MAX_DEFAULT_CONFIG_BYTES {
        problems.push(format!(
            "default_config must have {MAX_DEFAULT_CONFIG_BYTES} bytes at most as JSON, not {bytes}"
        ));
    }
    if let Value::Object(fields) = config {
        let known = CallConfigPatch::FIELDS;
        let unknown = fields.keys().filter(|name| !known.contains(&name.as_str()));
        problems.extend(unknown.take(MAX_NAMED).map(|name| {
            format!(
                "default_config: {} is not known; there are {}",
                shorten(name, MAX_NAME_CHARS),
                known.join(", ")
            )
        }));
    }
    problems
}

#[cfg(test)]
mod tests {
    use trunkline_domain::TenantId;

    use super::*;

    fn now() -> TenantFields {
        TenantFields {
            call_config_url: Some("https://a.example/one".into()),
            call_config_bearer: Some("bearer".into()),
            provider_api_key: Some("key".into()),
            fallback_provider_api_key: Some("key".into()),
            ..TenantFields::new(
                TenantId(uuid::Uuid::nil()),
                "acme",
                "wss://a.example",
                "key",
                "secret".into(),
            )
        }
    }

    fn told(change: TenantChange, inner: InnerUrls) -> Vec<String> {
        let actor = Actor::new("api:x").of_one_tenant(inner);
        let problems = of_change(&change, &now(), &[], &actor);
        // Who has all rights is refused none of it.
        assert_eq!(
            of_change(&change, &now(), &[], &Actor::new("cli:x")),
            [""; 0]
        );
        problems
            .iter()
            .map(|p| p.split(' ').next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_secret_does_not_go_elsewhere_by_a_tenants_own_token() {
        let refused = InnerUrls::Refused;
        let to = |url: &str| TenantChange {
            call_config_url: Some(Some(url.into())),
            ..TenantChange::default()
        };
        assert_eq!(told(to("https://a.example/two"), refused), [""; 0]);
        assert_eq!(
            told(to("https://b.example/"), refused),
            ["call_config_bearer"]
        );
        assert_eq!(
            told(to("http://a.example/one"), refused),
            ["call_config_bearer"]
        );
        let anew = TenantChange {
            call_config_bearer: Some(Some("other".into())),
            ..to("https://b.example/")
        };
        assert_eq!(told(anew, refused), [""; 0]);
        let away = TenantChange {
            call_config_url: Some(None),
            ..TenantChange::default()
        };
        assert_eq!(told(away, refused), [""; 0]);
        let livekit = TenantChange {
            livekit_url: Some("wss://b.example".into()),
            provider_base_url: Some(Some("https://m.example".into())),
            ..TenantChange::default()
        };
        assert_eq!(
            told(livekit, refused),
            ["livekit_api_secret", "provider_api_key"]
        );
        let second = TenantChange {
            fallback_provider_base_url: Some(Some("https://m.example".into())),
            ..TenantChange::default()
        };
        assert_eq!(told(second, refused), ["fallback_provider_api_key"]);
    }

    #[test]
    fn a_tenants_own_token_leads_inside_only_where_that_is_set() {
        let change = || TenantChange {
            call_config_url: Some(Some("http://169.254.169.254/".into())),
            call_config_bearer: Some(None),
            ..TenantChange::default()
        };
        assert_eq!(told(change(), InnerUrls::Refused), ["call_config_url"]);
        assert_eq!(told(change(), InnerUrls::Taken), [""; 0]);
        let second = TenantChange {
            fallback_provider_base_url: Some(Some("ws://10.0.0.1/v1".into())),
            fallback_provider_api_key: Some(Some("another".into())),
            ..TenantChange::default()
        };
        assert_eq!(
            told(second, InnerUrls::Refused),
            ["fallback_provider_base_url"]
        );
    }

    #[test]
    fn an_apology_that_is_too_long_or_empty_is_refused_of_everybody() {
        for (bytes, is_wrong) in [
            (0, true),
            (1, false),
            (MAX_APOLOGY_BYTES, false),
            (MAX_APOLOGY_BYTES + 1, true),
        ] {
            let audio = ApologyAudio::from(vec![1; bytes]);
            let change = TenantChange {
                apology_audio: Some(Some(audio.clone())),
                ..TenantChange::default()
            };
            let problems = of_change(&change, &now(), &[], &Actor::new("cli:x"));
            assert_eq!(!problems.is_empty(), is_wrong, "{bytes}: {problems:?}");
            let mut new = now();
            new.apology_audio = Some(audio);
            assert_eq!(judge_new(&new).is_err(), is_wrong, "{bytes}");
        }
    }

    #[test]
    fn a_forgotten_port_is_found() {
        for (url, is_wrong) in [
            ("wss://a.example:", true),
            ("wss://a.example:/x", true),
            ("wss://[::1]:", true),
            ("wss://[::1]", false),
            ("wss://a.example:7880/a:", false),
        ] {
            assert_eq!(port("livekit_url", url).is_some(), is_wrong, "{url}");
        }
    }
}
