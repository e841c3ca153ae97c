//! The life of a token.

use serde_json::json;
use trunkline_domain::AccessScope::{Admin, Read};

use crate::bed::{Bed, column};

#[tokio::test]
async fn a_token_is_shown_once_used_listed_and_revoked() {
    let bed = Bed::start().await;
    let made = json!({"name": "ci", "scope": "operator"});
    let made = bed.post(&bed.admin, "/v1/tokens", made).await.is(201);
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with(made["info"]["prefix"].as_str().unwrap()));
    assert_eq!(made["info"]["created_by"], "api:root");
    let myself = bed.get(token, "/v1/self").await.is(200);
    assert_eq!(
        (&myself["name"], &myself["scope"]),
        (&"ci".into(), &"operator".into())
    );

    let list = bed.get(&bed.admin, "/v1/tokens").await.is(200);
    assert_eq!(column(&list, "name"), ["ci", "root"]);
    assert!(column(&list, "last_used_at")[0].is_string());
    let secret = token.rsplit_once('_').map(|_| &token[16..]).unwrap();
    assert!(!list.to_string().contains(secret));

    let again = json!({"name": "ci", "scope": "read"});
    let taken = bed.post(&bed.admin, "/v1/tokens", again.clone()).await;
    assert_eq!(taken.problem(409).0, "name-taken");
    bed.delete(&bed.admin, "/v1/tokens/ci").await.is(204);
    assert_eq!(
        bed.get(token, "/v1/self").await.problem(401).0,
        "unauthenticated"
    );
    let gone = bed.delete(&bed.admin, "/v1/tokens/ci").await;
    assert_eq!(gone.problem(404).0, "not-found");
    // The name is free again.
    bed.post(&bed.admin, "/v1/tokens", again).await.is(201);
}

#[tokio::test]
async fn a_token_of_a_tenant_can_be_made_by_the_api() {
    let bed = Bed::start().await;
    bed.tenant("acme").await;
    let made = json!({"name": "acme-1", "scope": "read", "tenant": "acme"});
    let made = bed.post(&bed.admin, "/v1/tokens", made).await.is(201);
    assert_eq!(made["info"]["tenant"], "acme");
    let myself = bed
        .get(made["token"].as_str().unwrap(), "/v1/self")
        .await
        .is(200);
    assert_eq!(myself["tenant"], "acme");
}

#[tokio::test]
async fn a_token_ends_with_its_time_and_with_its_tenant() {
    let bed = Bed::start().await;
    let acme = bed.tenant("acme").await;
    let short = bed.token("short", Read, None).await;
    let bound = bed.token("bound", Admin, Some(acme)).await;
    for token in [&short, &bound] {
        bed.get(token, "/v1/self").await.is(200);
    }
    bed.execute("UPDATE api_tokens SET expires_at = now() - interval '1 s' WHERE name = 'short'")
        .await;
    bed.execute("UPDATE tenants SET removed_at = now() WHERE slug = 'acme'")
        .await;
    for token in [&short, &bound] {
        let refused = bed.get(token, "/v1/self").await;
        assert_eq!(refused.problem(401).0, "unauthenticated");
    }
    let details: Vec<String> = bed
        .store
        .audit_rows(None, None, 10)
        .await
        .unwrap()
        .into_iter()
        .filter_map(|row| row.detail)
        .collect();
    assert_eq!(
        details,
        ["the token's tenant is gone", "the token has expired"]
    );
}

#[tokio::test]
async fn only_a_hash_is_at_rest() {
    let bed = Bed::start().await;
    let token = bed.token("kept", Read, None).await;
    let secret = &token[16..];
    let found: bool =
        sqlx::query_scalar("SELECT bool_or(k::text LIKE '%' || $1 || '%') FROM api_tokens k")
            .bind(secret)
            .fetch_one(&bed.sql)
            .await
            .unwrap();
    assert!(!found);
}
