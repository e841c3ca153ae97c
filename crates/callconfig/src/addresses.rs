//! Which addresses are asked.
//!
//! Policy: never those of the machine's network alone (link-local), of a cloud's metadata
//! or of nobody in particular: no backend is there, and what answers gives away the keys
//! of the machine. Those of a private network are the operator's to allow. Looked at after
//! a name is resolved, with the very addresses that are connected to, so that a name that
//! comes to lead elsewhere is found out; literal addresses are looked at in the URL.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use trunkline_domain::AddressKind;
use url::{Host, Url};

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

fn check(address: IpAddr, private: PrivateAddresses) -> Result<(), ForbiddenAddress> {
    match (AddressKind::of(address), private) {
        (AddressKind::Forbidden, _) => Err(ForbiddenAddress::Never),
        (AddressKind::Private, PrivateAddresses::Refused) => Err(ForbiddenAddress::Private),
        (AddressKind::Private, PrivateAddresses::Asked) | (AddressKind::Public, _) => Ok(()),
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
    use std::net::Ipv4Addr;

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
