//! What shells and `man` are given.

use crate::bed::{Bed, bare, text, with_input};

#[tokio::test]
async fn the_completion_of_each_shell_knows_the_commands_and_bash_can_read_it() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let mut command = bare();
        command.args(["completion", shell]);
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let script = text(&output.stdout);
        for word in ["tenant", "livekit-url", "completion"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
        if shell == "bash" {
            let mut bash = tokio::process::Command::new("bash");
            bash.arg("-n").stderr(std::process::Stdio::piped());
            let read = with_input(bash, &script).await;
            assert!(read.status.success(), "{}", text(&read.stderr));
        }
    }
}

#[tokio::test]
async fn there_is_a_page_for_each_command() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    let mut command = bare();
    command.arg("man").arg(&pages);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    for (name, says) in [
        ("trunkline", "LiveKit"),
        ("trunkline-serve", "migrate"),
        ("trunkline-tenant", "Check from end to end"),
        ("trunkline-tenant-add", "livekit\\-url"),
        ("trunkline-tenant-import", "dry\\-run"),
        ("trunkline-top", "TRUNKLINE_API_TOKEN"),
        ("trunkline-call", "heard.wav"),
    ] {
        let page = std::fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(".TH"), "{page}");
        assert!(page.contains(says), "{name} does not say {says}:\n{page}");
    }
}

#[tokio::test]
async fn a_tenant_that_nobody_answers_for_is_told_what_is_wrong_with_it() {
    let bed = Bed::migrated().await;
    bed.add("acme").await;
    let output = bed.run(&["tenant", "test", "acme", "--json"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = found["checks"].as_array().unwrap();
    let status = |name| {
        let check = checks.iter().find(|check| check["name"] == name);
        check.unwrap()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status("url"), "failed", "{found}");
    assert_eq!(status("key"), "warning", "{found}");
    assert_eq!(status("agent"), "failed", "{found}");
    assert_eq!(status("backend"), "ok", "{found}");
    assert_eq!(status("model"), "failed", "{found}");

    // A row that cannot be run is all that there is to say.
    let sql = bed.sql().await;
    let parked = "UPDATE tenants SET default_config = '{\"systemPrompt\": \" \"}'";
    sqlx::query(parked).execute(&sql).await.unwrap();
    let output = bed.run(&["tenant", "test", "acme"]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(said.contains("row    failed  "), "{said}");
    assert!(said.contains("systemPrompt"), "{said}");

    let said = bed.fails(1, &["tenant", "test", "acme2"]).await;
    assert!(said.contains("there is no tenant acme2"), "{said}");
}
