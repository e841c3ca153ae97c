//! When a token ends: `90d`, `12h`, or a time of RFC 3339.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

/// As it stands on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    After(TimeDelta),
    At(DateTime<Utc>),
}

impl Expiry {
    pub(super) fn from(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::After(time) => now.checked_add_signed(time),
            Self::At(at) => Some(at),
        }
    }
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(at.to_utc()));
        }
        let wrong = || {
            "must be a number with d or h behind it, such as 90d, or a time such as \
             2027-01-31T00:00:00Z"
                .to_owned()
        };
        let (number, unit) = text
            .split_at_checked(text.len().saturating_sub(1))
            .ok_or_else(wrong)?;
        let number: i64 = number.parse().map_err(|_| wrong())?;
        let time = match unit {
            "d" => TimeDelta::try_days(number),
            "h" => TimeDelta::try_hours(number),
            _ => None,
        };
        time.filter(|_| number > 0)
            .map(Self::After)
            .ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_or_so_long_from_now() {
        let now = DateTime::UNIX_EPOCH;
        let end = |text: &str| text.parse::<Expiry>().unwrap().from(now).unwrap();
        assert_eq!(end("2d"), now + TimeDelta::days(2));
        assert_eq!(end("12h"), now + TimeDelta::hours(12));
        assert_eq!(end("1970-01-01T01:00:00+01:00"), now);
        for bad in ["", "d", "5", "-1d", "0h", "5w", "é", "tomorrow"] {
            assert!(bad.parse::<Expiry>().is_err(), "{bad:?}");
        }
    }
}
