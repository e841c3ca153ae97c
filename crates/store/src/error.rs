//! Errors of the database, without what was in the rows.
//!
//! Postgres puts the whole failing row, secrets included, into the detail of
//! some errors, and `sqlx::Error` shows it in `Debug`. So no error of sqlx leaves
//! this crate: a [`DatabaseError`] holds its message and code only.

use std::fmt;
use std::time::Duration;

use crate::violation::Violation;

/// What went wrong, as Postgres or the network said it. Never holds values of a row.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseError {
    message: String,
    /// The five characters of Postgres, where it was Postgres that refused.
    code: Option<String>,
}

impl DatabaseError {
    pub(crate) fn of_text(message: &str) -> Self {
        Self {
            message: message.to_owned(),
            code: None,
        }
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            // Without the detail, which holds values.
            sqlx::Error::Database(refusal) => Self {
                message: refusal.message().to_owned(),
                code: refusal.code().map(|code| code.into_owned()),
            },
            _ => Self {
                message: error.to_string(),
                code: None,
            },
        }
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.code {
            Some(code) => write!(f, " (SQLSTATE {code})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for DatabaseError {}

/// A query that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or it broke off. Trying again later can help.
    #[error("the database cannot be reached")]
    Unreachable {
        /// What the network or the server said.
        #[source]
        source: DatabaseError,
    },
    /// It did not answer in time. Trying again later can help.
    #[error("the database did not answer within {} s", .limit.as_secs())]
    TimedOut {
        /// How long was waited.
        limit: Duration,
    },
    /// The tables are missing, or older than this program.
    #[error("the database has not the tables of this version; run `trunkline migrate`")]
    NotMigrated {
        /// What is missing.
        #[source]
        source: DatabaseError,
    },
    /// A value is not what its column holds. Another one is wanted.
    #[error("{0}")]
    Violated(Violation),
    /// It refused the query, for instance for a missing right.
    #[error("the database refused")]
    Refused {
        /// What the server said.
        #[source]
        source: DatabaseError,
    },
}

impl StoreError {
    /// Whether the same query can succeed later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            Self::NotMigrated { .. } | Self::Violated(_) | Self::Refused { .. } => false,
        }
    }

    /// The message with its cause, on one line. Holds no secret.
    pub fn one_line(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(|refusal| refusal.code())
            .map(|code| code.into_owned());
        let violation = error
            .as_database_error()
            .and_then(|refusal| refusal.constraint())
            .and_then(Violation::of);
        if let Some(violation) = violation {
            return Self::Violated(violation);
        }
        let is_refusal = matches!(
            error,
            sqlx::Error::Database(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::Decode(_)
                | sqlx::Error::Encode(_)
                | sqlx::Error::RowNotFound
        );
        let source = DatabaseError::from(error);
        match code.as_deref() {
            // undefined_table, undefined_column, undefined_function
            Some("42P01" | "42703" | "42883") => Self::NotMigrated { source },
            // Connection exceptions, too many connections, operator intervention
            // (shutdown, starting up), system errors, a rejected password or a
            // missing database (which may be about to be made).
            Some(code)
                if ["08", "53", "57", "58", "28", "3D"]
                    .iter()
                    .any(|class| code.starts_with(class)) =>
            {
                Self::Unreachable { source }
            }
            // Lost a race against another transaction.
            Some("40001" | "40P01" | "25006") => Self::Unreachable { source },
            _ if is_refusal => Self::Refused { source },
            _ => Self::Unreachable { source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_network_says_is_transient() {
        let error = StoreError::from(sqlx::Error::PoolTimedOut);
        assert!(error.is_transient());
        assert!(
            error
                .one_line()
                .starts_with("the database cannot be reached: ")
        );
    }

    #[test]
    fn what_cannot_be_decoded_is_a_refusal() {
        assert!(!StoreError::from(sqlx::Error::RowNotFound).is_transient());
    }
}
