//! Where a livekit-server listens: on loopback, or in a host of a lab.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Media;
use crate::netlab::{Addresses, Door, Host};
use crate::ports;

/// The addresses and ports of one server. They stay the same over restarts.
pub(super) struct Place {
    signal: u16,
    rtc_tcp: u16,
    rtc_udp: u16,
    /// The relay's, on loopback.
    pub(super) turn_tcp: u16,
    pub(super) turn_udp: u16,
    spot: Spot,
}

enum Spot {
    Loopback,
    Lab {
        addresses: Addresses,
        /// The interface that has them.
        interface: &'static str,
        /// How this process reaches it.
        door: Door,
    },
}

impl Place {
    /// Ports that are free at this moment. A host of a lab has all of its own
    /// free, so those that are free here do there as well.
    pub(super) fn pick(host: Option<&Host>) -> anyhow::Result<Self> {
        let [signal, rtc_tcp, turn_tcp] = ports::free_tcp().context("there is no free port")?;
        let [rtc_udp, turn_udp] = ports::free_udp().context("there is no free port")?;
        let spot = match host {
            None => Spot::Loopback,
            Some(host) => {
                let addresses = host
                    .addresses()
                    .with_context(|| format!("the host {} has no wire yet", host.name()))?;
                Spot::Lab {
                    addresses,
                    interface: host.main_interface(),
                    door: host.door(SocketAddr::from((addresses.v4, signal)))?,
                }
            }
        };
        Ok(Self {
            signal,
            rtc_tcp,
            rtc_udp,
            turn_tcp,
            turn_udp,
            spot,
        })
    }

    /// Where rooms are joined.
    pub(super) fn signal_address(&self) -> SocketAddr {
        SocketAddr::new(self.main_address(), self.signal)
    }

    /// The same as this process reaches it.
    pub(super) fn address_from_here(&self) -> SocketAddr {
        match &self.spot {
            Spot::Loopback => self.signal_address(),
            Spot::Lab { door, .. } => door.address(),
        }
    }

    pub(super) fn bind_addresses(&self) -> Vec<IpAddr> {
        match self.spot {
            Spot::Loopback => vec![Ipv4Addr::LOCALHOST.into()],
            Spot::Lab { addresses, .. } => vec![addresses.v4.into(), addresses.v6.into()],
        }
    }

    /// The section `rtc` of the server's configuration.
    pub(super) fn rtc(&self, media: Media) -> Value {
        let interfaces: &[&str] = match self.spot {
            Spot::Loopback => &["lo", "lo0"],
            Spot::Lab { interface, .. } => &[interface],
        };
        let node_ip = self
            .bind_addresses()
            .iter()
            .map(IpAddr::to_string)
            .collect::<Vec<_>>()
            .join(",");
        json!({
            "tcp_port": self.rtc_tcp,
            "udp_port": self.rtc_udp,
            "node_ip": node_ip,
            "use_external_ip": false,
            "force_tcp": media == Media::Tcp,
            "enable_loopback_candidate": matches!(self.spot, Spot::Loopback),
            "interfaces": { "includes": interfaces },
            // Without any, clients are told to ask public ones, which neither
            // loopback nor a lab reaches.
            "stun_servers": [SocketAddr::new(self.main_address(), self.rtc_udp).to_string()],
        })
    }

    fn main_address(&self) -> IpAddr {
        match self.spot {
            Spot::Loopback => Ipv4Addr::LOCALHOST.into(),
            Spot::Lab { addresses, .. } => addresses.v4.into(),
        }
    }
}
