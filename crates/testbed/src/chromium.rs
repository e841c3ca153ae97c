//! A headless Chromium with one page, told what to do by the DevTools protocol.
//!
//! What the page complains of (errors of scripts, of the console, of the page's own
//! security policy) is kept for the test to look at.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::process::{Guarded, Signal, Spec};

/// The names that a Chromium has.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Set, it makes [`Chromium::or_skip`] fail where there is none: for machines that
/// must not skip.
const REQUIRED: &str = "TRUNKLINE_REQUIRE_CHROMIUM";

/// What is waited for at most: its start, an answer, something in the page.
const LIMIT: Duration = Duration::from_secs(60);

/// How often a file or a page is looked at while something is awaited.
const POLL: Duration = Duration::from_millis(25);

/// A size of the window, in CSS pixels.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// Which colours the reader prefers.
#[derive(Debug, Clone, Copy)]
pub enum Colours {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// Something that the page complained of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// For instance exception, console, network, security.
    pub source: String,
    /// What it says.
    pub text: String,
}

/// See the module. Dropping it ends the browser.
pub struct Chromium {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: String,
    asked: u64,
    complaints: Vec<Complaint>,
    _process: Guarded,
    _directory: TempDir,
}

impl Chromium {
    /// A browser, or, where there is none, a loud word on why `test` is skipped. Where
    /// `TRUNKLINE_REQUIRE_CHROMIUM` is set, nothing is skipped.
    ///
    /// # Panics
    /// When the browser should start and does not.
    pub async fn or_skip(test: &str) -> Option<Self> {
        let Some(program) = find() else {
            let story = format!("there is none of {} on PATH", NAMES.join(", "));
            assert!(
                std::env::var_os(REQUIRED).is_none(),
                "{test} must not be skipped: {story}"
            );
            // Past the capture of a test that passes.
            let line = format!("SKIPPED {test}: {story}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            return None;
        };
        Some(Self::start(&program).await.expect("a browser"))
    }

    async fn start(program: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("trunkline-browser-")
            .tempdir()
            .context("a directory for the browser's profile")?;
        let profile = directory.path().join("profile");
        let mut command = vec![
            program.as_os_str().to_owned(),
            "--headless".into(),
            "--remote-debugging-port=0".into(),
            "--no-first-run".into(),
            "--disable-gpu".into(),
            // Nothing of the browser's own goes out.
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            "--no-proxy-server".into(),
        ];
        let mut user_data = std::ffi::OsString::from("--user-data-dir=");
        user_data.push(&profile);
        command.push(user_data);
        let made = std::fs::metadata(directory.path()).context("the profile's directory")?;
        if made.uid() == 0 {
            // We are root, and as root Chromium does not start with its sandbox.
            command.push("--no-sandbox".into());
        }
        command.push("about:blank".into());
        let mut process = Guarded::spawn(&Spec {
            name: "chromium",
            command,
            environment: &[],
            log: &directory.path().join("log"),
            user: None,
            last_signal: Signal::Terminate,
            scratch: directory.path(),
        })?;
        let url = address(&profile, &mut process).await?;
        let (socket, _) = connect_async(&url)
            .await
            .context("cannot reach the browser")?;
        let mut browser = Self {
            socket,
            session: String::new(),
            asked: 0,
            complaints: Vec::new(),
            _process: process,
            _directory: directory,
        };
        let target = json!({"url": "about:blank"});
        let target = browser.ask("Target.createTarget", target).await?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.ask("Target.attachToTarget", attach).await?;
        let session = session["sessionId"].as_str();
        session
            .context("no session")?
            .clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Log", "Audits"] {
            let enable = format!("{domain}.enable");
            browser.ask(&enable, json!({})).await?;
        }
        Ok(browser)
    }

    /// Opens a page.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(&mut self, url: &str) -> anyhow::Result<()> {
        let answer = self.ask("Page.navigate", json!({"url": url})).await?;
        match answer.get("errorText") {
            Some(error) => bail!("cannot open {url}: {error}"),
            None => Ok(()),
        }
    }

    /// What an expression of JavaScript gives in the page.
    ///
    /// # Errors
    /// When it throws.
    pub async fn evaluate(&mut self, expression: &str) -> anyhow::Result<Value> {
        let parameters =
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.ask("Runtime.evaluate", parameters).await?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            bail!("{expression} threw {thrown}");
        }
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression gives something true.
    ///
    /// # Errors
    /// When it does not, with what the page shows instead.
    pub async fn until(&mut self, expression: &str) -> anyhow::Result<()> {
        let until = Instant::now() + LIMIT;
        while self.evaluate(&format!("Boolean({expression})")).await? != json!(true) {
            if Instant::now() >= until {
                let text = self.text().await?;
                let complaints = &self.complaints;
                bail!("{expression} never was so; {complaints:?}; the page shows\n{text}");
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until the page shows a text.
    ///
    /// # Errors
    /// When it does not, with what it shows instead.
    pub async fn shows(&mut self, text: &str) -> anyhow::Result<()> {
        let text = serde_json::to_string(text).context("a text")?;
        self.until(&format!("document.body?.innerText.includes({text})"))
            .await
    }

    /// What the page shows.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn text(&mut self) -> anyhow::Result<String> {
        let text = self.evaluate("document.body.innerText").await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Presses a key: a character, or a name such as Enter.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn press(&mut self, key: &str) -> anyhow::Result<()> {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            _ => 0,
        };
        let mut down = json!({"type": "keyDown", "key": key, "windowsVirtualKeyCode": code});
        match key {
            "Enter" => down["text"] = json!("\r"),
            character if character.chars().count() == 1 => down["text"] = json!(character),
            _ => {}
        }
        self.ask("Input.dispatchKeyEvent", down).await?;
        let up = json!({"type": "keyUp", "key": key, "windowsVirtualKeyCode": code});
        self.ask("Input.dispatchKeyEvent", up).await?;
        Ok(())
    }

    /// Types a text where the focus is.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn write(&mut self, text: &str) -> anyhow::Result<()> {
        self.ask("Input.insertText", json!({"text": text})).await?;
        Ok(())
    }

    /// Makes the window so large, and its reader of that taste.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn look(&mut self, window: Window, colours: Colours) -> anyhow::Result<()> {
        let Window { width, height } = window;
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.ask("Emulation.setDeviceMetricsOverride", metrics)
            .await?;
        let value = match colours {
            Colours::Light => "light",
            Colours::Dark => "dark",
        };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.ask("Emulation.setEmulatedMedia", media).await?;
        Ok(())
    }

    /// A picture of what is seen, as PNG.
    ///
    /// # Errors
    /// When the browser gives none.
    pub async fn picture(&mut self) -> anyhow::Result<Vec<u8>> {
        let answer = self.ask("Page.captureScreenshot", json!({})).await?;
        let data = answer["data"].as_str().context("no picture")?;
        STANDARD.decode(data).context("the picture")
    }

    /// What the page has complained of since this was asked last.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn complaints(&mut self) -> anyhow::Result<Vec<Complaint>> {
        // What was said before is read on the way to the answer.
        self.evaluate("null").await?;
        Ok(std::mem::take(&mut self.complaints))
    }

    async fn ask(&mut self, method: &str, parameters: Value) -> anyhow::Result<Value> {
        self.asked += 1;
        let id = self.asked;
        let mut request = json!({"id": id, "method": method, "params": parameters});
        if !self.session.is_empty() {
            request["sessionId"] = json!(self.session);
        }
        let answered = async {
            let text = Message::text(request.to_string());
            self.socket
                .send(text)
                .await
                .context("the browser is gone")?;
            loop {
                let message = self.socket.next().await.context("the browser is gone")?;
                let Message::Text(text) = message.context("the browser is gone")? else {
                    continue;
                };
                let mut message: Value =
                    serde_json::from_str(&text).context("the browser speaks no JSON")?;
                if message["id"] == json!(id) {
                    if let Some(error) = message.get("error") {
                        bail!("the browser refuses {method}: {error}");
                    }
                    return Ok(message["result"].take());
                }
                self.complaints.extend(complaint(&message));
            }
        };
        tokio::time::timeout(LIMIT, answered)
            .await
            .with_context(|| format!("the browser does not answer {method}"))?
    }
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    NAMES.iter().find_map(|name| {
        let mut places = std::env::split_paths(&path).map(|directory| directory.join(name));
        places.find(|program| program.is_file())
    })
}

/// Where the browser listens: it writes a file that says so, its port and a path.
async fn address(profile: &Path, process: &mut Guarded) -> anyhow::Result<String> {
    let until = Instant::now() + LIMIT;
    loop {
        let text = std::fs::read_to_string(profile.join("DevToolsActivePort"));
        if let Ok(text) = text
            && let Some((port, path)) = text.split_once('\n')
            && !path.is_empty()
        {
            return Ok(format!("ws://127.0.0.1:{port}{path}"));
        }
        if process.exit()?.is_some() || Instant::now() >= until {
            bail!("Chromium does not start:\n{}", process.log_tail());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The complaint that an event of the protocol is.
fn complaint(event: &Value) -> Option<Complaint> {
    let parameters = &event["params"];
    let (source, text) = match event["method"].as_str()? {
        "Runtime.exceptionThrown" => {
            let details = &parameters["exceptionDetails"];
            let thrown = &details["exception"]["description"];
            let text = if thrown.is_null() {
                &details["text"]
            } else {
                thrown
            };
            ("exception", text.to_string())
        }
        "Runtime.consoleAPICalled" => {
            let kind = parameters["type"].as_str()?;
            if !["error", "warning", "assert"].contains(&kind) {
                return None;
            }
            ("console", parameters["args"].to_string())
        }
        "Log.entryAdded" => {
            let entry = &parameters["entry"];
            if !["error", "warning"].contains(&entry["level"].as_str()?) {
                return None;
            }
            let text = format!("{} {}", entry["text"], entry["url"]);
            (entry["source"].as_str()?, text)
        }
        "Audits.issueAdded" => {
            let issue = &parameters["issue"];
            if issue["code"] != "ContentSecurityPolicyIssue" {
                return None;
            }
            ("security", issue["details"].to_string())
        }
        _ => return None,
    };
    Some(Complaint {
        source: source.to_owned(),
        text,
    })
}
