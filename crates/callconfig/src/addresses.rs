//! Which addresses are asked.
//!
//! Policy: never those of the machine's network alone (link-local), of a cloud's metadata
//! or of nobody in particular: no backend is there, and what answers gives away the keys
//! of the machine. Those of a private network are the operator's to allow. Looked at after
//! a name is resolved, with the very addresses that are connected to, so that a name that
//! comes to lead elsewhere is found out; literal addresses are looked at in the URL.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

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

/// Whether private addresses are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PrivateAddresses {
    Asked,
    Refused,
}

/// Why an address is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenAddress {
    /// Link-local, a metadata service, multicast, or nobody's.
    #[error("a link-local address, a metadata service or no host at all, which is never asked")]
    Never,
    /// Loopback, private, unique-local or shared.
    #[error("a private address; set call_config.allow_private_addresses to ask it")]
    Private,
}

/// What an address is, for who wants to connect to it.
fn check(address: IpAddr, private: PrivateAddresses) -> Result<(), ForbiddenAddress> {
    let v4 = match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(v6) => v4_of(v6),
    };
    let (is_never, is_private) = match (v4, address) {
        (Some(v4), _) => (is_never_v4(v4), is_private_v4(v4)),
        (None, IpAddr::V6(v6)) => (is_never_v6(v6), is_private_v6(v6)),
        (None, IpAddr::V4(_)) => (false, false),
    };
    if is_never {
        Err(ForbiddenAddress::Never)
    } else if is_private && private == PrivateAddresses::Refused {
        Err(ForbiddenAddress::Private)
    } else {
        Ok(())
    }
}

fn is_never_v4(v4: Ipv4Addr) -> bool {
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

fn is_never_v6(v6: Ipv6Addr) -> bool {
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

/// Looks at a literal address; names are looked at as they are resolved.
pub(crate) fn check_literal(url: &Url, private: PrivateAddresses) -> Result<(), ForbiddenAddress> {
    match url.host() {
        Some(Host::Ipv4(address)) => check(address.into(), private),
        Some(Host::Ipv6(address)) => check(address.into(), private),
        Some(Host::Domain(_)) | None => Ok(()),
    }
}

/// Resolves as the system does, and leaves out what is not asked.
pub(crate) struct Resolver(pub(crate) PrivateAddresses);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.0;
        Box::pin(async move {
            // The port is set by who connects.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed = allowed(found.collect(), private)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn allowed(
    found: Vec<SocketAddr>,
    private: PrivateAddresses,
) -> Result<Vec<SocketAddr>, ForbiddenAddress> {
    let mut forbidden = None;
    let mut allowed = Vec::with_capacity(found.len());
    for address in found {
        match check(address.ip(), private) {
            Ok(()) => allowed.push(address),
            Err(why) => forbidden = Some(why),
        }
    }
    match forbidden {
        Some(why) if allowed.is_empty() => Err(why),
        _ => Ok(allowed),
    }
}

/// Whether a request failed because of that.
pub(crate) fn forbidden(error: &reqwest::Error) -> Option<ForbiddenAddress> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(why) = error.downcast_ref() {
            return Some(*why);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn literal(url: &str, private: PrivateAddresses) -> Result<(), ForbiddenAddress> {
        check_literal(&url.parse().unwrap(), private)
    }

    #[test]
    fn metadata_and_link_local_are_never_asked_in_whatever_spelling() {
        for url in [
            "http://169.254.169.254/latest/meta-data/",
            "http://2852039166/",
            "http://0xa9.0xfe.0xa9.0xfe/",
            "http://169.254.170.2/v2/credentials",
            "http://[::ffff:169.254.169.254]/",
            "http://[::a9fe:a9fe]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::]/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://[fd20:ce::254]/",
            "http://100.100.100.200/",
            "http://168.63.129.16/",
            "http://192.0.0.192/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
            "http://[ff02::1]/",
        ] {
            let never = Err(ForbiddenAddress::Never);
            assert_eq!(literal(url, PrivateAddresses::Asked), never, "{url}");
            assert_eq!(literal(url, PrivateAddresses::Refused), never, "{url}");
        }
    }

    #[test]
    fn private_addresses_are_asked_where_the_operator_allows_it() {
        for url in [
            "http://127.0.0.1:8080/",
            "http://127.1/",
            "http://2130706433/",
            "http://0/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:10.0.0.1]/",
            "http://10.1.2.3/",
            "http://172.16.0.1/",
            "http://172.31.255.255/",
            "http://192.168.1.1/",
            "http://100.64.0.1/",
            "http://198.18.0.1/",
            "http://[fd12:3456::1]/",
            "http://[fec0::1]/",
        ] {
            assert_eq!(literal(url, PrivateAddresses::Asked), Ok(()), "{url}");
            let refused = literal(url, PrivateAddresses::Refused);
            assert_eq!(refused, Err(ForbiddenAddress::Private), "{url}");
        }
    }

    #[test]
    fn the_public_internet_and_names_are_not_refused_before_they_are_resolved() {
        for url in [
            "https://8.8.8.8/",
            "https://172.32.0.1/",
            "https://[2606:4700::1111]/",
            "https://[64:ff9b::808:808]/",
            "https://backend.example/",
            "https://localhost/",
        ] {
            assert_eq!(literal(url, PrivateAddresses::Refused), Ok(()), "{url}");
        }
    }

    #[test]
    fn of_several_addresses_of_a_name_those_that_may_be_asked_are_left() {
        let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let private = PrivateAddresses::Refused;
        let mixed = vec![at("10.0.0.1"), at("192.0.2.1"), at("169.254.169.254")];
        assert_eq!(allowed(mixed.clone(), private), Ok(vec![at("192.0.2.1")]));
        let asked = allowed(mixed, PrivateAddresses::Asked).unwrap();
        assert_eq!(asked, [at("10.0.0.1"), at("192.0.2.1")]);
        let inner = allowed(vec![at("::1")], private);
        assert_eq!(inner, Err(ForbiddenAddress::Private));
        assert_eq!(allowed(Vec::new(), private), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn no_address_is_asked_with_private_ones_refused_that_is_not_asked_otherwise(
            bytes in any::<[u8; 16]>()
        ) {
            for address in [IpAddr::from(bytes), IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]])] {
                if check(address, PrivateAddresses::Refused).is_ok() {
                    prop_assert!(check(address, PrivateAddresses::Asked).is_ok());
                }
            }
        }

        #[test]
        fn an_address_of_ipv4_is_the_same_within_ipv6(bytes in any::<[u8; 4]>()) {
            let v4 = Ipv4Addr::from(bytes);
            for private in [PrivateAddresses::Asked, PrivateAddresses::Refused] {
                let mapped = check(v4.to_ipv6_mapped().into(), private);
                prop_assert_eq!(mapped, check(v4.into(), private));
            }
        }
    }
}
