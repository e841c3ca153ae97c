use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

/// Far beyond what a start takes.
const LIMIT: Duration = Duration::from_secs(60);

async fn says(lines: &mut Lines<BufReader<ChildStdout>>, wanted: &str) {
    let found = async {
        while let Some(line) = lines.next_line().await.expect("a line") {
            if line.contains(wanted) {
                return;
            }
        }
        panic!("it ended without {wanted:?}");
    };
    tokio::time::timeout(LIMIT, found).await.expect(wanted);
}

/// Runs a line of a shell that has read the variables.
async fn shell(out: &Path, line: &str) -> String {
    let script = format!(". {}/env && {line}", out.display());
    let output = Command::new("sh")
        .args(["-c", &script])
        .output()
        .await
        .expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {text}{errors}");
    text
}

#[tokio::test]
async fn what_is_up_is_there_for_another_terminal_until_it_is_told_to_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("up");
    let mut up = Command::new(env!("CARGO_BIN_EXE_up"))
        .arg("--out")
        .arg(&out)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(up.stdout.take().expect("its output")).lines();
    let mut typed = up.stdin.take().expect("its input");
    says(&mut lines, "trunkline is up").await;

    let list = shell(&out, "trunkline tenant list").await;
    assert_eq!(list.matches("registered").count(), 2, "{list}");
    let here = out.display();
    let call = format!(
        "trunkline call lantern --from +4930123456 --to +15550001001 --for 6s --out {here}/heard.wav"
    );
    shell(&out, &call).await;
    typed.write_all(b"h\n").await.expect("typed");
    says(&mut lines, "This is the lantern. How can I help you?").await;

    let another = out.join("another.wav");
    std::fs::copy(out.join("heard.wav"), &another).expect("a copy");
    std::fs::remove_file(out.join("heard.wav")).expect("it was there");
    let h = format!("h {}\n", another.display());
    typed.write_all(h.as_bytes()).await.expect("typed");
    says(&mut lines, "This is the lantern. How can I help you?").await;

    // Whoever looks at the processes of the machine does not see the model's key.
    let key = shell(&out, "echo $TRUNKLINE_PROVIDER__API_KEY").await;
    assert!(key.starts_with("sk-"), "{key}");
    let commands = shell(&out, "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '").await;
    assert!(commands.contains("trunkline serve"), "{commands}");
    assert!(!commands.contains(key.trim()), "{commands}");

    // A call that is under way is waited for, and it is said.
    let ringing = format!(
        "trunkline call lantern --from +4930123456 --to +15550001001 --for 4s > {here}/call.log"
    );
    let call = async {
        shell(&out, &ringing).await;
    };
    let restart = async {
        shell(
            &out,
            &format!("until grep -qs 'first sound' {here}/call.log; do sleep 0.1; done"),
        )
        .await;
        typed.write_all(b"r\n").await.expect("typed");
        says(&mut lines, "calls under way: 1").await;
        says(&mut lines, "started anew").await;
    };
    tokio::join!(call, restart);
    shell(&out, "trunkline tenant list").await;

    typed.write_all(b"q\n").await.expect("typed");
    let status = tokio::time::timeout(LIMIT, up.wait()).await;
    assert!(status.expect("it ends").expect("its status").success());
}
