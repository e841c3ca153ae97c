//! Whoever makes namespaces must see them gone, also when it is killed.
//!
//! Namespaces outlive their maker. So a small shell holds the reading end of a
//! pipe of ours: when it closes, because we closed it or were killed, the shell
//! removes the lab's namespaces. Should it be killed as well, the next lab does.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::ip::{IpError, ip};

/// `$1`: what the names of the namespaces begin with.
const SCRIPT: &str = r#"
    while read -r _; do :; done
    ip netns list | while read -r name _; do
        case $name in "$1"*) ip netns del "$name" ;; esac
    done
"#;

/// All our namespaces begin with it.
const PRODUCT: &str = "trunkline-";

/// Removing a namespace takes milliseconds.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// How often the shell is looked at while its end is awaited.
const POLL: Duration = Duration::from_millis(2);

/// Labs that this process has made.
static LABS: AtomicU32 = AtomicU32::new(0);

/// What makes the names of one lab's namespaces and devices unique.
#[derive(Clone, Copy, Debug)]
pub(super) struct LabName {
    process: u32,
    lab: u32,
}

impl LabName {
    pub(super) fn unique() -> Self {
        Self {
            process: std::process::id(),
            lab: LABS.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn prefix(self) -> String {
        format!("{PRODUCT}{}-{}-", self.process, self.lab)
    }

    pub(super) fn namespace(self, host: &str) -> String {
        format!("{}{host}", self.prefix())
    }

    /// A device's name until it has moved: 15 characters at most.
    pub(super) fn device(self, wire: u8, end: char) -> String {
        format!("t{:x}-{:x}-{wire:x}{end}", self.process, self.lab)
    }
}

/// The process that a namespace's name tells, if it is a lab's.
fn owner(namespace: &str) -> Option<u32> {
    let (process, _) = namespace.strip_prefix(PRODUCT)?.split_once('-')?;
    process.parse().ok()
}

/// Removes the namespaces of processes that are no more.
pub(super) fn sweep() -> Result<(), IpError> {
    for line in ip(&["netns", "list"])?.lines() {
        let Some(namespace) = line.split_whitespace().next() else {
            continue;
        };
        let dead = |process: u32| !Path::new(&format!("/proc/{process}")).exists();
        if owner(namespace).is_some_and(dead)
            && let Err(error) = ip(&["netns", "del", namespace])
        {
            // Another lab's sweep may have been first.
            tracing::debug!("{error}");
        }
    }
    Ok(())
}

/// The shell of one lab.
#[derive(Debug)]
pub(super) struct Keeper(Child);

impl Keeper {
    pub(super) fn start(name: LabName) -> io::Result<Self> {
        Command::new("/bin/sh")
            .args(["-c", SCRIPT, "netlab-keeper", &name.prefix()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // An interrupt typed at the terminal is for us.
            .process_group(0)
            .spawn()
            .map(Self)
    }

    /// Closes the pipe, and waits until the namespaces are gone.
    #[expect(
        clippy::disallowed_methods,
        reason = "drop cannot await; what comes after it must find the namespaces gone"
    )]
    pub(super) fn stop(&mut self) {
        drop(self.0.stdin.take());
        let until = Instant::now() + STOP_LIMIT;
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() >= until {
                tracing::warn!("the lab's namespaces were not removed in time");
                return;
            }
            std::thread::sleep(POLL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_tells_its_owner_and_a_strangers_does_not() {
        let name = LabName {
            process: 4_194_304,
            lab: 3,
        };
        assert_eq!(owner(&name.namespace("client")), Some(4_194_304));
        assert_eq!(owner("trunkline-client"), None);
        assert_eq!(owner("blue"), None);
    }

    #[test]
    fn a_devices_name_fits_for_the_highest_pid() {
        let name = LabName {
            process: 4_194_304,
            lab: 0xff,
        };
        assert!(name.device(250, 'y').len() <= 15);
    }
}
