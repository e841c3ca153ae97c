//! Calls live and past.

use reqwest::Method;
use trunkline_domain::CallOutcome;
use uuid::Uuid;

use crate::bed::{Bed, column};

#[tokio::test]
async fn past_calls_come_in_pages_the_latest_first_and_none_is_missed_or_doubled() {
    let bed = Bed::start().await;
    let acme = bed.tenant("acme").await;
    let mut ids = Vec::new();
    for n in 0..7 {
        // Some start at the same time.
        ids.push(
            bed.past_call(acme, n / 2, "+15550001111")
                .await
                .0
                .to_string(),
        );
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    let mut pages = 0;
    loop {
        let page = bed
            .get(&bed.admin, &format!("/v1/calls?limit=3{cursor}"))
            .await;
        let page = page.is(200);
        seen.extend(column(&page, "id"));
        pages += 1;
        // What comes meanwhile is ahead of every page that is left.
        bed.past_call(acme, 100 + pages, "+15550001111").await;
        let Some(next) = page["next"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    ids.sort();
    ids.reverse();
    let mut sorted = seen.clone();
    sorted.sort_by_key(|id| std::cmp::Reverse(id.to_string()));
    assert_eq!(pages, 3);
    assert_eq!(seen.len(), 7);
    assert_eq!(sorted, ids);
    let starts: Vec<_> = seen.iter().collect();
    assert_eq!(starts.len(), 7);
}

#[tokio::test]
async fn past_calls_are_found_by_tenant_outcome_time_and_caller() {
    let bed = Bed::start().await;
    let (acme, other) = (bed.tenant("acme").await, bed.tenant("other").await);
    bed.past_call(acme, 10, "+15550001111").await;
    bed.past_call(acme, 20, "+15550002222").await;
    bed.past_call(other, 30, "+15550001111").await;
    let count = async |query: &str| {
        let list = bed.get(&bed.admin, &format!("/v1/calls?{query}")).await;
        list.is(200)["items"].as_array().unwrap().len()
    };
    let time = |at_s: i64| {
        let at = chrono::DateTime::from_timestamp(1_790_000_000 + at_s, 0).unwrap();
        at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    };
    assert_eq!(count("").await, 3);
    assert_eq!(count("tenant=acme").await, 2);
    assert_eq!(count(&format!("tenant={}", other.0)).await, 1);
    assert_eq!(count("outcome=caller_hung_up").await, 3);
    assert_eq!(count("outcome=crashed").await, 0);
    assert_eq!(count(&format!("from={}", time(20))).await, 2);
    assert_eq!(count(&format!("to={}", time(20))).await, 1);
    assert_eq!(
        count(&format!("from={}&to={}", time(11), time(30))).await,
        1
    );
    assert_eq!(count("caller=%2B15550001111").await, 2);
    assert_eq!(count("caller=+15550001111").await, 2);
    assert_eq!(count("caller=%2B15550001111&tenant=acme").await, 1);
    assert_eq!(
        bed.get(&bed.admin, "/v1/calls?tenant=nobody")
            .await
            .problem(404)
            .0,
        "not-found"
    );
    for wrong in [
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=x",
        "from=yesterday",
        "colour=red",
    ] {
        let refused = bed.get(&bed.admin, &format!("/v1/calls?{wrong}")).await;
        let (kind, problem) = refused.problem(422);
        assert_eq!(kind, "invalid", "{wrong}");
        let field = problem["errors"][0]["field"].as_str().unwrap();
        assert_eq!(field, wrong.split('=').next().unwrap(), "{problem:#}");
    }
}

#[tokio::test]
async fn a_call_is_live_with_its_steps_and_then_in_the_records_with_its_timeline() {
    let bed = Bed::start().await;
    let acme = bed.tenant("acme").await;
    let (id, entered) = bed.live_call(acme, "acme");
    let path = format!("/v1/calls/{}", id.0);
    let call = bed.get(&bed.admin, &path).await.is(200);
    assert_eq!(
        (&call["is_live"], &call["step"], &call["outcome"]),
        (&true.into(), &"joining".into(), &serde_json::Value::Null)
    );
    assert_eq!(call["timeline"][0]["step"], "assigned");
    let live = bed.get(&bed.admin, "/v1/calls/live").await.is(200);
    assert_eq!(column(&live, "id"), [id.0.to_string()]);
    assert_eq!(live["replica"], "replica-1");

    entered.ended(CallOutcome::CallerHungUp);
    assert_eq!(bed.get(&bed.admin, &path).await.problem(404).0, "not-found");
    let past = bed.past_call(acme, 1, "+15550001111").await;
    let call = bed
        .get(&bed.admin, &format!("/v1/calls/{}", past.0))
        .await
        .is(200);
    assert_eq!(
        (&call["is_live"], &call["step"]),
        (&false.into(), &"over".into())
    );
    let steps: Vec<&str> = call["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(steps, ["assigned", "joined", "ended"]);
}

#[tokio::test]
async fn a_live_call_can_be_hung_up_and_no_other_one() {
    let bed = Bed::start().await;
    let acme = bed.tenant("acme").await;
    let (id, entered) = bed.live_call(acme, "acme");
    let hang_up = async |id: Uuid| {
        let path = format!("/v1/calls/{id}/hang-up");
        bed.send(bed.request(&bed.admin, Method::POST, &path)).await
    };
    for _ in 0..2 {
        assert_eq!(hang_up(id.0).await.is(202)["id"], id.0.to_string());
        assert!(entered.hang_up().is_cancelled());
    }
    let past = bed.past_call(acme, 1, "+15550001111").await;
    let (kind, problem) = hang_up(past.0).await.problem(409);
    assert_eq!(kind, "wrong-state");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("caller_hung_up")
    );
    assert_eq!(hang_up(Uuid::nil()).await.problem(404).0, "not-found");
}
