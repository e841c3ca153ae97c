//! The tools that ops have for a tenant: a check from end to end, and a test call.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Value, json};
use sqlx::query;
use trunkline_testbed::backend::Reply;
use trunkline_testbed::bed::{Bed, answer_of, start_message_of};
use trunkline_testbed::caller::SAMPLE_RATE;
use trunkline_testbed::voice;

use crate::common::{SOON, eventually};

/// What `tenant test harbour` finds: its exit code, and status and words by check.
async fn found(bed: &Bed) -> anyhow::Result<(Option<i32>, BTreeMap<String, (String, String)>)> {
    let arguments = ["tenant", "test", "harbour", "--json"];
    let output = bed.product.try_command(&arguments).await?;
    let said: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let checks = said["checks"].as_array().context("checks")?;
    let checks = checks
        .iter()
        .map(|check| {
            let words = format!("{} {}", word(&check["detail"]), word(&check["remedy"]));
            (word(&check["name"]), (word(&check["status"]), words))
        })
        .collect();
    Ok((output.status.code(), checks))
}

/// The fault is named by its check, with these words, and by no other.
async fn names_the_fault(bed: &Bed, check: &str, words: &str) -> anyhow::Result<()> {
    let (code, checks) = found(bed).await?;
    assert_eq!(code, Some(1), "{checks:?}");
    let failed: Vec<&str> = checks
        .iter()
        .filter(|(_, (status, _))| status == "failed")
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(failed, [check], "{checks:?}");
    assert!(checks[check].1.contains(words), "{checks:?}");
    Ok(())
}

/// Changes a column, waits until the product runs with it, or has it refused.
async fn set(bed: &Bed, column: &'static str, value: &str) -> anyhow::Result<()> {
    query(match column {
        "livekit_api_key" => "UPDATE tenants SET livekit_api_key = $1",
        "livekit_api_secret" => "UPDATE tenants SET livekit_api_secret = $1",
        "provider_api_key" => "UPDATE tenants SET provider_api_key = $1",
        _ => anyhow::bail!("no statement for {column}"),
    })
    .bind(value)
    .execute(&bed.sql)
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_tenant_is_fine_but_for_sip_and_its_backend_is_told_that_it_is_a_test()
-> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    reported(&bed).await?;
    // What the model has no such setting for is worth a word, and no more.
    let (code, checks) = found(&bed).await?;
    assert_eq!(code, Some(0), "{checks:?}");
    assert_eq!(checks["model"].0, "warning", "{checks:?}");
    assert!(checks["model"].1.contains("temperature"), "{checks:?}");

    let mut answer = answer_of("harbour");
    answer["temperature"] = Value::Null;
    bed.project("harbour").backend.reply(Reply::Json(answer));
    let (code, checks) = found(&bed).await?;
    assert_eq!(code, Some(0), "{checks:?}");
    for (name, (status, words)) in &checks {
        // The server of the tests has no Redis, and so no SIP.
        let expected = if name == "sip" { "warning" } else { "ok" };
        assert_eq!(status, expected, "{name}: {words}");
    }
    assert_eq!(checks.len(), 6, "{checks:?}");
    assert!(checks["sip"].1.contains("no SIP service"), "{checks:?}");
    let asked = bed
        .project("harbour")
        .backend
        .wait_for_requests(1, SOON)
        .await?;
    assert_eq!(asked[0].body["test"], json!(true));
    assert_eq!(asked[0].body["callDirection"], json!("inbound"));
    let test = ["tenant", "test", "harbour"];
    let numbers = ["--from", "+4930123456", "--to", "+15550001111"];
    let output = bed
        .product
        .try_command(&[test.as_slice(), &numbers].concat())
        .await?;
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let asked = bed.project("harbour").backend.requests();
    let asked = &asked.last().context("a request")?.body;
    assert_eq!(asked["callerPhone"], json!("+4930123456"));
    assert_eq!(asked["calledPhone"], json!("+15550001111"));
    // Nobody was rung.
    let calls: i64 = sqlx::query_scalar("SELECT count(*) FROM calls")
        .fetch_one(&bed.sql)
        .await?;
    assert_eq!(calls, 0);
    Ok(())
}

/// Waits until the product has told the database that the tenant is registered.
async fn reported(bed: &Bed) -> anyhow::Result<()> {
    eventually(async || {
        let (_, checks) = found(bed).await?;
        Ok(match checks["agent"].0 == "ok" {
            true => Ok(()),
            false => Err(format!("{checks:?}")),
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_backend_and_model_is_named_with_its_remedy() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    reported(&bed).await?;
    let backend = &bed.project("harbour").backend;
    for (reply, words) in [
        (Reply::failing(), "500"),
        (Reply::Garbage(b"<html>".to_vec()), "JSON"),
        (Reply::Garbage(br#"{"voice": 7}"#.to_vec()), "voice"),
    ] {
        backend.reply(reply);
        names_the_fault(&bed, "backend", words).await?;
    }
    backend.reply(Reply::Json(answer_of("harbour")));

    set(&bed, "provider_api_key", "sk-wrong").await?;
    reported(&bed).await?;
    names_the_fault(&bed, "model", "provider_api_key").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_told_from_a_wrong_secret_and_both_from_an_agent_that_is_not_registered()
-> anyhow::Result<()> {
    let mut bed = Bed::start(&["harbour"]).await?;
    reported(&bed).await?;
    let key = bed.project("harbour").livekit.api_key().to_owned();
    // Without the product the row's new version is in effect nowhere.
    bed.product.kill();
    bed.product.ended(SOON).await?;
    names_the_agent(&bed, "pstn-voice-agent", "").await?;
    for (column, value, words) in [
        ("livekit_api_key", "APIwrong", "no such API key"),
        ("livekit_api_key", key.as_str(), ""),
        (
            "livekit_api_secret",
            "a-secret-of-32-bytes-or-a-few-more",
            "secret is not the one",
        ),
    ] {
        set(&bed, column, value).await?;
        let (code, checks) = found(&bed).await?;
        assert_eq!(code, Some(1), "{checks:?}");
        assert_eq!(checks["url"].0, "ok", "{checks:?}");
        let expected = if words.is_empty() { "ok" } else { "failed" };
        assert_eq!(checks["key"].0, expected, "{checks:?}");
        assert!(checks["key"].1.contains(words), "{checks:?}");
    }
    bed.execute("UPDATE tenants SET agent_names = '{reception}'")
        .await?;
    names_the_agent(&bed, "reception", "in effect nowhere").await
}

/// The agent's check names the agent, and says these words.
async fn names_the_agent(bed: &Bed, name: &str, words: &str) -> anyhow::Result<()> {
    let (_, checks) = found(bed).await?;
    assert!(checks["agent"].1.contains(name), "{checks:?}");
    assert!(checks["agent"].1.contains(words), "{checks:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_hears_the_greeting_and_leaves_no_room() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let directory = tempfile::tempdir()?;
    let [heard, speech] = ["heard.wav", "speech.wav"].map(|name| directory.path().join(name));
    let question = voice::encode("When do you open?", SAMPLE_RATE);
    let mut file = hound::WavWriter::create(
        &speech,
        hound::WavSpec {
            channels: 1,
            sample_rate: SAMPLE_RATE,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        },
    )?;
    question.iter().try_for_each(|s| file.write_sample(*s))?;
    file.finalize()?;

    reported(&bed).await?;
    let said = bed
        .product
        .command(&[
            "call",
            "harbour",
            "--from",
            "+4930123456",
            "--to",
            "+15550001111",
            "--for",
            "15s",
            "--out",
            heard.to_str().context("a path")?,
            "--say",
            speech.to_str().context("a path")?,
        ])
        .await?;
    let mut at = 0;
    for step in [
        "it rings",
        "the agent has joined",
        "answered",
        "active",
        "the first sound",
        "the time is up",
    ] {
        let place = said[at..].find(step);
        at += place.with_context(|| format!("{step} is not next in\n{said}"))?;
    }
    let pcm: Vec<i16> = hound::WavReader::open(&heard)?
        .samples::<i16>()
        .collect::<Result<_, _>>()?;
    let sentences = voice::decode(&pcm, SAMPLE_RATE);
    let greeting = start_message_of("harbour");
    assert!(
        sentences
            .iter()
            .any(|heard| voice::is_sentence(&heard.text, &greeting)),
        "{sentences:?}"
    );
    let room = said
        .lines()
        .find_map(|line| line.split("in the room ").nth(1))
        .context("the room's name")?;
    bed.project("harbour")
        .livekit
        .probe()
        .room_gone(room, SOON)
        .await?;
    // The check before asked as well, about its sample.
    let asked = bed.project("harbour").backend.requests();
    let asked = &asked.last().context("a request")?.body;
    assert_eq!(asked["test"], Value::Null);
    assert_eq!(asked["callerPhone"], json!("+4930123456"));
    assert_eq!(asked["calledPhone"], json!("+15550001111"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_that_hears_only_the_apology_has_failed_and_says_so() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    reported(&bed).await?;
    set(&bed, "provider_api_key", "sk-of-nobody").await?;
    reported(&bed).await?;
    let call = [
        "call",
        "harbour",
        "--from",
        "+4930123456",
        "--to",
        "+15550001111",
    ];
    let output = bed.product.try_command(&call).await?;
    let (told, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(told.contains("the first sound"), "{told}{said}");
    assert_eq!(output.status.code(), Some(1), "{told}{said}");
    assert_eq!(
        said,
        "the apology was heard: the call could not be served; `trunkline tenant test` says what is \
         wrong\n"
    );
    Ok(())
}
