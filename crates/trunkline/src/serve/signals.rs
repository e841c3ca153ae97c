//! SIGTERM and SIGINT: the first drains, the second cuts.

use tokio::signal::unix::{SignalKind, signal};

use super::Stop;

/// Turns signals into orders. Never ends by itself.
///
/// # Errors
/// When the system does not let us listen.
pub fn on_signals(stop: Stop) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if stop.drain.is_cancelled() {
                tracing::warn!(signal = name, "cutting the calls");
                stop.cut.cancel();
            } else {
                tracing::info!(
                    signal = name,
                    "draining: no more calls, those under way end by themselves; \
                     a second signal cuts them"
                );
                stop.drain.cancel();
            }
        }
    })
}
