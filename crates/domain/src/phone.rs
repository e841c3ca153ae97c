//! Telephone numbers, which are personal data.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest caller or called "number" that is kept, in bytes. E.164 has 16
/// at most; a SIP user part may be a name.
const MAX_BYTES: usize = 128;

/// A caller's or a called number as the trunk gave it: usually E.164, but a SIP
/// user name or `anonymous` as well. `Debug` and `Display` show the last four
/// characters only; the whole is in [`PhoneNumber::expose`].
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// A number from outside text. Control characters are dropped, and what is
    /// longer than 128 bytes is cut. `None` when nothing is left.
    pub fn new(text: &str) -> Option<Self> {
        let mut kept: String = text.trim().chars().filter(|c| !c.is_control()).collect();
        if kept.len() > MAX_BYTES {
            let end = (0..=MAX_BYTES).rev().find(|&i| kept.is_char_boundary(i))?;
            kept.truncate(end);
        }
        (!kept.is_empty()).then_some(Self(kept))
    }

    /// The whole number, for the backend and the record; not for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chars = self.0.chars().count();
        f.write_str("…")?;
        // With fewer than eight characters, four would be most of the number.
        let shown = if chars >= 8 { 4 } else { 0 };
        self.0
            .chars()
            .skip(chars - shown)
            .try_for_each(|c| fmt::Write::write_char(f, c))
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumber({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_shown_by_its_last_four_digits() {
        let number = PhoneNumber::new("+15557654321").unwrap();
        assert_eq!(number.to_string(), "…4321");
        assert_eq!(format!("{number:?}"), "PhoneNumber(…4321)");
        assert_eq!(number.expose(), "+15557654321");
        assert_eq!(PhoneNumber::new("4321").unwrap().to_string(), "…");
    }

    #[test]
    fn outside_text_is_bounded_and_cleaned() {
        assert_eq!(PhoneNumber::new("  \u{0}\r\n "), None);
        assert_eq!(PhoneNumber::new("+1\n2").unwrap().expose(), "+12");
        assert!(PhoneNumber::new(&"ä".repeat(500)).unwrap().expose().len() <= MAX_BYTES);
    }
}
