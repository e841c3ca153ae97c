//! Secrets that are asked for.

use serde_json::json;

use crate::bed::Bed;
use crate::terminal::Terminal;

const ADD: [&str; 7] = [
    "tenant",
    "add",
    "acme",
    "--livekit-url",
    "wss://a.example",
    "--livekit-api-key",
    "key",
];
const PROMPT: &str = "livekit api secret (not shown): ";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_asked_for_twice_at_a_terminal_and_never_shown() {
    let bed = Bed::migrated().await;
    let mut terminal = Terminal::run(&bed, &ADD);
    terminal.shows(PROMPT);
    terminal.types("hunter2-typed\r");
    terminal.shows("once more: ");
    terminal.types("hunter2-typed\r");
    assert!(terminal.ends().success(), "{}", terminal.written());
    terminal.shows("acme is added");
    assert!(
        !terminal.written().contains("hunter2"),
        "{}",
        terminal.written()
    );
    assert_eq!(bed.secrets_of("acme").await[0], "hunter2-typed");

    let set = [
        "tenant",
        "set",
        "acme",
        "--livekit-api-secret-from",
        "prompt",
        "--call-config-url",
        "https://a.example",
        "--call-config-bearer-from",
        "prompt",
    ];
    let mut terminal = Terminal::run(&bed, &set);
    terminal.shows(PROMPT);
    terminal.types("hunter3-typed\r");
    terminal.shows("once more: ");
    terminal.types("hunter3-typed\r");
    terminal.shows("call config bearer (not shown): ");
    terminal.types("hunter4-typed\rhunter4-typed\r");
    assert!(terminal.ends().success(), "{}", terminal.written());
    assert!(
        !terminal.written().contains("hunter"),
        "{}",
        terminal.written()
    );
    assert_eq!(bed.secrets_of("acme").await[0], "hunter3-typed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_mistyped_changes_nothing() {
    let bed = Bed::migrated().await;
    for (typed, again, says) in [
        ("hunter2\r", "hunter3\r", "the two are not the same"),
        ("\r", "", "what was typed is empty"),
        ("hunter2\x03", "", ""),
    ] {
        let mut terminal = Terminal::run(&bed, &ADD);
        terminal.shows(PROMPT);
        terminal.types(typed);
        if !again.is_empty() {
            terminal.shows("once more: ");
            terminal.types(again);
        }
        assert!(!terminal.ends().success(), "{}", terminal.written());
        terminal.shows(says);
        assert!(
            !terminal.written().contains("hunter"),
            "{}",
            terminal.written()
        );
    }
    assert_eq!(bed.json(&["tenant", "list", "--json"]).await, json!([]));
}

#[tokio::test]
async fn without_a_terminal_the_option_is_named_with_the_remedy() {
    let bed = Bed::migrated().await;
    let said = bed.fails(1, &ADD).await;
    assert!(
        said.contains("--livekit-api-secret-from is missing, and there is no terminal"),
        "{said}"
    );
    let asks = ["--livekit-api-secret-from", "prompt"];
    let said = bed.fails(1, &[&ADD[..], &asks].concat()).await;
    assert!(said.contains("env:NAME"), "{said}");
    assert_eq!(bed.json(&["tenant", "list", "--json"]).await, json!([]));
}
