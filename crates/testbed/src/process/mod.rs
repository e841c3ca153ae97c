//! A server process that cannot outlive us.
//!
//! Each server runs under a small shell that holds the reading end of a pipe
//! of ours. Signals for the server are sent as lines through that pipe; when it
//! closes, because we dropped it or were killed, the server is ended and its
//! scratch directory removed. So a test that is interrupted or killed leaves
//! nothing behind, without a polling watchdog and without unsafe code.

mod user;

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

pub(crate) use user::{User, unprivileged_user};

/// The shell around a server: `$1` the signal that ends it when its owner is
/// gone, `$2` what to remove then, the rest the command.
const GUARD: &str = include_str!("guard.sh");

/// How much of a server's log goes into an error: some twenty lines.
const LOG_TAIL_BYTES: u64 = 3_000;

/// How often a process is looked at while its end is awaited.
const POLL: Duration = Duration::from_millis(10);

/// How long `Drop` waits for a server to end: Postgres kills what is left of
/// itself after 5 s, everything else is sent a signal that it cannot refuse.
const DROP_LIMIT: Duration = Duration::from_secs(7);

/// A signal to a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    /// `SIGTERM`: most servers end what they are doing, then themselves.
    Terminate,
    /// `SIGINT`: Postgres disconnects its clients and ends. Only for servers
    /// that ask for it: the shell starts them with it ignored.
    Interrupt,
    /// `SIGQUIT`: Postgres ends at once, as in a crash. Ignored by others, as
    /// `Interrupt` is.
    Quit,
    /// `SIGKILL`.
    Kill,
    /// `SIGSTOP`: the process stands still; its sockets stay open.
    Stop,
    /// `SIGCONT`: the process goes on.
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
            Self::Quit => "QUIT",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// What to run, and how.
pub(crate) struct Spec<'a> {
    /// What it is called in errors.
    pub(crate) name: &'static str,
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
    /// Variables of its own beside ours. Secrets are here, and not in the command: everybody can
    /// read that.
    pub(crate) environment: &'a [(String, String)],
    /// Where its output is appended.
    pub(crate) log: &'a Path,
    /// As whom it runs; `None` for ourselves.
    pub(crate) user: Option<&'a User>,
    /// How it is ended when its owner is gone.
    pub(crate) last_signal: Signal,
    /// What is removed when we are killed; when we are not, we do it ourselves.
    pub(crate) scratch: &'a Path,
}

/// A running server; dropping it ends the server and waits for that.
pub(crate) struct Guarded {
    name: &'static str,
    child: Child,
    /// Closed by `drop`: that ends the server.
    control: Option<ChildStdin>,
    log: PathBuf,
}

impl Guarded {
    /// Starts a server.
    pub(crate) fn spawn(spec: &Spec<'_>) -> anyhow::Result<Self> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(spec.log)
            .with_context(|| format!("cannot open the log {}", spec.log.display()))?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", GUARD, "guard", spec.last_signal.name()])
            .arg(spec.scratch)
            .args(&spec.command)
            .envs(spec.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().context("cannot share the log")?)
            .stderr(log)
            // An interrupt typed at the terminal is for us; we decide what it
            // means for the servers.
            .process_group(0);
        if let Some(user) = spec.user {
            // As root, `uid` also drops the supplementary groups. A user such
            // as `nobody` may not be able to enter our working directory.
            command.uid(user.uid).gid(user.gid).current_dir("/");
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", spec.name))?;
        let control = child.stdin.take();
        Ok(Self {
            name: spec.name,
            child,
            control,
            log: spec.log.to_owned(),
        })
    }

    /// Sends a signal to the server; nothing happens when it has ended.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if let Some(control) = &mut self.control {
            // A broken pipe means that the server has ended already.
            let _ = writeln!(control, "{}", signal.name());
        }
    }

    /// The server's own process, the only one that the shell has started.
    ///
    /// # Errors
    /// When there is none any more.
    pub(crate) fn server_pid(&self) -> anyhow::Result<i32> {
        let shell = i32::try_from(self.child.id()).context("the shell's id")?;
        procfs::process::all_processes()
            .context("cannot list processes")?
            // One may end while it is looked at.
            .filter_map(|process| process.and_then(|process| process.stat()).ok())
            .find(|stat| stat.ppid == shell)
            .map(|stat| stat.pid)
            .with_context(|| format!("{} has ended", self.name))
    }

    /// How the server ended, or `None` while it runs.
    pub(crate) fn exit(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("cannot ask after {}", self.name))
    }

    /// Waits until the server has ended; `None` when it has not within `limit`.
    pub(crate) async fn ended_within(
        &mut self,
        limit: Duration,
    ) -> anyhow::Result<Option<ExitStatus>> {
        let until = Instant::now() + limit;
        loop {
            let exit = self.exit()?;
            if exit.is_some() || Instant::now() >= until {
                return Ok(exit);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the server has ended.
    ///
    /// # Errors
    /// When it has not within `limit`.
    pub(crate) async fn ended(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.ended_within(limit).await?.with_context(|| {
            format!(
                "{} had not ended after {} ms; its log ends with\n{}",
                self.name,
                limit.as_millis(),
                self.log_tail()
            )
        })
    }

    /// The end of what the server logged.
    pub(crate) fn log_tail(&self) -> String {
        log_tail(&self.log)
    }
}

impl Drop for Guarded {
    #[expect(
        clippy::disallowed_methods,
        reason = "drop cannot await; what comes after it must find the server gone"
    )]
    fn drop(&mut self) {
        drop(self.control.take());
        let until = Instant::now() + DROP_LIMIT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() >= until {
                tracing::warn!(process = self.name, "the process did not end in time");
                return;
            }
            std::thread::sleep(POLL);
        }
    }
}

/// The end of a log; says so when it cannot be read.
pub(crate) fn log_tail(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("(the log {} cannot be read: {error})", path.display()),
    }
}

#[cfg(test)]
mod tests;
