//! Texts from outside that are too long to be shown.

use std::borrow::Cow;

/// The text, or as much of it as `max_chars` characters hold with an ellipsis.
pub fn shorten(text: &str, max_chars: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max_chars) {
        None => Cow::Borrowed(text),
        Some(_) => {
            let kept = text.chars().take(max_chars.saturating_sub(1));
            Cow::Owned(kept.chain(['…']).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_says_so() {
        assert_eq!(shorten("grün", 4), "grün");
        assert_eq!(shorten("grüne", 4), "grü…");
        assert_eq!(shorten("", 0), "");
        let long = "x".repeat(100_000);
        assert_eq!(shorten(&long, 64).chars().count(), 64);
    }
}
