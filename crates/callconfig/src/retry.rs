//! How long to wait before a backend is asked again. Pure.

use std::time::{Duration, SystemTime};

use rand::Rng;

/// The nominal first pause: enough for a restarted backend's balancer to notice, and
/// nothing to a caller who hears ringing.
const FIRST: Duration = Duration::from_millis(100);
/// The longest nominal pause. A tenant's deadline is 4 s, as a rule.
const LONGEST: Duration = Duration::from_millis(1_600);

/// The nominal pause after `failed` attempts, from 1, without jitter: doubling.
pub(crate) fn nominal(failed: u32) -> Duration {
    // 2^4 × 100 ms is the longest.
    let doubled = FIRST.saturating_mul(1 << failed.saturating_sub(1).min(4));
    doubled.min(LONGEST)
}

/// The pause after `failed` attempts: anything up to the nominal, so that the calls of one
/// moment do not come back in one moment, and never before the backend wants to be asked.
pub(crate) fn pause(failed: u32, not_before: Option<Duration>, rng: &mut impl Rng) -> Duration {
    let jitter = nominal(failed).mul_f64(rng.random_range(0.0..=1.0));
    not_before.unwrap_or_default().saturating_add(jitter)
}

/// What `Retry-After` asks for: seconds, or a date. One that has passed asks for nothing.
pub(crate) fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are longer than any deadline.
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let millis: Vec<u128> = (1..8).map(|n| nominal(n).as_millis()).collect();
        assert_eq!(millis, [100, 200, 400, 800, 1600, 1600, 1600]);
    }

    #[test]
    fn a_backend_says_in_seconds_or_by_a_date_when_it_wants_to_be_asked() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").unwrap();
        let seconds = |n| Some(Duration::from_secs(n));
        for (header, pause) in [
            ("2", seconds(2)),
            (" 0 ", seconds(0)),
            ("99999999999999999999999", seconds(u64::MAX)),
            ("Wed, 21 Oct 2026 07:28:03 GMT", seconds(3)),
            ("Wed, 21 Oct 2026 07:27:00 GMT", seconds(0)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", seconds(0)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
        ] {
            assert_eq!(retry_after(header, now), pause, "{header}");
        }
    }

    proptest! {
        #[test]
        fn a_pause_is_what_is_asked_for_and_at_most_the_nominal_more(
            failed in any::<u32>(), asked in any::<u64>()
        ) {
            let asked = Duration::from_secs(asked);
            let pause = pause(failed, Some(asked), &mut rand::rng());
            prop_assert!(pause >= asked);
            prop_assert!(pause <= asked.saturating_add(nominal(failed)));
        }

        #[test]
        fn no_header_panics(header in ".{0,60}") {
            let _ = retry_after(&header, SystemTime::UNIX_EPOCH);
        }
    }
}
