//! Identifiers. Each is bounded and has one spelling.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A name that does not have the form its kind asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {rule}")]
pub struct InvalidName {
    /// What the name was to be, for instance `slug`.
    pub what: &'static str,
    /// The form that it must have.
    pub rule: &'static str,
}

/// A tenant's identity. It never changes, and it is the associated data under
/// which the tenant's secrets are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(pub Uuid);

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The version of a tenant's row. The database raises it with every change.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TenantVersion(pub i64);

impl fmt::Display for TenantVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One call, from the offer to the record. Version 7, so that ids sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub Uuid);

impl CallId {
    /// A new id, from the time and random bits.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName { what: $what, rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A tenant's name for people: in logs, metrics, URLs and on the command line.
    TenantSlug,
    "slug",
    "1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit",
    |text| {
        (1..=63).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-')
    }
);

name!(
    /// The name under which a project's dispatch rules ask for an agent.
    AgentName,
    "agent_name",
    "1 to 64 of letters, digits, '-', '_' and '.'",
    |text| {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    }
);

name!(
    /// Part of LiveKit's routing key beside the agent name. The server refuses
    /// an underscore and blanks, and more than 64 bytes.
    Deployment,
    "deployment",
    "1 to 64 of letters, digits, '-' and '.'",
    |text| {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_lower_case_with_inner_dashes() {
        for good in ["a", "acme", "acme-2", "0"] {
            assert_eq!(good.parse::<TenantSlug>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "Acme", "a b", "ä", &"x".repeat(64)] {
            let error = bad.parse::<TenantSlug>().unwrap_err();
            assert!(error.to_string().starts_with("slug must be"), "{bad:?}");
        }
    }

    #[test]
    fn a_deployment_has_no_underscore() {
        assert!("blue-1".parse::<Deployment>().is_ok());
        assert!("blue_1".parse::<Deployment>().is_err());
    }

    #[test]
    fn a_bad_name_does_not_deserialize() {
        assert!(serde_json::from_str::<AgentName>("\"pstn-voice-agent\"").is_ok());
        assert!(serde_json::from_str::<AgentName>("\"two words\"").is_err());
    }
}
