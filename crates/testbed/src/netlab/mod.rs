//! A laboratory of small networks on this machine: for tests and benchmarks of
//! the media engine and of whole calls.
//!
//! A [`Host`] is a network namespace. A [`Wire`] joins two of them, and each of
//! its directions treats packets as a [`Profile`] says: delay, jitter, loss,
//! reordering, duplicates, a bottleneck; outages, too. That happens in this
//! process, not in the kernel's `netem`, which not every machine has: so it is
//! the same with the same seed, counted, and can be changed while it runs.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use trunkline_testbed::netlab::{Direction, NetLab, Profile};
//! # fn main() -> anyhow::Result<()> {
//! let mut lab = NetLab::new()?;
//! let (server, client) = (lab.host("server")?, lab.host("client")?);
//! let wire = lab.wire(&server, &client)?;
//! wire.set_both(&Profile::delayed(Duration::from_millis(40)));
//! client.run(&["ping", "-c", "1", &server.addresses().unwrap().v4.to_string()])?;
//! wire.cut(Direction::Back);
//! # Ok(())
//! # }
//! ```
//!
//! Packets come out up to 1 ms late: that is how exactly the timers are read.
//! It takes root, `ip` of iproute2 and `/dev/net/tun`.

mod host;
mod inside;
mod ip;
mod keeper;
mod link;
mod loss;
mod profile;
mod wire;

use std::io::Write as _;

use anyhow::Context as _;
use tokio::runtime::Runtime;

pub use self::host::{Addresses, Host};
pub use self::inside::Door;
pub use self::ip::IpError;
use self::keeper::{Keeper, LabName};
pub use self::link::{Counters, Tally};
pub use self::profile::{Jitter, Loss, Order, Profile, Rate, Share};
use self::wire::Plan;
pub use self::wire::{Direction, Interface, Wire};

/// Set, it makes [`NetLab::or_skip`] fail where there can be no lab: for
/// machines that must not skip.
const REQUIRED: &str = "TRUNKLINE_REQUIRE_NETLAB";

/// Hosts and wires of a lab at most: each wire's number is in its addresses.
const MAX: u8 = 250;

/// Where everything random comes from, unless said otherwise.
const SEED: u64 = 0x7472_756e_6b6c_696e;

/// Why there can be no lab here.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// Namespaces are Linux's.
    #[error("network namespaces exist on Linux only")]
    NotLinux,
    /// Containers need `--device /dev/net/tun`, kernels the module `tun`.
    #[error("/dev/net/tun cannot be opened")]
    NoTun(#[source] std::io::Error),
    /// No `ip`, or not root.
    #[error("network namespaces cannot be made; that takes root")]
    NoNamespaces(#[source] IpError),
}

/// A laboratory. When it is dropped or this process is killed, its hosts are
/// gone; end what runs in them before.
#[derive(Debug)]
pub struct NetLab {
    keeper: Keeper,
    name: LabName,
    hosts: u8,
    wires: u8,
    seed: u64,
    /// Carries the packets. Its own, so that no test's work delays them; `None`
    /// only while it is dropped.
    runtime: Option<Runtime>,
}

impl NetLab {
    /// Whether there can be a lab on this machine.
    ///
    /// # Errors
    /// Why not.
    pub fn available() -> Result<(), Unavailable> {
        if !cfg!(target_os = "linux") {
            return Err(Unavailable::NotLinux);
        }
        std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/net/tun")
            .map_err(Unavailable::NoTun)?;
        let name = LabName::unique().namespace("probe");
        ip::ip(&["netns", "add", &name]).map_err(Unavailable::NoNamespaces)?;
        ip::ip(&["netns", "del", &name]).map_err(Unavailable::NoNamespaces)?;
        Ok(())
    }

    /// A lab, or, where there can be none, a loud word on why `test` is skipped.
    /// Where `TRUNKLINE_REQUIRE_NETLAB` is set, nothing is skipped.
    ///
    /// # Panics
    /// When the lab should come up and does not.
    #[must_use]
    pub fn or_skip(test: &str) -> Option<Self> {
        match Self::available() {
            Ok(()) => Some(Self::new().expect("a lab, as there can be one")),
            Err(error) => {
                let story = format!("{:#}", anyhow::Error::new(error));
                assert!(
                    std::env::var_os(REQUIRED).is_none(),
                    "{test} must not be skipped: {story}"
                );
                // Past the capture of a test that passes.
                let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {story}");
                None
            }
        }
    }

    /// An empty lab. What killed processes left behind is swept away first.
    ///
    /// # Errors
    /// When there can be none: see [`Self::available`].
    pub fn new() -> anyhow::Result<Self> {
        Self::with_seed(SEED)
    }

    /// The same with another seed: another fate for every packet.
    ///
    /// # Errors
    /// When there can be none.
    pub fn with_seed(seed: u64) -> anyhow::Result<Self> {
        Self::available()?;
        keeper::sweep().context("cannot sweep old namespaces")?;
        let name = LabName::unique();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("netlab-wires")
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        Ok(Self {
            keeper: Keeper::start(name).context("cannot start a shell")?,
            name,
            hosts: 0,
            wires: 0,
            seed,
            runtime: Some(runtime),
        })
    }

    /// A new host without wires. Its loopback is up.
    ///
    /// # Errors
    /// When the name is taken in this lab, or `ip` refuses.
    pub fn host(&mut self, name: &str) -> anyhow::Result<Host> {
        anyhow::ensure!(self.hosts < MAX, "a lab has at most {MAX} hosts");
        let namespace = self.name.namespace(name);
        let host = Host::new(namespace, name, self.hosts)
            .with_context(|| format!("cannot make the host {name}"))?;
        self.hosts += 1;
        Ok(host)
    }

    /// A new wire between two hosts, perfect at first. Each host gets an
    /// interface with addresses of both families and a default route over it; of
    /// several wires, the first that is up is taken.
    ///
    /// # Errors
    /// When `ip` refuses, or there are no devices to be had.
    pub fn wire(&mut self, first: &Host, second: &Host) -> anyhow::Result<Wire> {
        anyhow::ensure!(self.wires < MAX, "a lab has at most {MAX} wires");
        let number = self.wires;
        let runtime = self.runtime.as_ref().context("the lab is closing")?;
        let wire = Wire::new(
            Plan {
                number,
                device_names: ['x', 'y'].map(|end| self.name.device(number, end)),
                hosts: [first, second],
                seed: self.seed.wrapping_add(u64::from(number)),
            },
            runtime.handle(),
        )
        .with_context(|| format!("no wire from {} to {}", first.name(), second.name()))?;
        self.wires += 1;
        Ok(wire)
    }
}

impl Drop for NetLab {
    fn drop(&mut self) {
        self.keeper.stop();
        if let Some(runtime) = self.runtime.take() {
            // Waiting for it is forbidden where the lab is dropped by a task.
            runtime.shutdown_background();
        }
    }
}
