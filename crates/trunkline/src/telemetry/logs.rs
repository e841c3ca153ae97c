//! Logs: to standard error, so that standard output is the commands' alone.

use std::io::{self, IsTerminal, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use trunkline_domain::without_tokens;

use crate::config::{Log, LogFormat};

/// Libraries that write whole requests into the log at the level trace, and so the keys and
/// tokens in their headers.
const TELL_SECRETS: [&str; 2] = ["tungstenite", "tokio_tungstenite"];

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter does not parse. The configuration's check finds this first.
    #[error("log.filter cannot be used")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something else logs already in this process.
    #[error("logging has been set up already")]
    Taken(#[from] TryInitError),
}

/// Sets up the process's logging. The crates that use `log` are heard as well.
///
/// # Errors
/// When the filter does not parse, or logging was set up before.
pub fn install(options: &Log) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(&options.filter)?;
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(tells_no_secret));
    let terminal = std::io::stderr().is_terminal();
    match format(options.format, terminal) {
        LogFormat::Json => registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(false)
                    .with_span_list(true)
                    .with_writer(|| WithoutTokens(std::io::stderr())),
            )
            .try_init()?,
        LogFormat::Human | LogFormat::Auto => registry
            .with(
                fmt::layer()
                    .with_ansi(terminal && std::env::var_os("NO_COLOR").is_none())
                    .with_writer(|| WithoutTokens(std::io::stderr())),
            )
            .try_init()?,
    }
    Ok(())
}

/// Lets no token through: LiveKit repeats the one that it refuses, and libraries log what it says.
struct WithoutTokens<W>(W);

impl<W: Write> Write for WithoutTokens<W> {
    /// An event comes in one piece.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        self.0.write_all(without_tokens(&text).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whatever the filter asks for.
fn tells_no_secret(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split(':').next().unwrap_or_default();
    *metadata.level() < Level::TRACE || !TELL_SECRETS.contains(&library)
}

/// Which format `auto` means.
fn format(wanted: LogFormat, terminal: bool) -> LogFormat {
    match (wanted, terminal) {
        (LogFormat::Auto, true) => LogFormat::Human,
        (LogFormat::Auto, false) => LogFormat::Json,
        (wanted, _) => wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_an_event_is_not_logged() {
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJrZXkifQ.c2lnbmF0dXJl";
        let logged = SharedBuffer::default();
        let writer = logged.clone();
        let layer = fmt::layer().with_writer(move || WithoutTokens(writer.clone()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!("refused: invalid token: {token}, error");
        });
        let logged = String::from_utf8(logged.0.lock().clone()).unwrap();
        assert!(logged.contains("invalid token: [token], error"), "{logged}");
    }

    #[derive(Clone, Default)]
    struct SharedBuffer(std::sync::Arc<parking_lot::Mutex<Vec<u8>>>);

    impl Write for SharedBuffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
