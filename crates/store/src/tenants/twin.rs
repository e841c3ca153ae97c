//! Two tenants that LiveKit cannot tell apart: of the same project, key and deployment,
//! under the same agent name. It would spread the calls of each over both.

use sqlx::PgConnection;
use trunkline_domain::{TenantId, server_of};
use url::Url;
use uuid::Uuid;

use crate::error::StoreError;

/// A tenant that registers as another one does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "agent_names must differ from those of the tenant {other}, which has the same project \
     (livekit_url and livekit_api_key) and the agent name {agent_name}: LiveKit would spread the \
     calls over both. Take another agent name, or disable or remove {other} first"
)]
pub struct Twin {
    /// The tenant.
    pub id: TenantId,
    /// The name of the other one.
    pub other: String,
    /// The agent name that both have.
    pub agent_name: String,
}

/// Which of these tenants, as this transaction has written them, are twins of any other
/// that takes calls.
pub(super) async fn twins(
    transaction: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<Twin>, StoreError> {
    // Of two that are written at the same time, the second sees the first.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('trunkline.tenants.twins'))")
        .fetch_one(&mut *transaction)
        .await?;
    let rows = sqlx::query!(
        r#"
        SELECT
            mine.id,
            mine.livekit_url,
            other.slug AS other,
            other.livekit_url AS other_url,
            (
                SELECT name FROM unnest(mine.agent_names) AS name
                WHERE name = ANY(other.agent_names) LIMIT 1
            ) AS "agent_name!"
        FROM tenants mine
        JOIN tenants other ON other.livekit_api_key = mine.livekit_api_key
            AND other.id <> mine.id
            AND coalesce(other.deployment, '') = coalesce(mine.deployment, '')
            AND other.agent_names && mine.agent_names
        WHERE mine.id = ANY($1)
            AND mine.enabled AND mine.removed_at IS NULL
            AND other.enabled AND other.removed_at IS NULL
        ORDER BY mine.slug DESC, other.slug DESC
        "#,
        ids
    )
    .fetch_all(transaction)
    .await?;
    let same = rows
        .into_iter()
        .filter(|row| is_same_server(&row.livekit_url, &row.other_url));
    Ok(same
        .map(|row| Twin {
            id: TenantId(row.id),
            other: row.other,
            agent_name: row.agent_name,
        })
        .collect())
}

fn is_same_server(a: &str, b: &str) -> bool {
    let server = |text: &str| {
        let url = Url::parse(text.trim()).ok().filter(Url::has_host)?;
        Some(server_of(&url))
    };
    server(a).is_some_and(|a| server(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_server_are_one() {
        for (a, b, same) in [
            ("wss://a.example", "https://A.example:443/", true),
            ("ws://a.example", "http://a.example:80", true),
            ("wss://a.example", "wss://b.example", false),
            ("wss://a.example", "wss://a.example:444", false),
            ("wss://a.example/one", "wss://a.example/two", false),
            ("nowhere", "nowhere", false),
        ] {
            assert_eq!(is_same_server(a, b), same, "{a} {b}");
        }
    }
}
