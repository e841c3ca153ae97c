//! STUN and TURN servers as configurations name them. Source: RFC 7064 and RFC 7065.

use std::net::{IpAddr, Ipv6Addr};

/// Longest URL that is read. Host names have at most 253 characters.
const MAX_URL: usize = 512;

/// Longest user name and password. Source of the first: RFC 8489, section 14.3; the second goes
/// into a hash and has no limit of its own.
const MAX_CREDENTIAL: usize = 512;

const STUN_PORT: u16 = 3_478;
const TLS_PORT: u16 = 5_349;

/// A server to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) service: Service,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Address(IpAddr),
    Name(String),
}

/// What a server does, and how it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// Tells by which address it sees us.
    Stun,
    /// Relays, spoken to over UDP.
    TurnUdp,
    /// Relays, spoken to over TCP.
    TurnTcp,
    /// Relays, spoken to over TLS.
    TurnTls,
}

/// Who we are to a TURN server.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) username: String,
    pub(super) password: String,
}

impl Login {
    /// Whether a server can be asked with it at all.
    pub(super) fn is_usable(&self) -> bool {
        let fits = |text: &str| (1..=MAX_CREDENTIAL).contains(&text.len());
        fits(&self.username) && fits(&self.password)
    }
}

/// Reads a `stun:`, `turn:` or `turns:` URL.
pub(super) fn parse(url: &str) -> Result<Server, &'static str> {
    if url.len() > MAX_URL {
        return Err("is too long");
    }
    let (scheme, rest) = url.split_once(':').ok_or("has no scheme")?;
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let transport = match query.map(|query| query.split_once('=')) {
        None => None,
        Some(Some((key, value))) if key.eq_ignore_ascii_case("transport") => Some(value),
        Some(_) => return Err("has an unknown query"),
    };
    let is = |text: &str, other: &str| text.eq_ignore_ascii_case(other);
    let (service, default_port) = match (scheme, transport) {
        (scheme, None) if is(scheme, "stun") => (Service::Stun, STUN_PORT),
        (scheme, Some(_)) if is(scheme, "stun") => return Err("has a transport, which STUN lacks"),
        (scheme, None) if is(scheme, "turn") => (Service::TurnUdp, STUN_PORT),
        (scheme, Some(udp)) if is(scheme, "turn") && is(udp, "udp") => {
            (Service::TurnUdp, STUN_PORT)
        }
        (scheme, Some(tcp)) if is(scheme, "turn") && is(tcp, "tcp") => {
            (Service::TurnTcp, STUN_PORT)
        }
        (scheme, None) if is(scheme, "turns") => (Service::TurnTls, TLS_PORT),
        (scheme, Some(tcp)) if is(scheme, "turns") && is(tcp, "tcp") => {
            (Service::TurnTls, TLS_PORT)
        }
        (scheme, _) if is(scheme, "turn") || is(scheme, "turns") => {
            return Err("has a transport that is not supported");
        }
        _ => return Err("has a scheme that is not supported"),
    };
    let (host, port) = place_of(place)?;
    Ok(Server {
        host,
        port: port.unwrap_or(default_port),
        service,
    })
}

fn place_of(place: &str) -> Result<(Host, Option<u16>), &'static str> {
    if let Some(bracketed) = place.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']').ok_or("has an open bracket")?;
        let address: Ipv6Addr = address
            .parse()
            .map_err(|_| "has no IPv6 address in brackets")?;
        let port = match port.strip_prefix(':') {
            Some(port) => Some(port_of(port)?),
            None if port.is_empty() => None,
            None => return Err("has something after its address"),
        };
        return Ok((Host::Address(address.into()), port));
    }
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (host, Some(port_of(port)?)),
        None => (place, None),
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok((Host::Address(address), port));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_name) {
        return Err("has no host");
    }
    Ok((Host::Name(host.to_owned()), port))
}

fn port_of(text: &str) -> Result<u16, &'static str> {
    match text.parse() {
        Ok(0) | Err(_) => Err("has no port after its colon"),
        Ok(port) => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(name: &str) -> Host {
        Host::Name(name.to_owned())
    }

    #[test]
    fn urls_are_read() {
        let v6 = Host::Address("2001:db8::5".parse().unwrap());
        let v4 = Host::Address("192.0.2.7".parse().unwrap());
        for (url, host, port, service) in [
            (
                "stun:stun.example.org",
                name("stun.example.org"),
                3_478,
                Service::Stun,
            ),
            ("STUN:192.0.2.7:19302", v4.clone(), 19_302, Service::Stun),
            ("turn:192.0.2.7", v4.clone(), 3_478, Service::TurnUdp),
            (
                "turn:[2001:db8::5]:99?transport=udp",
                v6.clone(),
                99,
                Service::TurnUdp,
            ),
            (
                "turn:t-1.example.org:80?transport=tcp",
                name("t-1.example.org"),
                80,
                Service::TurnTcp,
            ),
            (
                "turns:t.example.org:443?transport=tcp",
                name("t.example.org"),
                443,
                Service::TurnTls,
            ),
            ("turns:[2001:db8::5]", v6.clone(), 5_349, Service::TurnTls),
        ] {
            assert_eq!(
                parse(url),
                Ok(Server {
                    host,
                    port,
                    service
                }),
                "{url}"
            );
        }
    }

    #[test]
    fn what_is_not_a_server_says_why() {
        for (url, why) in [
            ("", "has no scheme"),
            ("http://example.org", "has a scheme that is not supported"),
            ("stun:", "has no host"),
            ("stun:a b", "has no host"),
            ("stun:example.org:0", "has no port after its colon"),
            ("stun:example.org:x", "has no port after its colon"),
            (
                "stun:example.org?transport=udp",
                "has a transport, which STUN lacks",
            ),
            (
                "turn:example.org?transport=sctp",
                "has a transport that is not supported",
            ),
            (
                "turns:example.org?transport=udp",
                "has a transport that is not supported",
            ),
            ("turn:example.org?ttl=5", "has an unknown query"),
            ("turn:[::1", "has an open bracket"),
            ("turn:[x]", "has no IPv6 address in brackets"),
            ("turn:[::1]x", "has something after its address"),
        ] {
            assert_eq!(parse(url), Err(why), "{url}");
        }
        assert_eq!(
            parse(&format!("stun:{}", "a".repeat(600))),
            Err("is too long")
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(url in "(stun|turn|turns)?:?\\PC{0,60}") {
            let _ = parse(&url);
        }

        #[test]
        fn a_name_and_a_port_come_back(host in "[a-z][a-z0-9.-]{0,30}", port in 1_u16..) {
            let read = parse(&format!("turn:{host}:{port}?transport=tcp")).unwrap();
            prop_assert_eq!(read, Server { host: Host::Name(host), port, service: Service::TurnTcp });
        }
    }
}
