//! The backend's answer is late, wrong or missing: the call is answered with the
//! tenant's default configuration, and the reason is kept.

use std::time::Duration;

use trunkline_testbed::backend::Reply;
use trunkline_testbed::bed::{Bed, default_message_of};

use crate::common::{SOON, hears, record_of};

/// Rings with this answer of the backend; returns the reason in the record.
async fn reason_of_fallback(bed: &Bed, reply: Reply) -> anyhow::Result<String> {
    let project = bed.project("harbour");
    project.backend.reply(reply);
    let caller = project.ring().await?;
    hears(&caller, &default_message_of("harbour")).await?;
    let room = caller.room().to_owned();
    caller.hang_up().await?;
    let record = record_of(&bed.sql, &room).await?;
    assert_eq!(record.config_source.as_deref(), Some("tenant_default"));
    Ok(record.fallback_reason.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_backend_costs_the_caller_nothing_but_its_own_sentence() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let json = |text: &str| Reply::Garbage(text.as_bytes().to_vec());
    for (reply, expected) in [
        (Reply::failing(), "500"),
        (json("<html>"), "JSON"),
        (json(r#"{"systemPrompt": "  "}"#), "systemPrompt"),
        (json(r#"{"temperature": "warm"}"#), "temperature"),
        (Reply::Oversize(300 * 1024), "262144"),
    ] {
        let reason = reason_of_fallback(&bed, reply).await?;
        assert!(
            reason.contains(expected),
            "{reason:?} does not say {expected:?}"
        );
    }
    let (_, metrics) = bed.product.get("/metrics").await?;
    assert!(metrics.contains("trunkline_lookups_total"), "{metrics}");
    assert!(bed.product.log().contains("systemPrompt must not be empty"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_backend_is_not_waited_for_longer_than_its_deadline() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    bed.execute("UPDATE tenants SET call_config_deadline_ms = 300")
        .await?;
    bed.product
        .project_until("harbour", SOON, |project| project.version > 1)
        .await?;
    for reply in [
        Reply::Hang,
        Reply::HangInBody,
        Reply::after(SOON, Reply::failing()),
    ] {
        let reason = reason_of_fallback(&bed, reply).await?;
        assert!(reason.contains("within the deadline"), "{reason:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_ahead_of_us_is_understood() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let project = bed.project("harbour");
    let answer = r#"{"startMessage": "Ahoy there.", "tools": [], "laterField": {"a": 1}}"#;
    project.backend.reply(Reply::after(
        Duration::from_millis(200),
        Reply::Garbage(answer.as_bytes().to_vec()),
    ));
    let caller = project.ring().await?;
    hears(&caller, "Ahoy there.").await?;
    assert!(bed.product.log().contains("laterField"));
    Ok(())
}
