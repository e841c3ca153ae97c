//! Names of tenants by their ids.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::Store;

impl Store {
    /// The names of those of these tenants whose rows there are; of a removed one, the
    /// name that it had.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn slugs(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, String>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        self.with(async |connection: &mut PgConnection| {
            let rows = sqlx::query!(
                r#"SELECT id, split_part(slug, '~', 1) AS "slug!" FROM tenants WHERE id = ANY($1)"#,
                ids
            )
            .fetch_all(connection)
            .await?;
            Ok(rows.into_iter().map(|row| (row.id, row.slug)).collect())
        })
        .await
    }
}
