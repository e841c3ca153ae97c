//! Which addresses are of the inside: of this machine, its network or its cloud.
//!
//! Who may write a URL and not the rows of others must not make the process call what
//! only the process can reach: the metadata service of a cloud, a database, a neighbour.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// What names of the inside end with: of one machine, of home and office networks, and
/// of clusters.
const INNER_SUFFIXES: [&str; 8] = [
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "lan",
    "home.arpa",
    "svc",
];

/// Where a URL may lead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// Anywhere: who wrote it may reach the inside.
    #[default]
    Anywhere,
    /// To the outside only: a token of the tenant alone wrote it.
    Outside,
}

/// Whether a URL leads inside as far as it says so itself: by a literal address, or a
/// name that only the inside knows. Where another name leads is known by its addresses.
pub fn leads_inside(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => AddressKind::of(address.into()) != AddressKind::Public,
        Some(Host::Ipv6(address)) => AddressKind::of(address.into()) != AddressKind::Public,
        Some(Host::Domain(name)) => is_inner_name(name),
        None => true,
    }
}

fn is_inner_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    // A name without a dot is completed with the search list of this machine.
    !name.contains('.')
        || INNER_SUFFIXES.iter().any(|suffix| {
            let rest = name.strip_suffix(suffix);
            rest.is_some_and(|rest| rest.ends_with('.'))
        })
}

/// What an address is, for who wants to connect to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// A host of the outside.
    Public,
    /// Loopback, private, unique-local or shared: a host of the inside.
    Private,
    /// Link-local, a metadata service, multicast, or nobody's: no backend is there, and what
    /// answers gives away the keys of the machine.
    Forbidden,
}

/// Metadata and host services of clouds that do not stand within link-local ranges.
const METADATA_V4: [Ipv4Addr; 3] = [
    // Alibaba Cloud.
    Ipv4Addr::new(100, 100, 100, 200),
    // Azure's host agent.
    Ipv4Addr::new(168, 63, 129, 16),
    // Oracle Cloud, of old.
    Ipv4Addr::new(192, 0, 0, 192),
];
const METADATA_V6: [Ipv6Addr; 2] = [
    // AWS.
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    // Google Cloud.
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

impl AddressKind {
    /// One of IPv6 that stands for one of IPv4 is what that is.
    pub fn of(address: IpAddr) -> Self {
        let (is_forbidden, is_private) = match address {
            IpAddr::V4(v4) => (is_forbidden_v4(v4), is_private_v4(v4)),
            IpAddr::V6(v6) => match v4_of(v6) {
                Some(v4) => return Self::of(v4.into()),
                None => (is_forbidden_v6(v6), is_private_v6(v6)),
            },
        };
        if is_forbidden {
            Self::Forbidden
        } else if is_private {
            Self::Private
        } else {
            Self::Public
        }
    }
}

fn is_forbidden_v4(v4: Ipv4Addr) -> bool {
    v4.is_link_local()
        || v4.is_multicast()
        // Broadcast, and what was reserved for a future that does not come (RFC 1112).
        || v4.octets()[0] >= 240
        || METADATA_V4.contains(&v4)
}

fn is_private_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    v4.is_loopback()
        || v4.is_private()
        // "This network", which Linux takes for the machine itself.
        || a == 0
        // RFC 6598: carriers' and clouds' own, and overlay networks.
        || (a == 100 && (64..128).contains(&b))
        // RFC 6890: protocol assignments.
        || (a == 192 && b == 0 && c == 0)
        // RFC 2544: benchmarks within a laboratory.
        || (a == 198 && (18..20).contains(&b))
}

fn is_forbidden_v6(v6: Ipv6Addr) -> bool {
    v6.is_unicast_link_local() || v6.is_multicast() || METADATA_V6.contains(&v6)
}

fn is_private_v6(v6: Ipv6Addr) -> bool {
    v6.is_loopback()
        || v6.is_unspecified()
        || v6.is_unique_local()
        // RFC 3879: site-local, which some networks still have.
        || (v6.segments()[0] & 0xffc0) == 0xfec0
}

/// The address of IPv4 that one of IPv6 stands for: mapped or compatible, NAT64
/// (RFC 6052, RFC 8215), 6to4 (RFC 3056).
fn v4_of(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match v6.segments() {
        // `::` and `::1` are IPv6's own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0 | 1, .., high, low] => {
            Some(join(high, low))
        }
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_inside_is_known_in_every_spelling() {
        for inside in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://0/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:10.0.0.1]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:7f00:1::]/",
            "http://[fd00::1]/",
            "http://[fe80::1]/",
            "http://169.254.169.254/latest/meta-data",
            "http://100.100.100.200/",
            "http://10.1.2.3/",
            "http://172.31.0.1/",
            "ws://192.168.1.1:7880",
            "wss://LOCALHOST",
            "wss://localhost.",
            "wss://a.localhost",
            "https://postgres/",
            "https://backend.default.svc/",
            "https://backend.default.svc.cluster.local/",
            "http://metadata.google.internal/",
        ] {
            assert!(leads_inside(&inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "wss://acme.livekit.cloud",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]/",
            "https://notlocalhost.example/",
            "https://172.32.0.1/",
            "https://local.example/",
        ] {
            assert!(!leads_inside(&outside.parse().unwrap()), "{outside}");
        }
    }
}
