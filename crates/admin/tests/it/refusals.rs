//! Records of refused offers.

use chrono::{DateTime, Utc};
use trunkline_domain::AccessScope::Read;
use trunkline_domain::TenantId;
use trunkline_store::RefusedOffers;

use crate::bed::{Bed, column};

fn minute(n: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_040 + 60 * n, 0).unwrap()
}

fn refused(tenant_id: TenantId, at: i64, reason: &'static str) -> RefusedOffers {
    RefusedOffers {
        tenant_id,
        minute: minute(at),
        reason,
        count: 12,
        first_at: minute(at),
        last_at: minute(at),
    }
}

#[tokio::test]
async fn refused_offers_are_found_by_tenant_reason_and_time_in_pages_and_by_who_may_see_them() {
    let bed = Bed::start().await;
    let (acme, other) = (bed.tenant("acme").await, bed.tenant("other").await);
    let written = [
        refused(acme, 0, "tenant_full"),
        refused(acme, 1, "tenant_rate"),
        refused(other, 2, "tenant_full"),
    ];
    bed.store
        .record_refusals(&bed.replica, &written)
        .await
        .unwrap();
    let list = async |token: &str, query: &str| {
        let path = format!("/v1/refusals?{query}");
        bed.get(token, &path).await.is(200)
    };
    let all = list(&bed.admin, "").await;
    assert_eq!(column(&all, "tenant"), ["other", "acme", "acme"]);
    let last = &all["items"][0];
    assert_eq!(
        (&last["count"], &last["replica"]),
        (&12.into(), &"replica-1".into())
    );
    let time = |n: i64| minute(n).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    for (query, count) in [
        ("tenant=acme".to_owned(), 2),
        (format!("tenant={}", other.0), 1),
        ("reason=tenant_full".to_owned(), 2),
        ("reason=draining".to_owned(), 0),
        (format!("from={}", time(1)), 2),
        (format!("to={}", time(1)), 1),
        (format!("tenant=acme&from={}", time(1)), 1),
    ] {
        let found = list(&bed.admin, &query).await;
        assert_eq!(found["items"].as_array().unwrap().len(), count, "{query}");
    }

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = list(&bed.admin, &format!("limit=1{cursor}")).await;
        seen.extend(column(&page, "minute"));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, column(&all, "minute"));

    let own = bed.token("of-acme", Read, Some(acme)).await;
    assert_eq!(column(&list(&own, "").await, "tenant"), ["acme", "acme"]);
    let foreign = bed.get(&own, "/v1/refusals?tenant=other").await;
    assert_eq!(foreign.problem(404).0, "not-found");
    for wrong in ["cursor=x", "limit=0", "from=yesterday", "colour=red"] {
        let answer = bed.get(&bed.admin, &format!("/v1/refusals?{wrong}")).await;
        assert_eq!(answer.problem(422).0, "invalid", "{wrong}");
    }
}
