//! What a token of the API lets its bearer do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much is allowed. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessScope {
    /// Looks at everything but secrets.
    Read,
    /// Switches tenants on and off, hangs up, drains.
    Operator,
    /// Writes tenants and tokens.
    Admin,
}

impl AccessScope {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Operator, Self::Admin];

    /// As it is written everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for AccessScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("scope must be one of read, operator, admin")]
pub struct InvalidScope;

impl FromStr for AccessScope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let mut all = Self::ALL.into_iter();
        all.find(|scope| scope.as_str() == text).ok_or(InvalidScope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_includes_those_before_it_and_is_read_as_it_is_written() {
        assert!(AccessScope::Read < AccessScope::Operator);
        assert!(AccessScope::Operator < AccessScope::Admin);
        for scope in AccessScope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert_eq!("root".parse::<AccessScope>(), Err(InvalidScope));
    }
}
