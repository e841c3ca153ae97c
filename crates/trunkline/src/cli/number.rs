//! Phone numbers on the command line.

use trunkline_domain::PhoneNumber;

/// A number as E.164 writes it.
pub(super) fn number(text: &str) -> Result<PhoneNumber, String> {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let right = (2..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    PhoneNumber::new(text)
        .filter(|_| right)
        .ok_or_else(|| "a number is + and 2 to 15 digits, for instance +4930123456".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        assert_eq!(number("+4930123456").unwrap().expose(), "+4930123456");
        for wrong in ["4930", "+", "+1x", "+1234567890123456"] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
    }
}
