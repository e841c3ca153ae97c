//! A wire between two hosts: two TUN devices of ours, and a task a direction
//! that carries packets from one to the other as its profile says.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tun_rs::{AsyncDevice, DeviceBuilder};

use super::host::{Addresses, Host};
use super::ip::{IpError, ip};
use super::link::{Counters, Link};
use super::profile::Profile;

/// Ethernet's, as nearly everywhere.
const MTU: u16 = 1500;

/// Packets that may wait in the kernel for us, should we be held up. What does
/// not fit there is lost without being counted.
const QUEUE: u32 = 8_192;

/// Packets taken in before those that are due go out.
const MAX_BATCH: usize = 64;

/// The metric of a host's first default route; later wires' are higher, so that
/// the first wire that is up is taken.
const FIRST_METRIC: u32 = 100;

/// A direction of a wire, between the hosts as they were named when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the first to the second.
    Forth,
    /// From the second to the first.
    Back,
}

impl Direction {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Forth, Self::Back];
}

/// A wire. It is cut, and its interfaces are gone, when it is dropped.
#[derive(Debug)]
pub struct Wire {
    forth: Arc<Way>,
    back: Arc<Way>,
    first: Interface,
    second: Interface,
    tasks: TaskTracker,
    _stop: DropGuard,
}

/// One direction.
#[derive(Debug)]
struct Way {
    link: Mutex<Link>,
    /// The link has changed from outside.
    changed: Notify,
}

/// What a wire is made of.
pub(super) struct Plan<'a> {
    /// Its number in the lab.
    pub(super) number: u8,
    /// Two names that nobody on this machine has.
    pub(super) device_names: [String; 2],
    pub(super) hosts: [&'a Host; 2],
    /// Where everything random comes from.
    pub(super) seed: u64,
}

impl Wire {
    pub(super) fn new(plan: Plan<'_>, runtime: &Handle) -> anyhow::Result<Self> {
        let Plan {
            number,
            device_names,
            hosts,
            seed,
        } = plan;
        let [first_name, second_name] = &device_names;
        // Devices register with the runtime that is current.
        let (first_device, second_device) = {
            let _current = runtime.enter();
            (device(first_name)?, device(second_name)?)
        };
        let first = Interface::new(hosts[0], first_name, number, 1)?;
        let second = Interface::new(hosts[1], second_name, number, 2)?;

        let forth = Arc::new(Way::new(seed));
        let back = Arc::new(Way::new(!seed));
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (first_device, second_device) = (Arc::new(first_device), Arc::new(second_device));
        for (way, from, to) in [
            (&forth, &first_device, &second_device),
            (&back, &second_device, &first_device),
        ] {
            let carrier = Carrier {
                way: Arc::clone(way),
                from: Arc::clone(from),
                to: Arc::clone(to),
            };
            let stopped = stop.clone();
            tasks.spawn_on(
                async move {
                    let ended = stopped.run_until_cancelled(carrier.run()).await;
                    if let Some(Err(error)) = ended {
                        tracing::warn!("a wire of the lab broke: {error}");
                    }
                },
                runtime,
            );
        }
        tasks.close();
        Ok(Self {
            forth,
            back,
            first,
            second,
            tasks,
            _stop: stop.drop_guard(),
        })
    }

    /// What this direction does to packets from now on. See [`Profile`] for what
    /// becomes of those on their way.
    pub fn set(&self, direction: Direction, profile: Profile) {
        self.way(direction).change(|link| link.set(profile));
    }

    /// The same for both directions.
    pub fn set_both(&self, profile: &Profile) {
        for direction in Direction::BOTH {
            self.set(direction, profile.clone());
        }
    }

    /// An outage begins: what is sent this way from now on is lost, and the
    /// hosts do not notice. What is on its way arrives.
    pub fn cut(&self, direction: Direction) {
        self.way(direction).change(|link| link.set_outage(true));
    }

    /// The outage is over.
    pub fn mend(&self, direction: Direction) {
        self.way(direction).change(|link| link.set_outage(false));
    }

    /// What this direction has carried and dropped so far.
    #[must_use]
    pub fn counters(&self, direction: Direction) -> Counters {
        self.way(direction).link.lock().counters
    }

    /// The first host's end.
    #[must_use]
    pub fn first(&self) -> &Interface {
        &self.first
    }

    /// The second host's end.
    #[must_use]
    pub fn second(&self) -> &Interface {
        &self.second
    }

    /// Whether both directions still carry.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.tasks.len() == Direction::BOTH.len()
    }

    fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::Forth => &self.forth,
            Direction::Back => &self.back,
        }
    }
}

impl Way {
    fn new(seed: u64) -> Self {
        Self {
            link: Mutex::new(Link::new(seed)),
            changed: Notify::new(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Link)) {
        change(&mut self.link.lock());
        self.changed.notify_one();
    }
}

fn device(name: &str) -> anyhow::Result<AsyncDevice> {
    DeviceBuilder::new()
        .name(name)
        .mtu(MTU)
        // It is brought up where it belongs.
        .enable(false)
        .build_async()
        .with_context(|| format!("cannot make the TUN device {name}"))
}

/// What carries one direction's packets.
struct Carrier {
    way: Arc<Way>,
    from: Arc<AsyncDevice>,
    to: Arc<AsyncDevice>,
}

impl Carrier {
    async fn run(self) -> std::io::Result<()> {
        let mut buffer = [0; MTU as usize];
        loop {
            let next_due = self.way.link.lock().next_due();
            tokio::select! {
                length = self.from.recv(&mut buffer) => {
                    self.offer(&buffer[..length?]);
                    self.offer_waiting(&mut buffer)?;
                }
                () = sleep_until(next_due) => {}
                () = self.way.changed.notified() => {}
            }
            self.deliver();
        }
    }

    /// Takes in what came at the same time.
    fn offer_waiting(&self, buffer: &mut [u8]) -> std::io::Result<()> {
        for _ in 1..MAX_BATCH {
            match self.from.try_recv(buffer) {
                Ok(length) => self.offer(&buffer[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn offer(&self, packet: &[u8]) {
        let packet = Bytes::copy_from_slice(packet);
        self.way.link.lock().offer(Instant::now(), packet);
    }

    fn deliver(&self) {
        let mut link = self.way.link.lock();
        while let Some(packet) = link.take_due(Instant::now()) {
            if self.to.try_send(&packet).is_err() {
                link.refused(&packet);
            }
        }
    }
}

/// Never, when nothing is on its way.
async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// A wire's end in a host: `eth0` for the host's first wire, then `eth1`, ….
#[derive(Debug)]
pub struct Interface {
    host: Host,
    name: String,
    addresses: Addresses,
    metric: u32,
}

impl Interface {
    fn new(host: &Host, device: &str, wire: u8, end: u8) -> Result<Self, IpError> {
        let addresses = Addresses {
            v4: Ipv4Addr::new(10, 77, wire, end),
            v6: Ipv6Addr::new(0xfd77, 0, 0, wire.into(), 0, 0, 0, end.into()),
        };
        let number = host.next_interface(addresses);
        let name = format!("eth{number}");
        ip(&["link", "set", device, "netns", host.namespace()])?;
        // Link-local addresses would be candidates that lead nowhere else.
        host.ip(&format!(
            "link set {device} name {name}\n\
             link set {name} addrgenmode none\n\
             link set {name} txqueuelen {QUEUE}\n"
        ))?;
        let interface = Self {
            host: host.clone(),
            name,
            addresses,
            metric: FIRST_METRIC + u32::from(number),
        };
        interface.up()?;
        Ok(interface)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The addresses that it was made with.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Unplugs it: the host sees the interface go down, with its routes.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn down(&self) -> Result<(), IpError> {
        self.host.ip(&format!("link set {} down\n", self.name))
    }

    /// Plugs it in again, with all that it had.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn up(&self) -> Result<(), IpError> {
        let Self { name, metric, .. } = self;
        let Addresses { v4, v6 } = self.addresses;
        self.host.ip(&format!(
            "link set {name} up\n\
             addr replace {v4}/24 dev {name}\n\
             addr replace {v6}/64 dev {name} nodad\n\
             route replace default dev {name} metric {metric}\n\
             route replace ::/0 dev {name} metric {metric}\n"
        ))
    }

    /// Takes its addresses away and leaves it up, as a network does that lets
    /// go of a host. [`Self::up`] gives them back.
    ///
    /// # Errors
    /// When `ip` refuses, for one when they are gone already.
    pub fn remove_addresses(&self) -> Result<(), IpError> {
        let name = &self.name;
        let Addresses { v4, v6 } = self.addresses;
        self.host.ip(&format!(
            "addr del {v4}/24 dev {name}\n\
             addr del {v6}/64 dev {name}\n"
        ))
    }
}
