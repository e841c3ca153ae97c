//! The process that is asked, and the workers of all.

use reqwest::Method;
use trunkline_domain::TenantVersion;
use trunkline_store::{Reporter, StateReport};

use crate::bed::{Bed, column};

#[tokio::test]
async fn a_drain_by_the_api_is_that_of_the_first_signal() {
    let bed = Bed::start().await;
    let replica = bed.get(&bed.admin, "/v1/replica").await.is(200);
    assert_eq!(replica["name"], "replica-1");
    assert!(replica["max_calls"].as_u64().unwrap() > 0, "{replica}");
    assert!(!bed.drain.is_cancelled());
    let request = bed.request(&bed.admin, Method::POST, "/v1/replica/drain");
    let answer = bed.send(request).await.is(202);
    assert_eq!(answer["replica"], "replica-1");
    assert!(bed.drain.is_cancelled());
    assert_eq!(bed.audit().await[0][..2], ["replica.drain", "replica-1"]);
}

#[tokio::test]
async fn workers_are_those_of_this_replica_as_they_are_and_of_others_as_they_reported() {
    let bed = Bed::start().await;
    let acme = bed.tenant("acme").await;
    bed.tenant("beta").await;
    let report = |state: &str| StateReport {
        tenant_id: acme,
        state: state.to_owned(),
        reason: Some("far away".to_owned()),
        version: Some(TenantVersion(1)),
        since: chrono::Utc::now(),
    };
    let other = Reporter::starting("replica-2");
    bed.store
        .report_state(&other, report("registered"))
        .await
        .unwrap();
    // What this process said of itself is older than what it knows.
    bed.store
        .report_state(&bed.replica, report("draining"))
        .await
        .unwrap();
    let dead = Reporter::starting("replica-3");
    bed.store
        .report_state(&dead, report("registered"))
        .await
        .unwrap();
    bed.execute(
        "UPDATE tenant_states SET reported_at = now() - interval '2 min' \
         WHERE replica LIKE 'replica-3#%'",
    )
    .await;

    let list = bed.get(&bed.admin, "/v1/workers").await.is(200);
    assert_eq!(column(&list, "tenant"), ["acme", "acme", "beta"]);
    assert_eq!(
        column(&list, "replica"),
        ["replica-1", "replica-2", "replica-1"]
    );
    assert_eq!(column(&list, "is_here"), [true, false, true]);
    assert_eq!(list["items"][1]["reason"], "far away");
    assert_ne!(list["items"][0]["state"], "draining");
    assert_eq!(list["items"][0]["active_calls"], 0);

    let found = async |query: &str| {
        let list = bed.get(&bed.admin, &format!("/v1/workers?{query}")).await;
        list.is(200)["items"].as_array().unwrap().len()
    };
    assert_eq!(found("tenant=acme").await, 2);
    assert_eq!(found("replica=replica-2").await, 1);
    assert_eq!(found("state=registered").await, 1);
    assert_eq!(found("here=false").await, 1);
    assert_eq!(found("here=true").await, 2);
    let page = bed.get(&bed.admin, "/v1/workers?limit=2").await.is(200);
    let next = page["next"].as_str().unwrap();
    let rest = bed
        .get(&bed.admin, &format!("/v1/workers?limit=2&cursor={next}"))
        .await;
    assert_eq!(column(&rest.is(200), "tenant"), ["beta"]);
}
