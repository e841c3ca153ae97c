//! How numbers of the phone network are shown.

use serde::Deserialize;
use trunkline_domain::{AccessScope, PhoneNumber};
use utoipa::ToSchema;

use super::auth::Identity;
use super::problem::{Kind, Problem};

/// So many digits in a row are taken for a phone number.
const NUMBER_DIGITS: usize = 6;
/// So many of them are shown.
const SHOWN_DIGITS: usize = 4;

/// How numbers are to be shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Numbers {
    /// By their last four digits.
    #[default]
    Redacted,
    /// Whole. Needs the scope operator.
    Full,
}

impl Numbers {
    /// The same, for who may see it so.
    pub(crate) fn for_whom(self, identity: &Identity) -> Result<Self, Problem> {
        if self == Self::Full && identity.scope < AccessScope::Operator {
            return Err(Problem::new(
                Kind::Forbidden,
                "whole phone numbers need a token of scope operator; leave out numbers=full",
            ));
        }
        Ok(self)
    }

    /// A number.
    pub(crate) fn show(self, number: &PhoneNumber) -> String {
        match self {
            Self::Redacted => number.to_string(),
            Self::Full => number.expose().to_owned(),
        }
    }

    /// A number as the database has it.
    pub(crate) fn show_text(self, number: &str) -> String {
        PhoneNumber::new(number).map_or_else(String::new, |number| self.show(&number))
    }

    /// A text that can hold a number, such as a room's name.
    pub(crate) fn show_within(self, text: &str) -> String {
        match self {
            Self::Redacted => without_numbers(text),
            Self::Full => text.to_owned(),
        }
    }
}

fn without_numbers(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut digits = String::new();
    let flush = |digits: &mut String, shown: &mut String| {
        if digits.len() >= NUMBER_DIGITS {
            shown.push('…');
            shown.push_str(&digits[digits.len() - SHOWN_DIGITS..]);
        } else {
            shown.push_str(digits);
        }
        digits.clear();
    };
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
        } else {
            flush(&mut digits, &mut shown);
            shown.push(c);
        }
    }
    flush(&mut digits, &mut shown);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_a_rooms_name_is_shown_by_its_end() {
        assert_eq!(without_numbers("call-_+15550001111_x7"), "call-_+…1111_x7");
        assert_eq!(without_numbers("room-12345"), "room-12345");
        assert_eq!(without_numbers("123456"), "…3456");
    }
}
