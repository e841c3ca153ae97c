//! Who asked for what.

use reqwest::Method;
use serde_json::json;
use trunkline_domain::AccessScope::Read;
use uuid::Uuid;

use crate::bed::{Bed, column};

#[tokio::test]
async fn every_change_and_every_refused_authentication_is_there_and_no_reading_is() {
    let bed = Bed::start().await;
    let reader = bed.token("reader", Read, None).await;
    bed.get(&reader, "/v1/self").await.is(200);
    let made = json!({"name": "ci", "scope": "read"});
    let made = bed.post(&bed.admin, "/v1/tokens", made).await.is(201);
    bed.post(&reader, "/v1/tokens", json!({}))
        .await
        .problem(403);
    bed.post(&bed.admin, "/v1/tokens", json!({}))
        .await
        .problem(422);
    let call = Uuid::nil().to_string();
    let hang_up = format!("/v1/calls/{call}/hang-up");
    bed.send(bed.request(&bed.admin, Method::POST, &hang_up))
        .await
        .problem(404);
    bed.delete(&bed.admin, "/v1/tokens/ci").await.is(204);
    let token = made["token"].as_str().unwrap();
    bed.get(token, "/v1/calls").await.problem(401);
    let forged = format!("{}{}", &token[..16], "x".repeat(43));
    bed.get(&forged, "/v1/calls").await.problem(401);

    let expected = [
        ["token.add", "ci", "done", "api:root"],
        ["token.add", "", "refused", "api:reader"],
        ["token.add", "", "refused", "api:root"],
        ["call.hang_up", &call, "refused", "api:root"],
        ["token.revoke", "ci", "done", "api:root"],
        ["authenticate", "GET /v1/calls", "refused", "api:ci"],
        ["authenticate", "GET /v1/calls", "refused", "anonymous"],
    ];
    assert_eq!(bed.audit().await, expected);

    // It can be read, in pages, and holds no token.
    let first = bed.get(&bed.admin, "/v1/audit?limit=5").await.is(200);
    let next = first["next"].as_str().unwrap();
    let rest = bed
        .get(&bed.admin, &format!("/v1/audit?limit=5&cursor={next}"))
        .await;
    let rest = rest.is(200);
    assert_eq!(
        column(&first, "action").len() + column(&rest, "action").len(),
        7
    );
    assert_eq!(column(&first, "address")[0], "127.0.0.1");
    assert!(
        column(&first, "detail")[0]
            .as_str()
            .unwrap()
            .contains("no such token")
    );
    let ids: Vec<i64> = column(&first, "id")
        .iter()
        .map(|id| id.as_i64().unwrap())
        .collect();
    assert!(ids.is_sorted_by(|a, b| a > b));
    assert!(!format!("{first}{rest}").contains(&token[16..]));
}
