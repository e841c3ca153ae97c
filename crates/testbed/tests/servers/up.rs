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

    typed.write_all(b"r\n").await.expect("typed");
    says(&mut lines, "started anew").await;
    shell(&out, "trunkline tenant list").await;

    typed.write_all(b"q\n").await.expect("typed");
    let status = tokio::time::timeout(LIMIT, up.wait()).await;
    assert!(status.expect("it ends").expect("its status").success());
}
