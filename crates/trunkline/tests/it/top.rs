//! The live view, at a terminal and without one.

use std::process::Command;

use crate::bed::{Bed, Serving, text};
use crate::terminal::Terminal;

async fn token(bed: &Bed) -> String {
    let add = ["token", "add", "--scope", "read", "top"];
    bed.succeeds(&add).await.trim().to_owned()
}

fn top(bed: &Bed, api: &str, token: &str) -> Terminal {
    let variables = [("TRUNKLINE_API_URL", api), ("TRUNKLINE_API_TOKEN", token)];
    Terminal::run_with(bed, &["top"], &variables)
}

#[tokio::test(flavor = "multi_thread")]
async fn top_shows_a_project_takes_keys_and_gives_the_terminal_back() {
    let bed = Bed::migrated().await;
    bed.add("acme").await;
    let mut serving = Serving::start(bed.command()).await;
    let api = serving.api().to_owned();
    let mut terminal = top(&bed, &api, &token(&bed).await);
    for shown in ["acme", "Projects 1", "CPU ", "q quit"] {
        terminal.shows(shown);
    }
    terminal.types("/nobody");
    terminal.shows("Projects 0");
    terminal.types("\r");
    terminal.shows("only tenants with nobody");
    terminal.types("\x1b");
    terminal.shows("Projects 1");
    // A key in the same moment as a new size is seen at once, and not with the next one.
    for (rows, filter) in [(12, "/x"), (20, "y"), (14, "z"), (30, "w"), (10, "\x1b")] {
        terminal.resize_and_type(rows, 60, filter);
        match filter {
            "\x1b" => terminal.shows("Projects 1"),
            keys => terminal.shows(&format!("{}  Enter keep", keys.trim_start_matches('/'))),
        }
    }

    // The API goes away, and top goes on.
    serving.terminate().await;
    serving.logs("the projects have ended").await;
    serving.ends().await;
    terminal.shows("does not answer");
    terminal.shows("acme");
    assert!(terminal.is_drawn_on());
    terminal.types("q");
    assert!(terminal.ends().success(), "{}", terminal.written());
    terminal.is_given_back();
}

#[tokio::test(flavor = "multi_thread")]
async fn top_gives_the_terminal_back_at_signals_too() {
    let bed = Bed::empty().await;
    for signal in ["-TERM", "-HUP", "-INT"] {
        // Nobody listens there.
        let mut terminal = top(&bed, "http://127.0.0.1:9", "tl_x");
        terminal.shows("does not answer");
        assert!(terminal.is_drawn_on());
        let pid = terminal.pid().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
        assert!(terminal.ends().success(), "{}", terminal.written());
        terminal.is_given_back();
    }
}

#[tokio::test]
async fn without_a_terminal_it_is_one_table_and_a_wrong_token_is_told_with_the_remedy() {
    let bed = Bed::migrated().await;
    bed.add("acme").await;
    let serving = Serving::start(bed.command()).await;
    let right = token(&bed).await;
    let run = async |token: &str, arguments: &[&str]| {
        let mut command = bed.command();
        command
            .arg("top")
            .args(["--api", serving.api()])
            .args(arguments)
            .env("TRUNKLINE_API_TOKEN", token);
        let output = command.output().await.unwrap();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (code, table, said) = run(&right, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        table.contains("TENANT  STATE") && table.contains("\nacme "),
        "{table}"
    );

    let wrong = "tl_wrong0000";
    let (code, _, said) = run(wrong, &["--once"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("trunkline token add --scope read"), "{said}");
    assert!(!said.contains(wrong), "{said}");
    let (code, _, said) = run(&right, &["--json"]).await;
    assert_eq!(code, Some(2), "{said}");

    let said = bed.fails(1, &["top", "--once"]).await;
    assert!(said.contains("--token-from is missing"), "{said}");
    let ftp = [
        "top",
        "--once",
        "--api",
        "ftp://a.example",
        "--token-from",
        "env:PATH",
    ];
    let output = bed
        .command()
        .env("PATH", "x")
        .args(ftp)
        .output()
        .await
        .unwrap();
    let said = text(&output.stderr);
    assert!(said.contains("--api must be"), "{said}");
}
