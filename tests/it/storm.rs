//! One tenant is called more often than the process can answer.

use trunkline_testbed::bed::{Bed, start_message_of};

use crate::common::{SOON, hears};

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_s_storm_leaves_room_for_another_tenant_s_caller_and_is_counted()
-> anyhow::Result<()> {
    let tenants = ["harbour", "lantern"];
    let environment = [("TRUNKLINE_WORKER__MAX_CALLS", "3")];
    let bed = Bed::prepare(&tenants, Default::default(), &environment).await?;
    for tenant in tenants {
        bed.onboard(bed.project(tenant)).await?;
    }
    for tenant in tenants {
        bed.registered(tenant).await?;
    }
    let mut callers = Vec::new();
    for _ in 0..3 {
        callers.push(bed.project("harbour").ring().await?);
    }
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
    Ok(())
}
