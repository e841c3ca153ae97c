//! Records of refused offers.

use chrono::{DateTime, TimeDelta, Utc};
use trunkline_domain::TenantId;
use trunkline_store::{RefusalFilter, RefusalKey, RefusedOffers, Reporter};
use uuid::Uuid;

use crate::bed::Bed;

const ACME: TenantId = TenantId(Uuid::from_u128(1));
const OTHER: TenantId = TenantId(Uuid::from_u128(2));

fn minute(n: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_040 + 60 * n, 0).unwrap()
}

fn refused(tenant_id: TenantId, at: i64, reason: &'static str, count: u64) -> RefusedOffers {
    RefusedOffers {
        tenant_id,
        minute: minute(at),
        reason,
        count,
        first_at: minute(at) + TimeDelta::seconds(5),
        last_at: minute(at) + TimeDelta::seconds(5 + count as i64),
    }
}

#[tokio::test]
async fn a_count_that_is_written_again_is_that_of_its_minute_and_of_its_process() {
    let bed = Bed::start().await;
    let (one, two) = (Reporter::starting("web"), Reporter::starting("web"));
    for count in [3, 7, 7] {
        let growing = refused(ACME, 0, "tenant_full", count);
        bed.store.record_refusals(&one, &[growing]).await.unwrap();
    }
    // One that was on its way for long.
    let late = refused(ACME, 0, "tenant_full", 4);
    bed.store.record_refusals(&one, &[late]).await.unwrap();
    let others = [
        refused(ACME, 0, "tenant_full", 2),
        refused(ACME, 0, "tenant_rate", 1),
        refused(ACME, 1, "tenant_full", 1),
    ];
    bed.store.record_refusals(&two, &others).await.unwrap();
    bed.store.record_refusals(&two, &[]).await.unwrap();

    let all = bed.store.refusals(RefusalFilter::default(), None, 10).await;
    let mut all = all.unwrap();
    assert_eq!(all.len(), 4);
    assert_eq!(all[0].minute, minute(1));
    all.retain(|r| Some(&r.instance) == one.instance.as_ref());
    assert_eq!(
        (all.len(), all[0].count, all[0].replica.as_str()),
        (1, 7, "web")
    );
    assert_eq!(all[0].last_at - all[0].first_at, TimeDelta::seconds(7));

    let totals = bed.store.refusal_totals(ACME, minute(0)).await.unwrap();
    let totals: Vec<_> = totals
        .iter()
        .map(|t| (t.reason.as_str(), t.count))
        .collect();
    assert_eq!(totals, [("tenant_full", 10), ("tenant_rate", 1)]);
    let totals = bed.store.refusal_totals(ACME, minute(1)).await.unwrap();
    assert_eq!(totals[0].count, 1);
    let none = bed.store.refusal_totals(OTHER, minute(0)).await.unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn records_are_found_by_tenant_reason_and_time_and_come_in_pages() {
    let bed = Bed::start().await;
    let replica = Reporter::starting("web");
    let mut written = Vec::new();
    for at in 0..4 {
        for tenant in [ACME, OTHER] {
            for reason in ["draining", "tenant_full"] {
                written.push(refused(tenant, at, reason, 1));
            }
        }
    }
    bed.store.record_refusals(&replica, &written).await.unwrap();
    let count = async |filter: RefusalFilter| {
        let found = bed.store.refusals(filter, None, 100).await.unwrap();
        found.len()
    };
    let all = RefusalFilter::default;
    assert_eq!(count(all()).await, 16);
    let of_acme = RefusalFilter {
        tenant_id: Some(ACME.0),
        ..all()
    };
    assert_eq!(count(of_acme.clone()).await, 8);
    let reason = Some("draining".to_owned());
    assert_eq!(count(RefusalFilter { reason, ..of_acme }).await, 4);
    assert_eq!(
        count(RefusalFilter {
            from: Some(minute(1)),
            ..all()
        })
        .await,
        12
    );
    assert_eq!(
        count(RefusalFilter {
            to: Some(minute(1)),
            ..all()
        })
        .await,
        4
    );

    let whole = bed.store.refusals(all(), None, 100).await.unwrap();
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = bed.store.refusals(all(), after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(RefusalKey {
            minute: last.minute,
            tenant_id: last.tenant_id,
            reason: last.reason.clone(),
            replica: last.replica.clone(),
            instance: last.instance.clone(),
        });
        paged.extend(page);
    }
    assert_eq!(paged, whole);
}
