//! What goes wrong stays where it went wrong.

use trunkline_testbed::bed::{Bed, start_message_of};
use trunkline_testbed::proxy::Proxy;

use crate::common::{SOON, ask_until_answered, hears, record_of, say};

/// Puts a proxy before the LiveKit of the only project, and lets the worker come
/// through it.
async fn behind_a_proxy(bed: &Bed) -> anyhow::Result<Proxy> {
    let target = bed.project("harbour").livekit.url();
    let proxy = Proxy::start(target.trim_start_matches("ws://").to_owned()).await?;
    sqlx::query("UPDATE tenants SET livekit_url = $1")
        .bind(proxy.url())
        .execute(&bed.sql)
        .await?;
    bed.product
        .project_until("harbour", SOON, |project| {
            project.version > 1 && project.state == "registered"
        })
        .await?;
    Ok(proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_does_not_notice_that_its_workers_socket_was_cut() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let project = bed.project("harbour");
    let proxy = behind_a_proxy(&bed).await?;

    let caller = project.ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    proxy.refuse(Some("/agent"));
    assert!(
        proxy.cut("/agent") > 0,
        "the worker is connected through the proxy"
    );
    bed.product
        .project_until("harbour", SOON, |project| project.state == "backing_off")
        .await?;
    say(&caller, "Can you hear me?").await;
    hears(&caller, "You said: Can you hear me?").await?;

    proxy.refuse(None);
    bed.registered("harbour").await?;
    let room = caller.room().to_owned();
    caller.hang_up().await?;
    assert_eq!(record_of(&bed.sql, &room).await?.outcome, "caller_hung_up");
    let next = project.ring().await?;
    hears(&next, &start_message_of("harbour")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_the_room_that_is_made_anew_in_mid_call_is_no_hang_up() -> anyhow::Result<()>
{
    let bed = Bed::start(&["harbour"]).await?;
    let project = bed.project("harbour");
    let proxy = behind_a_proxy(&bed).await?;
    let caller = project.ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;

    // After a resumption that fails, the SDK joins anew and forgets everybody first.
    proxy.refuse(Some("/rtc"));
    assert!(
        proxy.cut("/rtc") > 0,
        "the room is joined through the proxy"
    );
    proxy.refused(2, SOON).await?;
    proxy.refuse(None);
    ask_until_answered(&caller, "Are you still there?").await?;

    let room = caller.room().to_owned();
    caller.hang_up().await?;
    assert_eq!(record_of(&bed.sql, &room).await?.outcome, "caller_hung_up");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_cannot_be_sent_away_now_is_sent_away_as_soon_as_it_can_be()
-> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let project = bed.project("harbour");
    let proxy = behind_a_proxy(&bed).await?;
    let caller = project.ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    let room = caller.room().to_owned();

    proxy.refuse(Some("/twirp"));
    let probe = project.livekit.probe();
    let dispatch = probe.dispatches(&room).await?.remove(0);
    probe.delete_dispatch(&room, &dispatch.id).await?;
    // The removal of the phone side, and then the deletion of the room.
    proxy.refused(2, SOON).await?;
    proxy.refuse(None);
    caller.wait_ended(SOON).await?;
    probe.room_gone(&room, SOON).await?;
    assert_eq!(record_of(&bed.sql, &room).await?.outcome, "cut");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_shown_as_such_and_hurts_nobody_else() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour", "lantern"]).await?;
    bed.execute("UPDATE tenants SET livekit_api_secret = 'not-the-secret' WHERE slug = 'lantern'")
        .await?;
    let refused = |state: &str| state == "credentials_refused";
    bed.product
        .project_until("lantern", SOON, |project| {
            refused(&project.state)
                || project
                    .reason
                    .as_deref()
                    .is_some_and(|r| r.contains("refused"))
        })
        .await?;
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;

    // Mended, it is tried at once and not when the slow lane comes round.
    use secrecy::ExposeSecret as _;
    sqlx::query("UPDATE tenants SET livekit_api_secret = $1 WHERE slug = 'lantern'")
        .bind(bed.project("lantern").livekit.api_secret().expose_secret())
        .execute(&bed.sql)
        .await?;
    bed.registered("lantern").await?;
    let caller = bed.project("lantern").ring().await?;
    hears(&caller, &start_message_of("lantern")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_run_is_parked_with_its_reason_and_the_others_run()
-> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    bed.execute(
        "INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret) \
         VALUES ('broken', 'wss://nowhere.example', 'key', 'a secret with blanks')",
    )
    .await?;
    let parked = bed
        .product
        .project_until("broken", SOON, |project| project.state == "parked")
        .await?;
    let reason = parked.reason.unwrap_or_default();
    assert!(reason.starts_with("livekit_api_secret must be"), "{reason}");
    let listed = bed.product.command(&["tenant", "list"]).await?;
    assert!(listed.contains("livekit_api_secret must be"), "{listed}");
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, &start_message_of("harbour")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_database_away_calls_are_answered_and_their_records_come_later()
-> anyhow::Result<()> {
    let mut bed = Bed::start(&["harbour"]).await?;
    bed.postgres.stop().await?;
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    let room = caller.room().to_owned();
    caller.hang_up().await?;
    bed.project("harbour")
        .livekit
        .probe()
        .room_gone(&room, SOON)
        .await?;
    bed.postgres.start_again().await?;
    assert_eq!(record_of(&bed.sql, &room).await?.outcome, "caller_hung_up");
    Ok(())
}
