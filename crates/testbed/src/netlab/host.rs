//! A host of the lab: a network namespace with interfaces and addresses.

use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context as _;
use parking_lot::Mutex;

use super::inside::{Door, run_inside};
use super::ip::{IpError, ip, ip_in};

/// What a fresh namespace needs before anything else. Forwarding makes a router
/// of a host with several wires; a host that answers on another wire than it was
/// asked on is one with two networks, and no spoofer.
const SETTINGS: &str = "set -e; cd /proc/sys/net; \
    echo 1 >ipv4/ip_forward; \
    echo 0 >ipv4/conf/all/rp_filter; \
    echo 0 >ipv4/conf/default/rp_filter; \
    for file in ipv6/conf/*/disable_ipv6; do echo 0 >$file; done";

/// The interface of a host's own addresses.
const OWN: &str = "own0";

/// The addresses of an interface or a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// IPv4.
    pub v4: Ipv4Addr,
    /// IPv6, of global scope (unique local).
    pub v6: Ipv6Addr,
}

/// A host of the lab. Clones are the same host.
#[derive(Clone, Debug)]
pub struct Host {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Unique on this machine.
    namespace: String,
    name: String,
    /// Its place in the lab, from 0.
    number: u8,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    interfaces: u8,
    first: Option<Addresses>,
    own: Option<Addresses>,
}

impl Host {
    pub(super) fn new(namespace: String, name: &str, number: u8) -> Result<Self, IpError> {
        ip(&["netns", "add", &namespace])?;
        ip_in(&namespace, "link set lo up\n")?;
        ip(&["netns", "exec", &namespace, "/bin/sh", "-c", SETTINGS])?;
        Ok(Self {
            inner: Arc::new(Inner {
                namespace,
                name: name.to_owned(),
                number,
                state: Mutex::default(),
            }),
        })
    }

    /// Its name in the lab.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its namespace, as `ip netns` lists it.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.inner.namespace
    }

    /// Where others reach it: its own addresses if it was given any, else those
    /// of its first wire. `None` for a host without wires.
    #[must_use]
    pub fn addresses(&self) -> Option<Addresses> {
        let state = self.inner.state.lock();
        state.own.or(state.first)
    }

    /// The interface that has the addresses of [`Self::addresses`].
    #[must_use]
    pub fn main_interface(&self) -> &'static str {
        if self.inner.state.lock().own.is_some() {
            OWN
        } else {
            "eth0"
        }
    }

    /// Gives the host addresses that belong to no wire, so that they are reached
    /// over every wire and outlive each: for a server whose client changes
    /// networks. They are on the interface `own0`.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn add_own_addresses(&self) -> Result<Addresses, IpError> {
        let mut state = self.inner.state.lock();
        if let Some(own) = state.own {
            return Ok(own);
        }
        let number = self.inner.number;
        let own = Addresses {
            v4: Ipv4Addr::new(10, 76, number, 1),
            v6: Ipv6Addr::new(0xfd76, 0, 0, number.into(), 0, 0, 0, 1),
        };
        // A pair whose other end nobody has: not every kernel has dummies.
        ip_in(
            self.namespace(),
            &format!(
                "link add {OWN} type veth peer name own1\n\
                 link set {OWN} addrgenmode none\n\
                 link set own1 addrgenmode none\n\
                 link set {OWN} up\n\
                 link set own1 up\n\
                 addr add {}/32 dev {OWN}\n\
                 addr add {}/128 dev {OWN} nodad\n",
                own.v4, own.v6
            ),
        )?;
        state.own = Some(own);
        Ok(own)
    }

    /// The next interface's number; its addresses may be the host's.
    pub(super) fn next_interface(&self, addresses: Addresses) -> u8 {
        let mut state = self.inner.state.lock();
        state.first.get_or_insert(addresses);
        let number = state.interfaces;
        state.interfaces += 1;
        number
    }

    /// Runs commands of `ip` in the host, one a line: `route add …`.
    ///
    /// # Errors
    /// When `ip` refuses; the lines before have taken effect.
    pub fn ip(&self, batch: &str) -> Result<(), IpError> {
        ip_in(self.namespace(), batch)
    }

    /// A command line that runs this one in the host. It becomes the program
    /// itself: signals for its pid reach it.
    #[must_use]
    pub fn command_line(&self, command: Vec<OsString>) -> Vec<OsString> {
        ["ip", "netns", "exec", self.namespace()]
            .into_iter()
            .map(OsString::from)
            .chain(command)
            .collect()
    }

    /// Runs a short command in the host to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, command: &[&str]) -> anyhow::Result<Output> {
        Command::new("ip")
            .args(["netns", "exec", self.namespace()])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {command:?} in {}", self.name()))
    }

    /// Does this on a thread of its own in the host. Sockets made there are the
    /// host's, wherever they are used then; threads started there are in it too.
    ///
    /// # Errors
    /// When the host is gone, or there is no thread to be had. An entry that is
    /// refused comes out of the thread.
    pub fn inside<T: Send + 'static>(
        &self,
        what: impl FnOnce() -> T + Send + 'static,
    ) -> anyhow::Result<JoinHandle<anyhow::Result<T>>> {
        run_inside(self.namespace(), what)
    }

    /// A way from this process to a TCP server in the host.
    ///
    /// # Errors
    /// When the host is gone, or there is no port or thread to be had.
    pub fn door(&self, target: SocketAddr) -> anyhow::Result<Door> {
        Door::open(self.namespace(), target)
    }
}
