//! Tenants are switched and removed; what every change has in common.

use sqlx::{Connection as _, PgConnection};
use trunkline_domain::{InvalidTenant, TenantId, TenantVersion};

use super::actor::Actor;
use super::twin::{Twin, twins};
use crate::error::StoreError;
use crate::store::Store;
use crate::violation::{SLUG_TAKEN, Violation};

/// Whether a tenant takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enablement {
    /// Calls are taken.
    Enabled,
    /// The row is kept, and calls are not taken.
    Disabled,
}

impl Enablement {
    pub(super) fn is_enabled(self) -> bool {
        self == Self::Enabled
    }
}

/// Which version of a tenant a change is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever there is.
    Any,
    /// The one that was read. Somebody may have changed it since: then the change
    /// is not made.
    Version(TenantVersion),
}

impl Expected {
    pub(super) fn is_met_by(self, current: TenantVersion) -> bool {
        match self {
            Self::Any => true,
            Self::Version(expected) => expected == current,
        }
    }
}

/// A tenant was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// There is none of that name.
    #[error("there is no tenant {slug}; see `trunkline tenant list`")]
    NoSuchTenant {
        /// The name.
        slug: String,
    },
    /// Somebody changed it in the meantime.
    #[error("the tenant {slug} was changed meanwhile and is of version {current}; read it again")]
    Conflict {
        /// The name.
        slug: String,
        /// The version that there is.
        current: TenantVersion,
    },
    /// It could not be run as changed.
    #[error(transparent)]
    Invalid(#[from] InvalidTenant),
    /// The new name is another tenant's.
    #[error("there is a tenant {slug} already")]
    SlugTaken {
        /// The new name.
        slug: String,
    },
    /// LiveKit could not tell it from another one.
    #[error(transparent)]
    Twin(#[from] Twin),
    /// A secret could not be sealed.
    #[error("the secrets could not be sealed")]
    Unsealed,
    /// The database was away, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ChangeError {
    /// As an error about the tenant, where it is one.
    pub(super) fn of(error: StoreError, new_slug: &str) -> Self {
        match error {
            StoreError::Violated(Violation {
                constraint: SLUG_TAKEN,
                ..
            }) => Self::SlugTaken {
                slug: new_slug.to_owned(),
            },
            other => Self::Store(other),
        }
    }
}

/// The id and version of a tenant whose row stays as it is until the end of the
/// transaction.
pub(super) async fn hold(
    transaction: &mut PgConnection,
    slug: &str,
    expected: Expected,
) -> Result<(TenantId, TenantVersion), ChangeError> {
    let row = sqlx::query!(
        "SELECT id, version FROM tenants WHERE slug = $1 AND removed_at IS NULL FOR UPDATE",
        slug
    )
    .fetch_optional(transaction)
    .await
    .map_err(StoreError::from)?
    .ok_or_else(|| ChangeError::NoSuchTenant {
        slug: slug.to_owned(),
    })?;
    let current = TenantVersion(row.version);
    if expected.is_met_by(current) {
        Ok((TenantId(row.id), current))
    } else {
        Err(ChangeError::Conflict {
            slug: slug.to_owned(),
            current,
        })
    }
}

impl Store {
    /// Lets a tenant take calls, or stops it. Calls under way go on.
    ///
    /// # Errors
    /// When there is no such tenant, it is of another version than expected, or the
    /// database is away or refuses.
    pub async fn set_enabled(
        &self,
        slug: &str,
        enabled: Enablement,
        expected: Expected,
        actor: &Actor,
    ) -> Result<TenantVersion, ChangeError> {
        self.with(async |connection: &mut PgConnection| {
            let mut transaction = connection.begin().await.map_err(StoreError::from)?;
            actor.sign(&mut transaction).await?;
            let (id, _) = hold(&mut transaction, slug, expected).await?;
            let version = sqlx::query_scalar!(
                "UPDATE tenants SET enabled = $2 WHERE id = $1 RETURNING version",
                id.0,
                enabled.is_enabled(),
            )
            .fetch_one(&mut *transaction)
            .await
            .map_err(StoreError::from)?;
            if let Some(twin) = twins(&mut transaction, &[id.0]).await?.pop() {
                return Err(twin.into());
            }
            transaction.commit().await.map_err(StoreError::from)?;
            Ok(TenantVersion(version))
        })
        .await
    }

    /// Removes a tenant. Its secrets are erased, its slug is free; calls under way go
    /// on. The records of its calls, its history and the rest of its row stay.
    ///
    /// # Errors
    /// When there is no such tenant, it is of another version than expected, or the
    /// database is away or refuses.
    pub async fn remove_tenant(
        &self,
        slug: &str,
        expected: Expected,
        actor: &Actor,
    ) -> Result<TenantId, ChangeError> {
        self.with(async |connection: &mut PgConnection| {
            let mut transaction = connection.begin().await.map_err(StoreError::from)?;
            actor.sign(&mut transaction).await?;
            let (id, _) = hold(&mut transaction, slug, expected).await?;
            sqlx::query!("UPDATE tenants SET removed_at = now() WHERE id = $1", id.0)
                .execute(&mut *transaction)
                .await
                .map_err(StoreError::from)?;
            transaction.commit().await.map_err(StoreError::from)?;
            Ok(id)
        })
        .await
    }
}
