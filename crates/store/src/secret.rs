//! A column that holds a secret in clear.

use secrecy::{ExposeSecret, SecretString};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValueRef};
use sqlx::{Decode, Postgres, Type};

/// Clear text as it comes out of the database: a secret before anything else of
/// this program has seen it. It has no `Encode`: clear text is never sent.
#[derive(Debug)]
pub(crate) struct ClearText(SecretString);

impl ClearText {
    /// An empty text stands for "no value".
    pub(crate) fn is_empty(&self) -> bool {
        self.0.expose_secret().is_empty()
    }

    pub(crate) fn into_secret(self) -> SecretString {
        self.0
    }

    pub(crate) fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl Type<Postgres> for ClearText {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }

    fn compatible(info: &PgTypeInfo) -> bool {
        <str as Type<Postgres>>::compatible(info)
    }
}

impl<'r> Decode<'r, Postgres> for ClearText {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(<&str as Decode<Postgres>>::decode(value)?.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_clear_text() {
        let shown = format!("{:?}", ClearText("hunter2".into()));
        assert!(shown.starts_with("ClearText("), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
