//! What replicas say of tenants.

use chrono::DateTime;
use trunkline_domain::{TenantId, TenantVersion};
use trunkline_store::{Expected, Reporter, StateReport};

use crate::bed::{Bed, actor};

fn report(tenant_id: TenantId, state: &str) -> StateReport {
    StateReport {
        tenant_id,
        state: state.into(),
        reason: (state != "registered").then(|| format!("why {state}")),
        version: Some(TenantVersion(5)),
        since: DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
    }
}

/// Replica, state and reason of each.
async fn states(bed: &Bed) -> Vec<(String, String, Option<String>)> {
    let states = bed.store.states().await.unwrap();
    states
        .into_iter()
        .map(|s| (s.replica.name, s.state, s.reason))
        .collect()
}

#[tokio::test]
async fn the_last_word_of_each_replica_holds_until_it_is_taken_back() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    let id = bed.row("acme").await.id;
    let (one, two) = (Reporter::starting("one"), Reporter::starting("two"));
    bed.store
        .report_state(&one, report(id, "connecting"))
        .await
        .unwrap();
    bed.store
        .report_state(&one, report(id, "registered"))
        .await
        .unwrap();
    bed.store
        .report_states(&two, vec![report(id, "parked")])
        .await
        .unwrap();
    let parked = Some("why parked".to_owned());
    assert_eq!(
        states(&bed).await,
        [
            ("one".into(), "registered".into(), None),
            ("two".into(), "parked".into(), parked.clone()),
        ]
    );
    bed.store.retract_states(&one).await.unwrap();
    assert_eq!(
        states(&bed).await,
        [("two".into(), "parked".into(), parked)]
    );
}

#[tokio::test]
async fn reports_of_tenants_that_are_gone_and_of_replicas_long_silent_are_not_shown() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    bed.insert("gone", "secret").await;
    let (acme, gone) = (bed.row("acme").await.id, bed.row("gone").await.id);
    bed.store
        .report_state(&Reporter::starting("dead"), report(acme, "registered"))
        .await
        .unwrap();
    bed.execute("UPDATE tenant_states SET reported_at = now() - interval '25 hours'")
        .await;
    bed.store
        .report_states(
            &Reporter::starting("alive"),
            vec![report(acme, "registered"), report(gone, "registered")],
        )
        .await
        .unwrap();
    bed.store
        .remove_tenant("gone", Expected::Any, &actor())
        .await
        .unwrap();
    assert_eq!(
        states(&bed).await,
        [("alive".into(), "registered".into(), None)]
    );
}

#[tokio::test]
async fn of_two_processes_with_one_name_the_one_that_ends_takes_back_its_own_states() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    let id = bed.row("acme").await.id;
    let (first, second) = (Reporter::starting("same"), Reporter::starting("same"));
    bed.store
        .report_state(&first, report(id, "registered"))
        .await
        .unwrap();
    assert_eq!(bed.store.namesakes(&first).await.unwrap(), []);
    assert_eq!(
        bed.store.namesakes(&second).await.unwrap(),
        std::slice::from_ref(&first)
    );
    let another = Reporter::starting("another");
    assert_eq!(bed.store.namesakes(&another).await.unwrap(), []);
    bed.store
        .report_state(&second, report(id, "parked"))
        .await
        .unwrap();
    assert_eq!(states(&bed).await.len(), 2);
    bed.store.retract_states(&second).await.unwrap();
    assert_eq!(
        states(&bed).await,
        [("same".into(), "registered".into(), None)]
    );
    // One that was killed is forgotten as a namesake soon.
    bed.execute("UPDATE tenant_states SET reported_at = now() - interval '46 seconds'")
        .await;
    assert_eq!(bed.store.namesakes(&second).await.unwrap(), []);
}

#[tokio::test]
async fn a_replica_of_the_version_before_reports_under_its_bare_name() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    let id = bed.row("acme").await.id;
    let new = Reporter::starting("same");
    bed.store
        .report_state(&new, report(id, "registered"))
        .await
        .unwrap();
    bed.execute(
        "INSERT INTO tenant_states (tenant_id, replica, state, since)
         SELECT id, 'same', 'draining', now() FROM tenants
         ON CONFLICT (tenant_id, replica) DO UPDATE SET state = excluded.state",
    )
    .await;
    let old = Reporter {
        name: "same".into(),
        instance: None,
    };
    assert_eq!(bed.store.namesakes(&new).await.unwrap(), [old]);
    // As the version before ends.
    bed.execute("DELETE FROM tenant_states WHERE replica = 'same'")
        .await;
    assert_eq!(
        states(&bed).await,
        [("same".into(), "registered".into(), None)]
    );
}
