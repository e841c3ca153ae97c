//! The command's bounds.

use std::time::Duration;

/// A build from nothing, dependencies included, takes a few minutes on two cores.
pub(crate) const BUILD: Duration = Duration::from_secs(60 * 60);

/// A program lists its tests in milliseconds; a loaded machine takes longer.
pub(crate) const LIST: Duration = Duration::from_secs(60);

/// The longest test waits at most 90 s for the SDK to give up, after connecting.
pub(crate) const TEST: Duration = Duration::from_secs(180);

/// How many tests run at once: they wait for the server and for each other most
/// of their time, and with more than a few of them two cores become the
/// bottleneck that the tests' own bounds do not expect.
pub(crate) const AT_ONCE: usize = 3;

/// How much of a failed test's output is shown; the file has all of it.
pub(crate) const SHOWN_LINES: usize = 12;
