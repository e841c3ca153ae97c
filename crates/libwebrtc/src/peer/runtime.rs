//! The threads that drive connections.

use std::{num::NonZero, sync::OnceLock, thread};

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

use crate::{RtcError, engine_options};

/// Most threads of the engine's own for all connections of the process. A connection with audio both
/// ways costs about a hundredth of a core; more threads than this would contend with the
/// application.
const MAX_THREADS: usize = 4;

/// Most threads for what blocks: certificates are read once, and keys derived on two at a time.
const MAX_BLOCKING: usize = 4;

/// The runtime of a driver: the multi-threaded one that the connection is made in, else the
/// engine's own, so that connections can be made outside of any. See
/// [`engine_options::set_own_threads`].
///
/// # Errors
/// Where the system gives no threads.
pub(super) fn runtime() -> Result<Handle, RtcError> {
    if !engine_options::own_threads()
        && let Ok(current) = Handle::try_current()
        && current.runtime_flavor() == RuntimeFlavor::MultiThread
    {
        return Ok(current);
    }
    own()
}

/// Threads that nobody else has anything to do on.
fn own() -> Result<Handle, RtcError> {
    static OWN: OnceLock<Option<Runtime>> = OnceLock::new();
    let make = || {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Builder::new_multi_thread()
            .worker_threads(cores.min(MAX_THREADS))
            .max_blocking_threads(MAX_BLOCKING)
            .thread_name("libwebrtc")
            .enable_io()
            .enable_time()
            .build()
            .inspect_err(|error| log::error!("no threads for the media engine: {error}"))
            .ok()
    };
    let own = OWN.get_or_init(make).as_ref();
    let own = own.ok_or_else(|| RtcError::internal("the media engine has no threads"))?;
    Ok(own.handle().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_in(runtime: &Runtime) -> bool {
        let _guard = runtime.enter();
        super::runtime().unwrap().id() == runtime.handle().id()
    }

    #[test]
    fn a_connection_is_driven_where_it_is_made_if_there_are_threads_for_it() {
        let many = Builder::new_multi_thread().build().unwrap();
        let single = Builder::new_current_thread().build().unwrap();
        assert!(made_in(&many));
        assert!(
            !made_in(&single),
            "nothing would happen while it is not blocked on"
        );
        assert_eq!(super::runtime().unwrap().id(), own().unwrap().id());
    }
}
