//! The process is told to end.

use trunkline_testbed::bed::{Bed, start_message_of};

use crate::common::{SOON, hears, say};

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_takes_no_new_calls_and_lets_the_present_one_end_by_itself() -> anyhow::Result<()> {
    let mut bed = Bed::start(&["harbour"]).await?;
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    bed.product.terminate();
    bed.product
        .project_until("harbour", SOON, |project| project.state == "draining")
        .await?;
    let (ready, _) = bed.product.get("/readyz").await?;
    assert_eq!(ready, 503);
    say(&caller, "Goodbye then.").await;
    hears(&caller, "You said: Goodbye then.").await?;
    caller.hang_up().await?;
    let status = bed.product.ended(SOON).await?;
    assert!(status.success(), "{status}\n{}", bed.product.log_tail());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_cuts_and_the_caller_is_sent_away() -> anyhow::Result<()> {
    let mut bed = Bed::start(&["harbour"]).await?;
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    bed.product.terminate();
    bed.product
        .project_until("harbour", SOON, |project| project.state == "draining")
        .await?;
    bed.product.terminate();
    caller.wait_ended(SOON).await?;
    bed.product.ended(SOON).await?;
    Ok(())
}
