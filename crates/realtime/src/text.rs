//! Vendors' texts, made safe to log and to keep: bounded, on one line, and
//! without keys. A vendor that refuses a key likes to repeat it.

use secrecy::{ExposeSecret, SecretString};

use crate::{Trouble, VendorError};

/// The longest message of a vendor that is kept, in characters.
const MAX_MESSAGE_CHARS: usize = 300;
/// The longest code or field name that is kept, in characters.
const MAX_CODE_CHARS: usize = 80;
/// A key that is shorter is not searched for: every short word would be "a key".
const MIN_KEY_BYTES: usize = 8;

/// Makes vendors' texts safe.
#[derive(Debug, Clone)]
pub(crate) struct Cleaner {
    key: SecretString,
}

impl Cleaner {
    pub(crate) fn new(key: SecretString) -> Self {
        Self { key }
    }

    /// A vendor's words.
    pub(crate) fn message(&self, text: &str) -> String {
        self.clean(text, MAX_MESSAGE_CHARS)
    }

    /// A vendor's code or name of a field.
    pub(crate) fn code(&self, text: &str) -> String {
        self.clean(text, MAX_CODE_CHARS)
    }

    /// Something that is not of the wire. `problem` is our own text.
    pub(crate) fn garbage(&self, problem: &str) -> VendorError {
        VendorError {
            trouble: Trouble::Garbage,
            code: String::new(),
            param: String::new(),
            message: self.message(problem),
        }
    }

    fn clean(&self, text: &str, max: usize) -> String {
        let key = self.key.expose_secret();
        let without_key;
        let text = if key.len() >= MIN_KEY_BYTES && text.contains(key) {
            without_key = text.replace(key, "[key]");
            &without_key
        } else {
            text
        };
        let mut line = String::new();
        for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
            if word.is_empty() {
                continue;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            // OpenAI's keys, masked or not.
            match word.find("sk-") {
                Some(at) => {
                    line.push_str(&word[..at]);
                    line.push_str("[key]");
                }
                None => line.push_str(word),
            }
            // Four bytes at most for a character: enough is enough.
            if line.len() > 4 * max {
                break;
            }
        }
        match line.char_indices().nth(max) {
            Some((end, _)) => {
                line.truncate(end);
                line.push('…');
                line
            }
            None => line,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaner() -> Cleaner {
        Cleaner::new("key-of-acme-123".into())
    }

    #[test]
    fn a_key_is_never_repeated() {
        let text = cleaner().message("Incorrect API key: sk-abc***xyz. (key-of-acme-123)");
        assert_eq!(text, "Incorrect API key: [key] ([key])");
        assert!(!format!("{:?}", cleaner()).contains("acme"));
    }

    #[test]
    fn a_text_is_one_bounded_line() {
        assert_eq!(cleaner().message(" a\r\n\u{7}b\t c "), "a b c");
        let long = cleaner().message(&"ä".repeat(10_000));
        assert_eq!(long.chars().count(), MAX_MESSAGE_CHARS + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn an_empty_key_hides_nothing() {
        assert_eq!(Cleaner::new("".into()).message("all of it"), "all of it");
    }
}
