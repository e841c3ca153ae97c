//! The machine's addresses, as far as they are offered to peers.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Most addresses of a family that are offered to the peer, loopback aside. Machines with many
/// container bridges have dozens, and every one is checked against every candidate of the peer.
const MAX_PER_FAMILY: usize = 6;

/// The addresses that were found last, for all connections: asking the system costs some ten
/// system calls, and a burst of joins need not repeat it.
static LAST: Mutex<Option<(Instant, Arc<[IpAddr]>)>> = Mutex::new(None);

/// The addresses of this machine that peers may be told of, those most likely to lead somewhere
/// first and `127.0.0.1` last. What was found less than `max_age` ago is not looked for again.
pub(super) fn local(now: Instant, max_age: Duration) -> io::Result<Arc<[IpAddr]>> {
    let mut last = LAST.lock();
    if let Some((at, addresses)) = &*last
        && now.saturating_duration_since(*at) < max_age
    {
        return Ok(Arc::clone(addresses));
    }
    let all = if_addrs::get_if_addrs()?
        .into_iter()
        .map(|interface| interface.ip());
    let addresses: Arc<[IpAddr]> = choose(all).into();
    *last = Some((now, Arc::clone(&addresses)));
    Ok(addresses)
}

/// Loopback is offered too, last: a server on the same machine may have nothing else.
fn choose(all: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = all.filter(|ip| is_offered(*ip)).collect();
    // Among IPv6 addresses those that are reached from everywhere come first.
    addresses.sort_by_key(|ip| (ip.is_loopback(), is_unique_local(*ip), ip.is_ipv4(), *ip));
    addresses.dedup();
    let (mut v4, mut v6) = (0, 0);
    addresses.retain(|ip| {
        let count = if ip.is_ipv4() { &mut v4 } else { &mut v6 };
        *count += usize::from(!ip.is_loopback());
        ip.is_loopback() || *count <= MAX_PER_FAMILY
    });
    addresses
}

/// Link-local addresses mean nothing without the interface, which candidates do not carry.
fn is_offered(ip: IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
    };
    // Of the loopback networks only the address that everybody uses.
    let is_odd_loopback = ip.is_loopback() && ip != IpAddr::from([127, 0, 0, 1]) && ip.is_ipv4();
    !is_link_local && !is_odd_loopback && !ip.is_unspecified() && !ip.is_multicast()
}

fn is_unique_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unique_local())
}

/// Whether packets between the two can be expected to arrive: loopback reaches loopback only.
pub(super) fn can_reach(local: IpAddr, remote: IpAddr) -> bool {
    local.is_ipv4() == remote.is_ipv4() && local.is_loopback() == remote.is_loopback()
}

/// Whether anything can be sent to an address that a peer or a server names.
pub(in crate::peer) fn is_usable(address: SocketAddr) -> bool {
    let ip = address.ip();
    let is_odd = match ip {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
    };
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_odd
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn loopback_of_this_machine_is_offered() {
        let addresses = local(Instant::now(), Duration::ZERO).unwrap();
        assert_eq!(addresses.last(), Some(&IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn link_local_addresses_are_left_out_and_loopback_comes_last() {
        let all = ips(&[
            "127.0.0.1",
            "::1",
            "fe80::1",
            "169.254.3.4",
            "10.0.0.7",
            "fd00::2",
            "2001:db8::1",
            "10.0.0.7",
        ]);
        let expected = ips(&["2001:db8::1", "10.0.0.7", "fd00::2", "::1", "127.0.0.1"]);
        assert_eq!(choose(all.into_iter()), expected);
    }

    #[test]
    fn many_bridges_do_not_make_many_candidates() {
        let bridges = (0..100).map(|n| IpAddr::from([172, 17, n, 1]));
        let all = bridges.chain(ips(&["127.0.0.1", "2001:db8::1"]));
        let addresses = choose(all);
        assert_eq!(addresses.len(), MAX_PER_FAMILY + 2);
        assert_eq!(addresses.last(), Some(&IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn addresses_that_lead_nowhere_are_not_used() {
        for text in [
            "0.0.0.0:1",
            "10.0.0.1:0",
            "224.0.0.1:5",
            "255.255.255.255:5",
            "[fe80::1]:5",
            "[::]:5",
            "[::ffff:10.0.0.1]:5",
        ] {
            assert!(!is_usable(text.parse().unwrap()), "{text}");
        }
        assert!(is_usable("[2001:db8::1]:5".parse().unwrap()));
        assert!(is_usable("127.0.0.1:5".parse().unwrap()));
    }
}
