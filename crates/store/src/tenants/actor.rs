//! Who changes a tenant, for its history.

use std::fmt;

use sqlx::PgConnection;

use crate::error::StoreError;

/// What the database keeps of a name. Longer is cut.
const MAX_CHARS: usize = 200;

/// Who changes a tenant: a name for people, for instance `cli:alice@bastion` or
/// `api:token-name`. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(String);

impl Actor {
    /// An actor of this name. What cannot be shown in one line is left out; an empty
    /// name is written as the database's role.
    pub fn new(name: &str) -> Self {
        let name = name.trim().chars().filter(|c| !c.is_control());
        Self(name.take(MAX_CHARS).collect())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says it to the database, until the end of the transaction.
    pub(super) async fn sign(&self, transaction: &mut PgConnection) -> Result<(), StoreError> {
        sqlx::query!(
            "SELECT set_config('trunkline.actor', $1, true)",
            self.as_str()
        )
        .fetch_one(transaction)
        .await?;
        Ok(())
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
