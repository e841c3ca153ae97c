//! The guard, tried with `sleep` as the server.

use super::*;

/// Long enough for any machine to start a shell.
const LIMIT: Duration = Duration::from_secs(20);

fn spec<'a>(command: &[&str], log: &'a Path, scratch: &'a Path) -> Spec<'a> {
    Spec {
        name: "the test server",
        command: command.iter().map(OsString::from).collect(),
        environment: &[],
        log,
        user: None,
        last_signal: Signal::Kill,
        scratch,
    }
}

/// The pid that the server wrote as its first line.
async fn announced_pid(log: &Path) -> u32 {
    let until = Instant::now() + LIMIT;
    loop {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        if let Some(pid) = text.lines().next().and_then(|line| line.parse().ok()) {
            return pid;
        }
        assert!(Instant::now() < until, "the server never announced itself");
        tokio::time::sleep(POLL).await;
    }
}

fn runs(pid: u32) -> bool {
    Command::new("/bin/sh")
        .args([
            "-c",
            "kill -0 \"$1\" 2>/dev/null",
            "probe",
            &pid.to_string(),
        ])
        .status()
        .expect("a shell")
        .success()
}

async fn gone(pid: u32) {
    let until = Instant::now() + LIMIT;
    while runs(pid) {
        assert!(Instant::now() < until, "process {pid} still runs");
        tokio::time::sleep(POLL).await;
    }
}

const ANNOUNCE_AND_STAY: [&str; 3] = ["/bin/sh", "-c", "echo $$; exec sleep 600"];

#[tokio::test]
async fn dropping_the_guard_ends_the_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let guarded =
        Guarded::spawn(&spec(&ANNOUNCE_AND_STAY, &log, directory.path())).expect("started");
    let pid = announced_pid(&log).await;
    assert!(runs(pid));
    drop(guarded);
    gone(pid).await;
}

#[tokio::test]
async fn a_signal_reaches_the_server_and_its_scratch_stays() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let mut guarded =
        Guarded::spawn(&spec(&ANNOUNCE_AND_STAY, &log, directory.path())).expect("started");
    let pid = announced_pid(&log).await;
    guarded.signal(Signal::Terminate);
    guarded.ended(LIMIT).await.expect("ended");
    gone(pid).await;
    assert!(directory.path().exists());
}

#[tokio::test]
async fn an_owner_that_is_killed_takes_its_server_and_scratch_along() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let scratch = directory.path().join("scratch");
    std::fs::create_dir(&scratch).expect("a scratch directory");

    let mut guarded = Guarded::spawn(&spec(&ANNOUNCE_AND_STAY, &log, &scratch)).expect("started");
    let pid = announced_pid(&log).await;
    assert!(scratch.exists());

    // What the kernel does to the pipe of an owner that is killed.
    drop(guarded.control.take());

    gone(pid).await;
    let until = Instant::now() + LIMIT;
    while scratch.exists() {
        assert!(
            Instant::now() < until,
            "the scratch directory is still there"
        );
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn an_early_end_is_seen_with_the_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let mut guarded = Guarded::spawn(&spec(
        &["/bin/sh", "-c", "echo no such port; exit 3"],
        &log,
        directory.path(),
    ))
    .expect("started");
    let status = guarded.ended(LIMIT).await.expect("ended");
    assert_eq!(status.code(), Some(3));
    assert!(guarded.log_tail().contains("no such port"));
}
