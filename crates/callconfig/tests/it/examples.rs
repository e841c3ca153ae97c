//! The example backends, run as their page says, asked by the real lookup.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use aws_lc_rs::hmac;
use chrono::Utc;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use trunkline_callconfig::{FallbackReason, Resolved};
use trunkline_domain::{CallAction, ConfigSource, PhoneNumber, Tenant};

use crate::bed::{lookup, request, resolve_with, soon, tenant};

const OLD: &str = "the-secret-before";
const NEW: &str = "the-secret-in-use";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/call-config/examples")
}

/// Where the program is, if this machine has it.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

struct Example {
    url: String,
    /// Killed as it is dropped.
    _process: Child,
}

async fn start(mut command: Command) -> Example {
    let mut process = command
        .env("CALL_CONFIG_SECRETS", format!("{NEW},{OLD}"))
        .env("PORT", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let url = soon("the URL", lines.next_line()).await.unwrap().unwrap();
    Example {
        url,
        _process: process,
    }
}

fn signing(url: &str, secret: &str) -> Tenant {
    let mut tenant = tenant(Some(url));
    let settings = tenant.lookup.as_mut().unwrap();
    settings.bearer = None;
    settings.signing_secret = Some(secret.to_owned().into());
    tenant
}

async fn called(tenant: &Tenant, number: &str) -> Resolved {
    let mut request = request(tenant);
    request.called_phone = PhoneNumber::new(number);
    let deadline = std::time::Instant::now() + crate::bed::PATIENCE;
    lookup().resolve(tenant, &request, deadline).await
}

/// The status for a request that was signed at this time.
async fn signed_at(url: &str, timestamp: &str) -> u16 {
    let body = serde_json::to_vec(&request(&tenant(None))).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, NEW.as_bytes());
    let signed = [timestamp.as_bytes(), b".", &body].concat();
    let tag = hmac::sign(&key, &signed);
    let tag: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client
        .post(url)
        .header("trunkline-timestamp", timestamp)
        .header("trunkline-signature", format!("v1={tag}"))
        .body(body)
        .send();
    soon("an answer", response).await.unwrap().status().as_u16()
}

async fn keeps_its_promises(example: Example) {
    let url = &example.url;
    // Both secrets are taken, so that one can be exchanged for the other.
    for secret in [NEW, OLD] {
        let resolved = resolve_with(&lookup(), &signing(url, secret)).await;
        assert_eq!(resolved.reason, None);
        assert_eq!(resolved.config.start_message, "Acme bicycles, hello!");
    }
    let tenant = signing(url, NEW);
    let resolved = called(&tenant, "+15550002222").await;
    assert!(matches!(
        resolved.config.action,
        CallAction::Transfer { .. }
    ));
    let resolved = called(&tenant, "+15559999999").await;
    assert_eq!(resolved.source, ConfigSource::Fresh);
    assert_eq!(resolved.config.start_message, "Acme here.", "the default");

    let refused = Some(FallbackReason::Status(401));
    let wrong = resolve_with(&lookup(), &signing(url, "a-guess")).await;
    assert_eq!(wrong.reason, refused);
    let unsigned = crate::bed::tenant(Some(url));
    assert_eq!(resolve_with(&lookup(), &unsigned).await.reason, refused);

    let now = Utc::now().timestamp();
    assert_eq!(signed_at(url, &now.to_string()).await, 200);
    for replayed in [now - 3_600, now + 3_600, 0] {
        assert_eq!(signed_at(url, &replayed.to_string()).await, 401);
    }
    for nonsense in ["-1", "1e9", "99999999999999999999"] {
        assert_eq!(signed_at(url, nonsense).await, 401, "{nonsense}");
    }
}

/// Tells of a language that this machine does not have.
#[expect(clippy::print_stdout, reason = "said to whoever runs the tests")]
fn skip(name: &str) {
    println!("skipped: there is no {name} on PATH");
}

#[tokio::test]
async fn the_backend_in_python_answers_and_verifies() {
    lookup();
    let Some(python) = program("python3") else {
        return skip("python3");
    };
    let mut command = Command::new(python);
    command.arg(examples().join("backend.py"));
    keeps_its_promises(start(command).await).await;
}

#[tokio::test]
async fn the_backend_in_node_answers_and_verifies() {
    lookup();
    let Some(node) = program("node") else {
        return skip("node");
    };
    let mut command = Command::new(node);
    command.arg(examples().join("backend.mjs"));
    keeps_its_promises(start(command).await).await;
}

#[tokio::test]
async fn the_backend_in_go_answers_and_verifies() {
    lookup();
    let Some(go) = program("go") else {
        return skip("go");
    };
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("backend");
    // Its first build compiles the standard library: minutes on a small machine.
    let built = Command::new(go)
        .args(["build", "-o"])
        .args([&binary, &examples().join("backend.go")])
        .status()
        .await
        .unwrap();
    assert!(built.success());
    keeps_its_promises(start(Command::new(&binary)).await).await;
}
