//! Who may do what.

use reqwest::Method;
use trunkline_domain::AccessScope::{self, Admin, Operator, Read};
use uuid::Uuid;

use crate::bed::{Bed, column};
use crate::description::operations;

/// The least scope that each operation needs.
fn least_scope(id: &str) -> AccessScope {
    match id {
        "tenant.list" | "tenant.show" | "tenant.history" | "worker.list" | "call.list"
        | "call.live" | "call.show" | "refusal.list" | "replica.show" | "self.show"
        | "event.list" => Read,
        "tenant.disable" | "tenant.enable" | "tenant.test" | "call.hang_up" | "replica.drain" => {
            Operator
        }
        "tenant.add"
        | "tenant.change"
        | "tenant.remove"
        | "tenant.apology.set"
        | "tenant.apology.remove"
        | "token.list"
        | "token.add"
        | "token.revoke"
        | "audit.list" => Admin,
        other => panic!("{other} is not in this table"),
    }
}

#[tokio::test]
async fn every_operation_asks_for_its_scope_and_none_is_open() {
    let bed = Bed::start().await;
    for (method, pattern, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        let path = pattern
            .replace("{id}", &Uuid::nil().to_string())
            .replace("{token}", "nobody")
            .replace("{slug}", "nobody");
        let url = format!("http://{}{path}", bed.address);
        let answer = bed.send(bed.http.request(method.clone(), url)).await;
        assert_eq!(answer.problem(401).0, "unauthenticated", "{id}");
        for scope in AccessScope::ALL {
            // What is allowed is tried elsewhere; here it might end the process.
            if scope >= least_scope(id) {
                continue;
            }
            let token = bed.token(&format!("{id} {scope}"), scope, None).await;
            let answer = bed.send(bed.request(&token, method.clone(), &path)).await;
            assert_eq!(answer.problem(403).0, "forbidden", "{id} {scope}");
        }
    }
    assert!(!bed.drain.is_cancelled());
}

#[tokio::test]
async fn what_a_scope_allows_is_allowed_to_it_and_to_those_above() {
    let bed = Bed::start().await;
    for (method, pattern, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        if method != Method::GET || id == "event.list" || pattern.contains('{') {
            continue;
        }
        for scope in AccessScope::ALL {
            if scope < least_scope(id) {
                continue;
            }
            let token = bed.token(&format!("{id} {scope}"), scope, None).await;
            bed.get(&token, &pattern).await.is(200);
        }
    }
}

#[tokio::test]
async fn a_token_of_a_tenant_sees_that_tenant_and_nothing_else() {
    let bed = Bed::start().await;
    let (acme, other) = (bed.tenant("acme").await, bed.tenant("other").await);
    let token = bed.token("of-acme", Admin, Some(acme)).await;
    let own = bed.past_call(acme, 1, "+15550001111").await;
    let foreign = bed.past_call(other, 2, "+15550001111").await;
    let (own_live, _own) = bed.live_call(acme, "acme");
    let (foreign_live, foreign_call) = bed.live_call(other, "other");

    let myself = bed.get(&token, "/v1/self").await.is(200);
    assert_eq!(myself["tenant"], "acme");
    for (path, field) in [
        ("/v1/workers", "tenant"),
        ("/v1/calls", "tenant"),
        ("/v1/calls/live", "tenant"),
    ] {
        let list = bed.get(&token, path).await.is(200);
        assert_eq!(column(&list, field), ["acme"], "{path}");
        let all = bed.get(&bed.admin, path).await.is(200);
        assert_eq!(column(&all, field).len(), 2, "{path}");
        let asked = bed.get(&token, &format!("{path}?tenant=other")).await;
        assert_eq!(asked.problem(404).0, "not-found", "{path}");
    }
    for id in [own, own_live] {
        bed.get(&token, &format!("/v1/calls/{}", id.0))
            .await
            .is(200);
    }
    for id in [foreign, foreign_live] {
        // In the same words as a call that there never was.
        let unseen = bed.get(&token, &format!("/v1/calls/{}", id.0)).await;
        let nothing = bed.get(&token, &format!("/v1/calls/{}", Uuid::nil())).await;
        let same = |text: String, id: Uuid| text.replace(&id.to_string(), "ID");
        assert_eq!(
            same(unseen.problem(404).1.to_string(), id.0),
            same(nothing.problem(404).1.to_string(), Uuid::nil())
        );
        let hang_up = format!("/v1/calls/{}/hang-up", id.0);
        let refused = bed.send(bed.request(&token, Method::POST, &hang_up)).await;
        refused.problem(404);
    }
    assert!(!foreign_call.hang_up().is_cancelled());
    let replica = bed.get(&token, "/v1/replica").await.is(200);
    let states = replica["tenants"].as_object().unwrap();
    let count: u64 = states.values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(count, 1);

    // What is of the whole deployment.
    for (method, path) in [
        (Method::GET, "/v1/tokens"),
        (Method::DELETE, "/v1/tokens/root"),
        (Method::POST, "/v1/replica/drain"),
    ] {
        let refused = bed.send(bed.request(&token, method, path)).await;
        assert_eq!(refused.problem(403).0, "forbidden", "{path}");
    }
    assert!(!bed.drain.is_cancelled());
    let audit = bed.get(&token, "/v1/audit").await.is(200);
    let tenants = column(&audit, "tenant_id");
    assert!(!tenants.is_empty());
    assert!(tenants.iter().all(|id| *id == acme.0.to_string()));
}

#[tokio::test]
async fn whole_numbers_are_for_operators() {
    let bed = Bed::start().await;
    let acme = bed.tenant("acme").await;
    let (live, _entered) = bed.live_call(acme, "acme");
    let past = bed.past_call(acme, 1, "+15550003333").await;
    let reader = bed.token("reader", Read, None).await;
    let operator = bed.token("operator", Operator, None).await;
    for (id, end) in [(live, "1111"), (past, "3333")] {
        let path = format!("/v1/calls/{}", id.0);
        let redacted = bed.get(&reader, &path).await.is(200);
        assert_eq!(redacted["caller"], format!("…{end}"));
        assert!(!redacted.to_string().contains("5550"), "{redacted:#}");
        let full = format!("{path}?numbers=full");
        assert_eq!(bed.get(&reader, &full).await.problem(403).0, "forbidden");
        let whole = bed.get(&operator, &full).await.is(200);
        assert_eq!(whole["caller"], format!("+1555000{end}"));
    }
}
