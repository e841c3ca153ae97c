//! Calls end from either side, and nothing is left behind.

use trunkline_testbed::backend::Reply;
use trunkline_testbed::bed::{Bed, start_message_of};

use crate::common::{SOON, hears, record_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_gives_up_while_it_rings_leaves_nothing_behind() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let project = bed.project("harbour");
    project.backend.reply(Reply::Hang);
    let caller = project.ring().await?;
    // The agent is there and asks its backend: the phone rings.
    project.backend.wait_for_requests(1, SOON).await?;
    let room = caller.room().to_owned();
    caller.cancel().await?;
    let record = record_of(&bed.sql, &room).await?;
    assert_eq!(record.outcome, "caller_gave_up");
    project.livekit.probe().room_gone(&room, SOON).await?;
    bed.product
        .project_until("harbour", SOON, |project| project.active_calls == 0)
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_agents_job_is_ended_the_caller_is_sent_away_and_not_left_in_silence()
-> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let project = bed.project("harbour");
    let caller = project.ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    let room = caller.room().to_owned();
    let probe = project.livekit.probe();
    let dispatch = probe.dispatches(&room).await?.remove(0);
    probe.delete_dispatch(&room, &dispatch.id).await?;
    caller.wait_ended(SOON).await?;
    let record = record_of(&bed.sql, &room).await?;
    assert_eq!(record.outcome, "cut");
    probe.room_gone(&room, SOON).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_deleted_ends_its_call() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let project = bed.project("harbour");
    let caller = project.ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    let room = caller.room().to_owned();
    project.livekit.probe().delete_room(&room).await?;
    caller.wait_ended(SOON).await?;
    let record = record_of(&bed.sql, &room).await?;
    assert!(
        ["room_closed", "caller_hung_up"].contains(&record.outcome.as_str()),
        "{}",
        record.outcome
    );
    Ok(())
}
