//! ICE candidate lines: enough to know whether one is well formed and can be used.

use std::net::{IpAddr, SocketAddr};

/// What a candidate line says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CandidateLine {
    pub(crate) transport: Protocol,
    /// Whether the peer waits to be dialled, where the transport is TCP.
    pub(crate) is_passive: bool,
    /// None for a host name (mDNS), which cannot be used.
    pub(crate) address: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Udp,
    Tcp,
    Other,
}

/// Why a line is not a candidate, or nothing.
pub(crate) fn check(line: &str) -> Result<(), &'static str> {
    parse(line).map(drop)
}

/// Reads `[a=]candidate:<foundation> <component> <transport> <priority> <address> <port> typ <type> …`, where `tcptype <role>`
/// may follow (RFC 6544, section 4.5).
pub(crate) fn parse(line: &str) -> Result<CandidateLine, &'static str> {
    let line = line.trim();
    let line = line.strip_prefix("a=").unwrap_or(line);
    let line = line
        .strip_prefix("candidate:")
        .ok_or("does not begin with candidate:")?;
    let mut words = line.split_ascii_whitespace();
    words.next().ok_or("has no foundation")?;
    number::<u16>(words.next(), "has no component")?;
    let transport = match words.next().ok_or("has no transport")? {
        udp if udp.eq_ignore_ascii_case("udp") => Protocol::Udp,
        tcp if tcp.eq_ignore_ascii_case("tcp") => Protocol::Tcp,
        _ => Protocol::Other,
    };
    number::<u32>(words.next(), "has no priority")?;
    let host = words.next().ok_or("has no address")?;
    let port = number::<u16>(words.next(), "has no port")?;
    if words.next() != Some("typ") {
        return Err("has no typ");
    }
    words.next().ok_or("has no type")?;
    let is_passive = words
        .skip_while(|word| !word.eq_ignore_ascii_case("tcptype"))
        .nth(1)
        .is_some_and(|role| role.eq_ignore_ascii_case("passive"));
    let address = host
        .parse::<IpAddr>()
        .ok()
        .map(|ip| SocketAddr::new(ip, port));
    Ok(CandidateLine {
        transport,
        is_passive,
        address,
    })
}

fn number<T: std::str::FromStr>(
    word: Option<&str>,
    missing: &'static str,
) -> Result<T, &'static str> {
    word.and_then(|word| word.parse().ok()).ok_or(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_udp_host_candidate_is_read() {
        let line = "candidate:1 1 UDP 2130706431 10.0.0.7 50000 typ host generation 0";
        let expected = CandidateLine {
            transport: Protocol::Udp,
            is_passive: false,
            address: Some("10.0.0.7:50000".parse().unwrap()),
        };
        assert_eq!(parse(line), Ok(expected.clone()));
        assert_eq!(parse(&format!("a={line}")), Ok(expected));
    }

    #[test]
    fn a_host_name_has_no_address_and_is_no_error() {
        let line = "candidate:1 1 tcp 5 4fd8.local 9 typ host tcptype active";
        let read = parse(line).unwrap();
        assert_eq!((read.transport, read.address), (Protocol::Tcp, None));
    }

    #[test]
    fn a_passive_tcp_candidate_wants_to_be_dialled() {
        for (line, is_passive) in [
            (
                "candidate:1 1 tcp 5 10.0.0.7 7881 typ host tcptype passive",
                true,
            ),
            (
                "candidate:1 1 TCP 5 ::1 7881 typ host generation 0 tcptype passive ufrag x",
                true,
            ),
            (
                "candidate:1 1 tcp 5 10.0.0.7 9 typ host tcptype active",
                false,
            ),
            ("candidate:1 1 tcp 5 10.0.0.7 9 typ host tcptype", false),
            ("candidate:1 1 tcp 5 10.0.0.7 9 typ host", false),
        ] {
            let read = parse(line).unwrap();
            assert_eq!(
                (read.transport, read.is_passive),
                (Protocol::Tcp, is_passive),
                "{line}"
            );
        }
    }

    #[test]
    fn what_is_not_a_candidate_says_why() {
        for (line, why) in [
            ("", "does not begin with candidate:"),
            ("candidate:", "has no foundation"),
            ("candidate:1 x udp 1 1.1.1.1 1 typ host", "has no component"),
            ("candidate:1 1 udp 1 1.1.1.1 70000 typ host", "has no port"),
            ("candidate:1 1 udp 1 1.1.1.1 1", "has no typ"),
            ("candidate:1 1 udp 1 1.1.1.1 1 typ", "has no type"),
        ] {
            assert_eq!(parse(line), Err(why), "{line}");
        }
    }
}
