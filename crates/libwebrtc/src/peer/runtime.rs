//! The threads that drive connections.

use std::{num::NonZero, sync::OnceLock, thread};

use tokio::runtime::{Builder, Runtime};

use crate::RtcError;

/// Most threads for all connections of the process. A connection with audio both ways costs about
/// a hundredth of a core; more threads than this would contend with the application.
const MAX_THREADS: usize = 4;

/// Most threads that look up names of servers, which the system does blocking. Connections of one
/// program ask for the same few names; where those hang, more threads would hang too.
const MAX_LOOK_UPS: usize = 4;

/// The runtime of all drivers. It is the engine's own, so that packets keep their pace whatever
/// the application does on its runtime, and so that connections can be made outside of any.
///
/// # Errors
/// Where the system gives no threads.
pub(super) fn runtime() -> Result<&'static Runtime, RtcError> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let make = || {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Builder::new_multi_thread()
            .worker_threads(cores.min(MAX_THREADS))
            .max_blocking_threads(MAX_LOOK_UPS)
            .thread_name("libwebrtc")
            .enable_io()
            .enable_time()
            .build()
            .inspect_err(|error| log::error!("no threads for the media engine: {error}"))
            .ok()
    };
    let runtime = RUNTIME.get_or_init(make).as_ref();
    runtime.ok_or_else(|| RtcError::internal("the media engine has no threads"))
}
