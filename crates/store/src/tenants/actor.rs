//! Who changes a tenant, for its history.

use std::fmt;

use sqlx::PgConnection;

use crate::error::StoreError;

/// What the database keeps of a name. Longer is cut.
const MAX_CHARS: usize = 200;

/// Who changes a tenant: a name for people, for instance `cli:alice@bastion` or
/// `api:token-name`. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    name: String,
    right: Right,
}

/// What may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// Everything.
    All,
    /// What is a tenant's own, by who bears a token of it.
    OwnTenant(InnerUrls),
}

/// Whether who bears a token of one tenant may write URLs of the inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InnerUrls {
    /// They are refused.
    Refused,
    /// They are taken.
    Taken,
}

impl Actor {
    /// An actor of this name. What cannot be shown in one line is left out; an empty
    /// name is written as the database's role.
    pub fn new(name: &str) -> Self {
        let name = name.trim().chars().filter(|c| !c.is_control());
        Self {
            name: name.take(MAX_CHARS).collect(),
            right: Right::All,
        }
    }

    /// The same with a token of one tenant: it cannot make the process send that
    /// tenant's secrets elsewhere, nor call what only the process can reach.
    #[must_use]
    pub fn of_one_tenant(self, inner: InnerUrls) -> Self {
        Self {
            right: Right::OwnTenant(inner),
            ..self
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    pub(super) fn right(&self) -> Right {
        self.right
    }

    /// Says it to the database, until the end of the transaction.
    pub(super) async fn sign(&self, transaction: &mut PgConnection) -> Result<(), StoreError> {
        sqlx::query!(
            "SELECT set_config('trunkline.actor', $1, true) AS actor,
                    set_config('trunkline.confined', $2, true) AS confined",
            self.as_str(),
            if self.right == Right::All { "" } else { "on" },
        )
        .fetch_one(transaction)
        .await?;
        Ok(())
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_of_bounded_length() {
        assert_eq!(Actor::new(" a\nb\0 ").as_str(), "ab");
        assert_eq!(Actor::new(&"é".repeat(300)).as_str().chars().count(), 200);
    }
}
