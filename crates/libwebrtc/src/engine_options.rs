//! Settings of this engine that the original crate does not have. They hold for the whole process,
//! for connections made afterwards.

use std::{
    env,
    ops::RangeInclusive,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;

use crate::RtcError;

/// Names the UDP ports that media may use, e.g. `50000-50999`, for programs that cannot call
/// [`set_udp_ports`]. Read once.
pub const UDP_PORTS_VARIABLE: &str = "LIBWEBRTC_UDP_PORTS";

static OWN_THREADS: AtomicBool = AtomicBool::new(false);
static UDP_PORTS: RwLock<Option<RangeInclusive<u16>>> = RwLock::new(None);

/// Sets the local UDP ports of media, for firewalls that open only some. Every connection takes
/// one of them, for IPv4 and IPv6 and all interfaces together; without any left it has only TCP
/// and relays over TCP. `None` lets the system choose, which is the default.
///
/// # Errors
/// Where the range is empty or contains port 0.
pub fn set_udp_ports(ports: Option<RangeInclusive<u16>>) -> Result<(), RtcError> {
    if ports.as_ref().is_some_and(|ports| !is_usable(ports)) {
        return Err(RtcError::invalid_state("these are no ports"));
    }
    *UDP_PORTS.write() = ports;
    Ok(())
}

/// Whether connections have threads of the engine's own. By default a connection is driven by the
/// multi-threaded tokio runtime that it is made in: nothing then has to cross from thread to thread
/// between the network and the application, which for small packets is a good part of what they
/// cost. A program that blocks its runtime's threads gives packets a pace of their own here.
/// Connections that are made outside of such a runtime always have it.
pub fn set_own_threads(own: bool) {
    OWN_THREADS.store(own, Ordering::Relaxed);
}

pub(crate) fn own_threads() -> bool {
    OWN_THREADS.load(Ordering::Relaxed)
}

/// The ports in force: those set, else those of the environment.
pub(crate) fn udp_ports() -> Option<RangeInclusive<u16>> {
    static FROM_ENVIRONMENT: OnceLock<Option<RangeInclusive<u16>>> = OnceLock::new();
    let set = UDP_PORTS.read().clone();
    set.or_else(|| {
        FROM_ENVIRONMENT
            .get_or_init(|| {
                let text = env::var(UDP_PORTS_VARIABLE).ok()?;
                let ports = parse(&text);
                if ports.is_none() {
                    log::error!(
                        "{UDP_PORTS_VARIABLE}={text:?} is no range of ports and is ignored"
                    );
                }
                ports
            })
            .clone()
    })
}

fn parse(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-')?;
    let ports = first.trim().parse().ok()?..=last.trim().parse().ok()?;
    is_usable(&ports).then_some(ports)
}

fn is_usable(ports: &RangeInclusive<u16>) -> bool {
    !ports.is_empty() && *ports.start() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ports_is_read() {
        assert_eq!(parse("50000-50999"), Some(50_000..=50_999));
        assert_eq!(parse(" 7 - 7 "), Some(7..=7));
        for text in ["", "50000", "0-5", "9-8", "1-70000", "a-b", "-5"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        set_udp_ports(Some(0..=5)).unwrap_err();
        let (first, last) = (9, 8);
        set_udp_ports(Some(first..=last)).unwrap_err();
    }
}
