//! A tenant: one LiveKit project and how its calls are run.

use std::num::NonZeroU32;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::fallback::{ApologyAudio, Fallback, SecondModel};
use crate::{
    AgentName, CallConfig, CallConfigPatch, CallsPerSecond, Deployment, MAX_NAME_CHARS, Reach,
    TenantId, TenantSlug, TenantVersion, TransferTarget, same_secret,
};

/// The agent name of a tenant that names none.
pub const DEFAULT_AGENT_NAME: &str = "pstn-voice-agent";

/// How many agent names a tenant may have. Each is a registration, with a socket
/// of its own.
pub const MAX_AGENT_NAMES: usize = 16;

/// The longest secret or key that is taken, in bytes.
const MAX_SECRET_BYTES: usize = 4096;
/// The longest URL that is taken, in characters: what servers take as a rule.
const MAX_URL_CHARS: usize = 2048;
/// The longest call that a tenant can set as its limit, in minutes: a day.
const MAX_CALL_MINUTES: i32 = 24 * 60;

/// The schemes of a model's address.
const PROVIDER_SCHEMES: [&str; 4] = ["wss", "ws", "https", "http"];

/// A LiveKit project: where it is and how to prove that we may use it.
#[derive(Debug, Clone)]
pub struct LiveKitProject {
    /// `ws`, `wss`, `http` or `https`, with or without a path.
    pub url: Url,
    /// The API key's public half.
    pub api_key: String,
    /// The API key's secret half.
    pub api_secret: SecretString,
}

/// How a call's configuration is asked for.
#[derive(Debug, Clone)]
pub struct LookupSettings {
    /// Where `POST` goes.
    pub url: Url,
    /// Sent as `Authorization: Bearer …`.
    pub bearer: Option<SecretString>,
    /// Signs each request, with HMAC-SHA256.
    pub signing_secret: Option<SecretString>,
    /// From the request's start to the last byte of the answer.
    pub deadline: Duration,
    /// Where the URL may lead.
    pub reach: Reach,
}

/// Which wire a model's vendor speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderKind {
    /// OpenAI Realtime (GA), and every server of that wire.
    OpenAi,
}

impl ProviderKind {
    /// As it is written in the database and in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
        }
    }
}

/// Where the model is.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// The wire.
    pub kind: ProviderKind,
    /// For instance `wss://api.openai.com/v1`. `None`: the process's default.
    pub base_url: Option<Url>,
    /// `None`: the process's default.
    pub api_key: Option<SecretString>,
}

/// What a tenant may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Calls at the same time on one replica. `None`: as many as the process takes.
    pub max_calls: Option<NonZeroU32>,
    /// New calls per second on one replica. `None`: as many as come.
    pub calls_per_second: Option<CallsPerSecond>,
    /// How long a call may be, from its answer. `None`: as long as it takes.
    pub max_call_duration: Option<Duration>,
}

/// A tenant that can be run.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Identity.
    pub id: TenantId,
    /// Name for people.
    pub slug: TenantSlug,
    /// Version of the row that this was read from.
    pub version: TenantVersion,
    /// A disabled tenant keeps its row and takes no calls.
    pub enabled: bool,
    /// The LiveKit project.
    pub project: LiveKitProject,
    /// The names that dispatch rules ask for, at least one and none twice. Each is
    /// registered by itself; they share everything else.
    pub agent_names: Vec<AgentName>,
    /// The rest of the routing key.
    pub deployment: Option<Deployment>,
    /// `None`: every call runs with `default_config`.
    pub lookup: Option<LookupSettings>,
    /// How long the phone may ring before the best rung that is ready is taken.
    pub answer_deadline: Duration,
    /// What a call runs with when the lookup gives nothing.
    pub default_config: CallConfig,
    /// Where recordings that a configuration names may be fetched.
    pub recordings: Reach,
    /// The model.
    pub provider: ProviderSettings,
    /// What callers get when something fails.
    pub fallback: Fallback,
    /// What the tenant may use.
    pub limits: Limits,
}

impl LiveKitProject {
    /// See [`server_of`].
    pub fn server(&self) -> String {
        server_of(&self.url)
    }
}

/// Host, port and path: what two spellings of one server's URL have in common.
pub fn server_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{host}:{port}{}", url.path().trim_end_matches('/'))
}

impl Tenant {
    /// Whether workers that run for `self` serve `other` as well. When not, new ones
    /// are needed; every other change applies in place. So do other agent names: a
    /// name comes or goes without the others.
    pub fn same_registration(&self, other: &Self) -> bool {
        self.project.url == other.project.url
            && self.project.api_key == other.project.api_key
            && same_secret(&self.project.api_secret, &other.project.api_secret)
            && self.deployment == other.deployment
    }
}

/// The fields of a tenant as they come from outside, unchecked.
#[derive(Debug, Clone)]
pub struct TenantFields {
    /// Identity.
    pub id: TenantId,
    /// Name for people.
    pub slug: String,
    /// Version of the row.
    pub version: TenantVersion,
    /// Whether calls are taken.
    pub enabled: bool,
    /// `ws(s)://` or `http(s)://`.
    pub livekit_url: String,
    /// The API key.
    pub livekit_api_key: String,
    /// The API secret.
    pub livekit_api_secret: SecretString,
    /// The names that dispatch rules ask for.
    pub agent_names: Vec<String>,
    /// The rest of the routing key.
    pub deployment: Option<String>,
    /// Where the configuration is asked for.
    pub call_config_url: Option<String>,
    /// Its bearer token.
    pub call_config_bearer: Option<SecretString>,
    /// What its requests are signed with.
    pub call_config_signing_secret: Option<SecretString>,
    /// Its deadline, in milliseconds.
    pub call_config_deadline_ms: i32,
    /// How long the phone may ring, in milliseconds.
    pub answer_deadline_ms: i32,
    /// The JSON text of a [`CallConfigPatch`].
    pub default_config: String,
    /// Which wire.
    pub provider: String,
    /// Where the model is.
    pub provider_base_url: Option<String>,
    /// The model's key.
    pub provider_api_key: Option<SecretString>,
    /// Which wire the second model speaks. `None`: there is no second model.
    pub fallback_provider: Option<String>,
    /// Where the second model is.
    pub fallback_provider_base_url: Option<String>,
    /// The second model's key.
    pub fallback_provider_api_key: Option<SecretString>,
    /// The second model's name.
    pub fallback_model: Option<String>,
    /// The second model's voice.
    pub fallback_voice: Option<String>,
    /// To whom a call is passed on after the apology.
    pub fallback_transfer_to: Option<String>,
    /// The apology, where the tenant has one of its own.
    pub apology_audio: Option<ApologyAudio>,
    /// Calls at the same time.
    pub max_calls: Option<i32>,
    /// New calls per second.
    pub calls_per_second: Option<f64>,
    /// How long a call may be, in minutes.
    pub max_call_minutes: Option<i32>,
    /// The names of those URLs that may lead to the outside only.
    pub confined_urls: Vec<String>,
}

impl TenantFields {
    /// An enabled tenant of version 1 with what must be given; the rest is as the
    /// database has it by default.
    pub fn new(
        id: TenantId,
        slug: &str,
        livekit_url: &str,
        livekit_api_key: &str,
        livekit_api_secret: SecretString,
    ) -> Self {
        Self {
            id,
            slug: slug.to_owned(),
            version: TenantVersion(1),
            enabled: true,
            livekit_url: livekit_url.to_owned(),
            livekit_api_key: livekit_api_key.to_owned(),
            livekit_api_secret,
            agent_names: vec![DEFAULT_AGENT_NAME.to_owned()],
            deployment: None,
            call_config_url: None,
            call_config_bearer: None,
            call_config_signing_secret: None,
            call_config_deadline_ms: 4_000,
            answer_deadline_ms: 6_000,
            default_config: "{}".to_owned(),
            provider: ProviderKind::OpenAi.as_str().to_owned(),
            provider_base_url: None,
            provider_api_key: None,
            fallback_provider: None,
            fallback_provider_base_url: None,
            fallback_provider_api_key: None,
            fallback_model: None,
            fallback_voice: None,
            fallback_transfer_to: None,
            apology_audio: None,
            max_calls: None,
            calls_per_second: None,
            max_call_minutes: None,
            confined_urls: Vec::new(),
        }
    }
}

/// A text that is no key. It is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_SECRET_BYTES} visible ASCII characters without blanks")]
pub struct InvalidKey;

/// Checks a key, secret or token: it must fit into a header of HTTP.
///
/// # Errors
/// When it is empty, too long, or holds what is not visible ASCII.
pub fn check_key(text: &str) -> Result<(), InvalidKey> {
    let visible = text.bytes().all(|b| b.is_ascii_graphic());
    if visible && (1..=MAX_SECRET_BYTES).contains(&text.len()) {
        Ok(())
    } else {
        Err(InvalidKey)
    }
}

/// A tenant that cannot be run, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("; "))]
pub struct InvalidTenant {
    /// One text per wrong field, each beginning with the field's name.
    pub problems: Vec<String>,
}

impl TryFrom<TenantFields> for Tenant {
    type Error = InvalidTenant;

    fn try_from(fields: TenantFields) -> Result<Self, InvalidTenant> {
        let mut check = Check::default();
        let slug = check.name::<TenantSlug>(&fields.slug);
        let url = check.url(
            "livekit_url",
            &fields.livekit_url,
            &["wss", "ws", "https", "http"],
        );
        check.key("livekit_api_key", &fields.livekit_api_key);
        check.api_secret(fields.livekit_api_secret.expose_secret());
        let agent_names = check.agent_names(&fields.agent_names);
        let deployment = fields
            .deployment
            .as_deref()
            .filter(|d| !d.is_empty())
            .map(|d| check.name::<Deployment>(d));
        let lookup_url = fields
            .call_config_url
            .as_deref()
            .map(|u| check.url("call_config_url", u, &["https", "http"]));
        if let Some(bearer) = &fields.call_config_bearer {
            check.key("call_config_bearer", bearer.expose_secret());
        }
        if let Some(secret) = &fields.call_config_signing_secret {
            check.key("call_config_signing_secret", secret.expose_secret());
        }
        let deadline = check.millis(
            "call_config_deadline_ms",
            fields.call_config_deadline_ms,
            100..=30_000,
        );
        let answer_deadline = check.millis(
            "answer_deadline_ms",
            fields.answer_deadline_ms,
            500..=60_000,
        );
        let default_config = check.config(&fields.default_config);
        let provider = check.provider("provider", &fields.provider);
        let base_url = fields
            .provider_base_url
            .as_deref()
            .map(|u| check.url("provider_base_url", u, &PROVIDER_SCHEMES));
        if let Some(key) = &fields.provider_api_key {
            check.key("provider_api_key", key.expose_secret());
        }
        let second_kind = fields
            .fallback_provider
            .as_deref()
            .map(|p| check.provider("fallback_provider", p));
        let second_base_url = fields
            .fallback_provider_base_url
            .as_deref()
            .map(|u| check.url("fallback_provider_base_url", u, &PROVIDER_SCHEMES));
        if let Some(key) = &fields.fallback_provider_api_key {
            check.key("fallback_provider_api_key", key.expose_secret());
        }
        check.vendor_name("fallback_model", fields.fallback_model.as_deref());
        check.vendor_name("fallback_voice", fields.fallback_voice.as_deref());
        let transfer_to = fields
            .fallback_transfer_to
            .as_deref()
            .map(|to| check.transfer_target("fallback_transfer_to", to));
        let max_calls = fields.max_calls.map(|n| check.count("max_calls", n));
        let calls_per_second = fields
            .calls_per_second
            .map(|rate| check.rate("calls_per_second", rate));
        let max_call_duration = fields
            .max_call_minutes
            .map(|n| check.minutes("max_call_minutes", n, 1..=MAX_CALL_MINUTES));

        let confined = |field: &str| fields.confined_urls.iter().any(|name| name == field);
        let reach = |is_confined: bool| match is_confined {
            true => Reach::Outside,
            false => Reach::Anywhere,
        };
        let lookup_reach = reach(confined("call_config_url"));
        // The backend's answer names them, or the default does.
        let recordings = reach(confined("call_config_url") || confined("default_config"));

        check.finish(|| {
            let default_config = default_config?;
            let second_base_url = flat(second_base_url)?;
            let second_model = flat(second_kind)?.map(|kind| SecondModel {
                provider: ProviderSettings {
                    kind,
                    base_url: second_base_url,
                    api_key: fields.fallback_provider_api_key,
                },
                model: fields
                    .fallback_model
                    .unwrap_or_else(|| default_config.model.clone()),
                voice: fields
                    .fallback_voice
                    .unwrap_or_else(|| default_config.voice.clone()),
            });
            Some(Self {
                id: fields.id,
                slug: slug?,
                version: fields.version,
                enabled: fields.enabled,
                project: LiveKitProject {
                    url: url?,
                    api_key: fields.livekit_api_key,
                    api_secret: fields.livekit_api_secret,
                },
                agent_names: agent_names?,
                deployment: flat(deployment)?,
                lookup: flat(lookup_url)?.map(|url| LookupSettings {
                    url,
                    bearer: fields.call_config_bearer,
                    signing_secret: fields.call_config_signing_secret,
                    deadline,
                    reach: lookup_reach,
                }),
                answer_deadline,
                default_config,
                recordings,
                provider: ProviderSettings {
                    kind: provider?,
                    base_url: flat(base_url)?,
                    api_key: fields.provider_api_key,
                },
                fallback: Fallback {
                    second_model,
                    transfer_to: flat(transfer_to)?,
                    apology: fields.apology_audio,
                },
                limits: Limits {
                    max_calls: flat(max_calls)?,
                    calls_per_second: flat(calls_per_second)?,
                    max_call_duration,
                },
            })
        })
    }
}

/// An absent field is fine (`Some(None)`), a present and wrong one is not (`None`).
fn flat<T>(field: Option<Option<T>>) -> Option<Option<T>> {
    match field {
        None => Some(None),
        Some(inner) => inner.map(Some),
    }
}

/// Collects everything that is wrong, so that it can be mended in one go.
#[derive(Default)]
struct Check {
    problems: Vec<String>,
}

impl Check {
    fn name<T: std::str::FromStr<Err = crate::InvalidName>>(&mut self, text: &str) -> Option<T> {
        text.parse()
            .map_err(|e: crate::InvalidName| self.problems.push(e.to_string()))
            .ok()
    }

    fn agent_names(&mut self, texts: &[String]) -> Option<Vec<AgentName>> {
        if texts.is_empty() || texts.len() > MAX_AGENT_NAMES {
            self.problems.push(format!(
                "agent_names must be 1 to {MAX_AGENT_NAMES} names, not {}",
                texts.len()
            ));
            return None;
        }
        let mut names: Vec<AgentName> = Vec::with_capacity(texts.len());
        for text in texts {
            match self.name::<AgentName>(text) {
                Some(name) if names.contains(&name) => self
                    .problems
                    .push(format!("agent_names must not hold {name} twice")),
                Some(name) => names.push(name),
                None => {}
            }
        }
        (names.len() == texts.len()).then_some(names)
    }

    /// The text is not repeated: a URL can hold a password.
    fn url(&mut self, field: &str, text: &str, schemes: &[&str]) -> Option<Url> {
        if text.chars().count() > MAX_URL_CHARS {
            self.problems.push(format!(
                "{field} must be of {MAX_URL_CHARS} characters at most"
            ));
            return None;
        }
        let parsed = Url::parse(text.trim())
            .ok()
            .filter(|url| schemes.contains(&url.scheme()) && url.has_host());
        match parsed {
            Some(url) if url.username().is_empty() && url.password().is_none() => Some(url),
            Some(_) => {
                self.problems
                    .push(format!("{field} must not hold a user name or password"));
                None
            }
            None => {
                self.problems.push(format!(
                    "{field} must be an absolute URL with one of the schemes {}",
                    schemes.join(", ")
                ));
                None
            }
        }
    }

    fn key(&mut self, field: &str, text: &str) {
        if let Err(problem) = check_key(text) {
            self.problems.push(format!("{field} {problem}"));
        }
    }

    /// One that was never written is told apart from one that is wrong: a row can be
    /// written without it.
    fn api_secret(&mut self, text: &str) {
        const FIELD: &str = "livekit_api_secret";
        if text.is_empty() {
            self.problems.push(format!(
                "{FIELD} is missing: set the column {FIELD} to the secret in clear (it is sealed \
                 and erased as it is read), or use `trunkline tenant set`"
            ));
        } else {
            self.key(FIELD, text);
        }
    }

    fn millis(
        &mut self,
        field: &str,
        value: i32,
        range: std::ops::RangeInclusive<i32>,
    ) -> Duration {
        if !range.contains(&value) {
            self.problems.push(format!(
                "{field} must be from {} to {}, not {value}",
                range.start(),
                range.end()
            ));
        }
        Duration::from_millis(u64::try_from(value).unwrap_or(0))
    }

    fn minutes(
        &mut self,
        field: &str,
        value: i32,
        range: std::ops::RangeInclusive<i32>,
    ) -> Duration {
        if !range.contains(&value) {
            self.problems.push(format!(
                "{field} must be from {} to {}, not {value}",
                range.start(),
                range.end()
            ));
        }
        Duration::from_secs(60 * u64::try_from(value).unwrap_or(0))
    }

    fn config(&mut self, json: &str) -> Option<CallConfig> {
        match CallConfigPatch::parse_all(json.as_bytes()) {
            Ok(patch) => Some(patch.over(&CallConfig::built_in())),
            Err(problems) => {
                let told = problems.iter().map(|e| format!("default_config: {e}"));
                self.problems.extend(told);
                None
            }
        }
    }

    fn provider(&mut self, field: &str, text: &str) -> Option<ProviderKind> {
        if text == ProviderKind::OpenAi.as_str() {
            return Some(ProviderKind::OpenAi);
        }
        self.problems.push(format!("{field} must be openai"));
        None
    }

    /// The name of a model or a voice, as in a configuration.
    fn vendor_name(&mut self, field: &str, text: Option<&str>) {
        if text.is_some_and(|text| !(1..=MAX_NAME_CHARS).contains(&text.chars().count())) {
            self.problems.push(format!(
                "{field} must be of 1 to {MAX_NAME_CHARS} characters"
            ));
        }
    }

    fn transfer_target(&mut self, field: &str, text: &str) -> Option<TransferTarget> {
        let target = TransferTarget::new(text);
        if target.is_none() {
            self.problems.push(format!(
                "{field} must be a number (+15551234567), or a tel: or sip: address"
            ));
        }
        target
    }

    fn count(&mut self, field: &str, value: i32) -> Option<NonZeroU32> {
        let count = u32::try_from(value).ok().and_then(NonZeroU32::new);
        if count.is_none() {
            self.problems
                .push(format!("{field} must be 1 or more, not {value}"));
        }
        count
    }

    fn rate(&mut self, field: &str, value: f64) -> Option<CallsPerSecond> {
        CallsPerSecond::new(value)
            .map_err(|problem| self.problems.push(format!("{field} {problem}")))
            .ok()
    }

    fn finish(self, build: impl FnOnce() -> Option<Tenant>) -> Result<Tenant, InvalidTenant> {
        if !self.problems.is_empty() {
            return Err(InvalidTenant {
                problems: self.problems,
            });
        }
        build().ok_or_else(|| InvalidTenant {
            problems: vec!["a field is missing".to_owned()],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> TenantFields {
        TenantFields {
            call_config_url: Some("https://acme.example/call-config".into()),
            default_config: r#"{"startMessage": "Acme here."}"#.into(),
            ..TenantFields::new(
                TenantId(uuid::Uuid::nil()),
                "acme",
                "wss://acme.livekit.cloud",
                "APIabc",
                "s3cr3t-of-acme".into(),
            )
        }
    }

    #[test]
    fn a_valid_row_becomes_a_tenant() {
        let tenant = Tenant::try_from(fields()).unwrap();
        assert_eq!(tenant.default_config.start_message, "Acme here.");
        assert_eq!(tenant.lookup.unwrap().deadline, Duration::from_secs(4));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let mut wrong = fields();
        wrong.slug = "Acme Inc".into();
        wrong.livekit_url = "ftp://acme".into();
        wrong.livekit_api_secret = "".into();
        wrong.max_calls = Some(0);
        wrong.calls_per_second = Some(-1.0);
        wrong.default_config = r#"{"voice": 3}"#.into();
        let error = Tenant::try_from(wrong).unwrap_err();
        let starts: Vec<&str> = error
            .problems
            .iter()
            .map(|p| p.split(' ').next().unwrap())
            .collect();
        assert_eq!(
            starts,
            [
                "slug",
                "livekit_url",
                "livekit_api_secret",
                "default_config:",
                "max_calls",
                "calls_per_second"
            ]
        );
    }

    #[test]
    fn limits_and_agent_names_are_bounded() {
        let problem = |change: fn(&mut TenantFields)| {
            let mut wrong = fields();
            change(&mut wrong);
            Tenant::try_from(wrong).unwrap_err().to_string()
        };
        assert_eq!(
            problem(|f| f.max_call_minutes = Some(0)),
            "max_call_minutes must be from 1 to 1440, not 0"
        );
        assert_eq!(
            problem(|f| f.agent_names = vec![]),
            "agent_names must be 1 to 16 names, not 0"
        );
        assert_eq!(
            problem(|f| f.agent_names = vec!["a".into(), "b".into(), "a".into()]),
            "agent_names must not hold a twice"
        );
        assert!(problem(|f| f.agent_names = vec!["two words".into()]).starts_with("agent_name "));
        assert!(
            problem(|f| f.livekit_url = format!("wss://{}", "a".repeat(2_100))).contains("2048")
        );
        let mut good = fields();
        good.max_call_minutes = Some(90);
        let tenant = Tenant::try_from(good).unwrap();
        assert_eq!(
            tenant.limits.max_call_duration,
            Some(Duration::from_secs(5_400))
        );
    }

    #[test]
    fn a_second_model_is_there_when_its_provider_is_and_takes_its_names_from_the_default() {
        let second = |change: fn(&mut TenantFields)| {
            let mut fields = TenantFields {
                default_config: r#"{"model": "first", "voice": "cedar"}"#.into(),
                fallback_provider_base_url: Some("wss://other.example/v1".into()),
                fallback_provider_api_key: Some("key-of-other".into()),
                ..fields()
            };
            change(&mut fields);
            Tenant::try_from(fields).unwrap().fallback.second_model
        };
        assert!(second(|_| {}).is_none());
        let named = second(|f| f.fallback_provider = Some("openai".into())).unwrap();
        assert_eq!((&*named.model, &*named.voice), ("first", "cedar"));
        let host = named.provider.base_url.unwrap();
        assert_eq!(host.host_str(), Some("other.example"));
        assert!(named.provider.api_key.is_some());
        let other = second(|f| {
            f.fallback_provider = Some("openai".into());
            f.fallback_model = Some("second".into());
            f.fallback_voice = Some("ash".into());
        });
        let other = other.unwrap();
        assert_eq!((&*other.model, &*other.voice), ("second", "ash"));
    }

    #[test]
    fn what_is_wrong_with_the_fallback_is_said_by_field() {
        let wrong = TenantFields {
            fallback_provider: Some("nobody".into()),
            fallback_provider_base_url: Some("ftp://other.example".into()),
            fallback_provider_api_key: Some("a b".into()),
            fallback_model: Some("".into()),
            fallback_voice: Some("v".repeat(129)),
            fallback_transfer_to: Some("the office".into()),
            ..fields()
        };
        let problems = Tenant::try_from(wrong).unwrap_err().problems;
        let names: Vec<&str> = problems
            .iter()
            .filter_map(|p| p.split(' ').next())
            .collect();
        assert_eq!(
            names,
            [
                "fallback_provider",
                "fallback_provider_base_url",
                "fallback_provider_api_key",
                "fallback_model",
                "fallback_voice",
                "fallback_transfer_to",
            ]
        );
        let good = TenantFields {
            fallback_transfer_to: Some("+15551234567".into()),
            apology_audio: Some(ApologyAudio::from(vec![7; 100])),
            ..fields()
        };
        let fallback = Tenant::try_from(good).unwrap().fallback;
        let to = fallback.transfer_to.unwrap();
        assert_eq!(to.as_str(), "tel:+15551234567");
        assert_eq!(fallback.apology.unwrap().as_bytes().len(), 100);
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        let mut wrong = fields();
        wrong.call_config_url = Some("https://user:hunter2@acme.example/".into());
        let text = Tenant::try_from(wrong).unwrap_err().to_string();
        assert!(text.starts_with("call_config_url must not hold"));
        assert!(!text.contains("hunter2"));
    }

    #[test]
    fn neither_debug_nor_an_error_shows_a_secret() {
        let secret = || Some("s3cr3t-of-another-kind".into());
        let all = || TenantFields {
            call_config_bearer: secret(),
            call_config_signing_secret: secret(),
            provider_api_key: secret(),
            fallback_provider: Some("openai".into()),
            fallback_provider_api_key: secret(),
            ..fields()
        };
        let tenant = Tenant::try_from(all()).unwrap();
        let shown = format!(
            "{:?} {tenant:?} {:?} {:?} {:?} {:?}",
            all(),
            tenant.project,
            tenant.lookup,
            tenant.provider,
            tenant.fallback,
        );
        assert!(shown.contains("acme.livekit.cloud"), "{shown}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
        let wrong = TenantFields {
            livekit_api_secret: "s3cr3t with blanks".into(),
            call_config_bearer: Some("s3cr3t\n".into()),
            call_config_signing_secret: Some("s3cr3t\n".into()),
            provider_api_key: Some("s3cr3t\n".into()),
            fallback_provider_api_key: Some("s3cr3t\n".into()),
            ..fields()
        };
        let error = Tenant::try_from(wrong).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cr3t"));
    }

    #[test]
    fn only_what_the_server_sees_asks_for_a_new_registration() {
        let tenant = Tenant::try_from(fields()).unwrap();
        let mut other = fields();
        other.default_config = r#"{"startMessage": "New."}"#.into();
        other.max_calls = Some(3);
        other.calls_per_second = Some(0.5);
        other.max_call_minutes = Some(30);
        other.agent_names = vec!["b".into(), "c".into()];
        other.fallback_provider = Some("openai".into());
        other.fallback_transfer_to = Some("+15551234567".into());
        assert!(tenant.same_registration(&Tenant::try_from(other).unwrap()));
        for change in [
            |f: &mut TenantFields| f.livekit_api_secret = "another".into(),
            |f: &mut TenantFields| f.livekit_url = "wss://b.example".into(),
            |f: &mut TenantFields| f.deployment = Some("blue".into()),
        ] {
            let mut other = fields();
            change(&mut other);
            assert!(!tenant.same_registration(&Tenant::try_from(other).unwrap()));
        }
    }
}
