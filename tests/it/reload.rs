//! Rows are added, changed and removed while calls go on.

use trunkline_testbed::backend::Reply;
use trunkline_testbed::bed::{Bed, default_message_of, start_message_of};

use crate::common::{SOON, hears, say};

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_row_holds_for_the_next_call_and_leaves_the_present_ones_alone()
-> anyhow::Result<()> {
    let bed = Bed::start(&["harbour", "lantern"]).await?;
    let harbour = bed.project("harbour").ring().await?;
    let lantern = bed.project("lantern").ring().await?;
    hears(&harbour, &start_message_of("harbour")).await?;
    hears(&lantern, &start_message_of("lantern")).await?;

    bed.execute(
        r#"UPDATE tenants SET call_config_url = NULL,
           default_config = '{"startMessage": "The lantern is lit."}' WHERE slug = 'lantern'"#,
    )
    .await?;
    let changed = bed
        .product
        .project_until("lantern", SOON, |project| project.version > 1)
        .await?;
    assert_eq!(changed.restarts, 0);

    say(&harbour, "Still there?").await;
    say(&lantern, "And you?").await;
    hears(&harbour, "You said: Still there?").await?;
    hears(&lantern, "You said: And you?").await?;

    let next = bed.project("lantern").ring().await?;
    hears(&next, "The lantern is lit.").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_row_takes_no_calls_and_lets_the_present_one_end_by_itself() -> anyhow::Result<()>
{
    let bed = Bed::start(&["harbour"]).await?;
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    bed.execute("DELETE FROM tenants WHERE slug = 'harbour'")
        .await?;
    bed.product
        .project_until("harbour", SOON, |project| project.state == "removed")
        .await?;
    say(&caller, "Am I cut off?").await;
    hears(&caller, "You said: Am I cut off?").await?;
    caller.hang_up().await?;
    bed.product.project_gone("harbour", SOON).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_added_while_another_tenant_talks_is_registered_and_answers() -> anyhow::Result<()> {
    let bed = Bed::prepare(&["harbour", "lantern"], Default::default(), &[]).await?;
    bed.onboard(bed.project("harbour")).await?;
    bed.registered("harbour").await?;
    let harbour = bed.project("harbour").ring().await?;
    hears(&harbour, &start_message_of("harbour")).await?;

    bed.onboard(bed.project("lantern")).await?;
    bed.registered("lantern").await?;
    bed.project("lantern").backend.reply(Reply::failing());
    let lantern = bed.project("lantern").ring().await?;
    hears(&lantern, &default_message_of("lantern")).await?;
    say(&harbour, "Did you notice?").await;
    hears(&harbour, "You said: Did you notice?").await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_a_tenant_s_agent_names_is_answered_and_a_third_comes_in_beside_them()
-> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let project = bed.project("harbour");
    let own = project.ring().await?;
    hears(&own, &start_message_of("harbour")).await?;
    bed.execute(
        "UPDATE tenants SET agent_names = '{pstn-voice-agent,night-desk}' WHERE slug = 'harbour'",
    )
    .await?;
    bed.product
        .project_until("harbour", SOON, |p| {
            p.version > 1 && p.state == "registered"
        })
        .await?;
    for agent_name in ["night-desk", "pstn-voice-agent"] {
        let caller = project
            .ring_with(|options| options.agent_name = Some(agent_name.to_owned()))
            .await?;
        hears(&caller, &start_message_of("harbour")).await?;
    }
    // The first call went on meanwhile, and so does the process.
    say(&own, "Did you notice?").await;
    hears(&own, "You said: Did you notice?").await?;
    let status = bed.registered("harbour").await?;
    assert_eq!(status.restarts, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_removed_softly_drains_and_is_forgotten_and_its_slug_is_used_again()
-> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    bed.execute("UPDATE tenants SET removed_at = now() WHERE slug = 'harbour'")
        .await?;
    bed.product
        .project_until("harbour", SOON, |project| project.state == "removed")
        .await?;
    say(&caller, "Am I cut off?").await;
    hears(&caller, "You said: Am I cut off?").await?;
    caller.hang_up().await?;
    bed.product.project_gone("harbour", SOON).await?;

    bed.onboard(bed.project("harbour")).await?;
    bed.registered("harbour").await?;
    let again = bed.project("harbour").ring().await?;
    hears(&again, &start_message_of("harbour")).await
}
