//! One tenant is called more often than the process can answer.

use trunkline_testbed::bed::{Bed, start_message_of};
use trunkline_testbed::caller::Caller;

use crate::common::{SOON, eventually, hears};

/// Two tenants of a process that takes three calls.
async fn small() -> anyhow::Result<Bed> {
    let environment = [("TRUNKLINE_WORKER__MAX_CALLS", "3")];
    Bed::start_with(&["harbour", "lantern"], &environment).await
}

/// One tenant's callers, one more than it may have then.
async fn too_many(bed: &Bed) -> anyhow::Result<Vec<Caller>> {
    let mut callers = Vec::new();
    for _ in 0..3 {
        callers.push(bed.project("harbour").ring().await?);
    }
    Ok(callers)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_s_storm_leaves_room_for_another_tenant_s_caller_and_is_counted()
-> anyhow::Result<()> {
    let bed = small().await?;
    let _callers = too_many(&bed).await?;
    let storm = bed
        .product
        .project_until("harbour", SOON, |project| {
            project.active_calls == 2 && project.refused_offers.contains_key("tenant_share")
        })
        .await?;
    assert_eq!(storm.refused_offers.len(), 1, "{storm:?}");

    let lantern = bed.project("lantern").ring().await?;
    hears(&lantern, &start_message_of("lantern")).await?;
    let (_, metrics) = bed.product.get("/metrics").await?;
    let series = metrics.lines().find(|line| {
        line.starts_with("trunkline_offers_total{")
            && line.contains("tenant=\"harbour\"")
            && line.contains("reason=\"tenant_share\"")
    });
    let counted = series.is_some_and(|line| !line.ends_with(" 0"));
    assert!(counted, "{series:?}");
    assert!(
        bed.product.log().contains("tenant_share"),
        "{}",
        bed.product.log_tail()
    );
    recorded(&bed, 1).await?;
    let shown = bed.product.command(&["tenant", "show", "harbour"]).await?;
    assert!(
        shown.contains("refused_offers_last_24h.tenant_share.count: "),
        "{shown}"
    );
    Ok(())
}

/// Waits until at least so many refused offers are in the records, all of them of the tenant
/// and for the reason that they were refused for.
async fn recorded(bed: &Bed, count: i64) -> anyhow::Result<()> {
    let query = "SELECT t.slug, r.reason, sum(r.count)::bigint \
                 FROM refused_offers r JOIN tenants t ON t.id = r.tenant_id GROUP BY 1, 2";
    let (slug, reason) = eventually(async || {
        let found: Vec<(String, String, i64)> = sqlx::query_as(query).fetch_all(&bed.sql).await?;
        Ok(match &found[..] {
            [(slug, reason, found)] if *found >= count => Ok((slug.clone(), reason.clone())),
            _ => Err(format!("{found:?}")),
        })
    })
    .await?;
    assert_eq!(
        (slug.as_str(), reason.as_str()),
        ("harbour", "tenant_share")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_that_are_refused_while_the_database_is_away_are_recorded_when_it_is_back()
-> anyhow::Result<()> {
    let mut bed = small().await?;
    bed.postgres.stop().await?;
    let _callers = too_many(&bed).await?;
    let storm = bed
        .product
        .project_until("harbour", SOON, |project| {
            project.refused_offers.contains_key("tenant_share")
        })
        .await?;
    let refused = storm.refused_offers["tenant_share"];
    bed.postgres.start_again().await?;
    recorded(&bed, refused as i64).await
}
