//! What a constraint of the tables asks for, in words. Postgres tells its name, and
//! in the detail the whole row, which is never handed on.

use std::fmt;

/// A value that the database does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// The constraint's name.
    pub constraint: &'static str,
    /// The column.
    pub field: &'static str,
    /// What it must be; the remedy, therefore.
    pub rule: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.rule)
    }
}

/// The only constraint of which two rows are to blame.
pub(crate) const SLUG_TAKEN: &str = "tenants_slug_key";

const SERVER: &str = "must be an absolute URL of 2048 characters at most, with one of the schemes wss, ws, https, \
     http, and without a user name or password";

const PORT: &str = "must have a port behind the \":\" of its host, or no \":\" there";

/// Of `migrations/`, as the domain says it.
const RULES: [(&str, &str, &str); 26] = [
    (
        SLUG_TAKEN,
        "slug",
        "must be another one: there is a tenant of that name",
    ),
    (
        "tenants_slug_shape",
        "slug",
        "must be 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit",
    ),
    ("tenants_livekit_url_shape", "livekit_url", SERVER),
    (
        "tenants_livekit_api_key_shape",
        "livekit_api_key",
        "must be 1 to 4096 visible ASCII characters without blanks",
    ),
    (
        "tenants_agent_names_shape",
        "agent_names",
        "must be 1 to 16 names, none twice, each of 1 to 64 letters, digits, '-', '_' and '.'",
    ),
    (
        "tenants_deployment_shape",
        "deployment",
        "must be 1 to 64 of letters, digits, '-' and '.'",
    ),
    (
        "tenants_call_config_url_shape",
        "call_config_url",
        "must be an absolute URL of 2048 characters at most, with one of the schemes https, http, \
         and without a user name or password",
    ),
    (
        "tenants_call_config_deadline_ms_range",
        "call_config_deadline_ms",
        "must be from 100 to 30000",
    ),
    (
        "tenants_answer_deadline_ms_range",
        "answer_deadline_ms",
        "must be from 500 to 60000",
    ),
    (
        "tenants_default_config_shape",
        "default_config",
        "must be a JSON object",
    ),
    ("tenants_provider_known", "provider", "must be openai"),
    (
        "tenants_provider_base_url_shape",
        "provider_base_url",
        SERVER,
    ),
    ("tenants_max_calls_range", "max_calls", "must be 1 or more"),
    (
        "tenants_calls_per_second_range",
        "calls_per_second",
        "must be from 0.001 to 1000",
    ),
    (
        "tenants_max_call_minutes_range",
        "max_call_minutes",
        "must be from 1 to 1440",
    ),
    (
        "tenants_default_config_size",
        "default_config",
        "must have 65536 bytes at most as JSON",
    ),
    ("tenants_livekit_url_port", "livekit_url", PORT),
    ("tenants_call_config_url_port", "call_config_url", PORT),
    ("tenants_provider_base_url_port", "provider_base_url", PORT),
    (
        "tenants_fallback_provider_known",
        "fallback_provider",
        "must be openai, or absent",
    ),
    (
        "tenants_fallback_provider_base_url_shape",
        "fallback_provider_base_url",
        SERVER,
    ),
    (
        "tenants_fallback_provider_base_url_port",
        "fallback_provider_base_url",
        PORT,
    ),
    (
        "tenants_fallback_model_length",
        "fallback_model",
        "must be of 1 to 128 characters",
    ),
    (
        "tenants_fallback_voice_length",
        "fallback_voice",
        "must be of 1 to 128 characters",
    ),
    (
        "tenants_fallback_transfer_to_shape",
        "fallback_transfer_to",
        "must be a number (+15551234567), or a tel: or sip: address",
    ),
    (
        "tenants_apology_audio_size",
        "apology_audio",
        "must have 1 to 2097152 bytes",
    ),
];

impl Violation {
    /// `None`: a constraint that is not of this version's tables.
    pub(crate) fn of(constraint: &str) -> Option<Self> {
        let mut rules = RULES.iter();
        rules
            .find(|(name, ..)| *name == constraint)
            .map(|&(constraint, field, rule)| Self {
                constraint,
                field,
                rule,
            })
    }

    /// The names of all that can be told in words.
    #[cfg(test)]
    pub(crate) fn known() -> impl Iterator<Item = &'static str> {
        RULES.iter().map(|(name, ..)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constraint_of_the_migrations_can_be_told_in_words() {
        let migrations = [
            include_str!("../../../migrations/0004_tenant_record.sql"),
            include_str!("../../../migrations/0010_fallback.sql"),
        ];
        let named: Vec<&str> = migrations
            .iter()
            .flat_map(|migration| migration.lines())
            .filter_map(|line| line.trim().strip_prefix("ADD CONSTRAINT "))
            .filter_map(|rest| rest.split(' ').next())
            .collect();
        // Those of a trigger are tried one by one in `tests/it/record.rs`.
        let by_trigger = "tenants_default_config_size";
        let is_check = |name: &&str| *name != by_trigger && !name.ends_with("_port");
        let told = Violation::known().filter(|n| *n != SLUG_TAKEN);
        let mut told: Vec<&str> = told.filter(is_check).collect();
        told.sort_unstable();
        let mut sorted = named.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, told);
        for name in named {
            let violation = Violation::of(name).unwrap();
            assert!(violation.to_string().starts_with(violation.field));
        }
        assert_eq!(Violation::of("another"), None);
    }
}
