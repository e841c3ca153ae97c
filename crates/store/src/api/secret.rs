//! A token: `tl_` + a public prefix + `_` + a secret of 256 random bits.
//!
//! The prefix finds the row. Of the secret only its SHA-256 is kept: with so many
//! random bits nothing slower is needed, because there is nothing to guess.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

/// What every token begins with, so that scanners of repositories know one.
const MARK: &str = "tl_";
/// Of the prefix, in hexadecimal digits: 48 bits, enough to be unique.
const PREFIX_CHARS: usize = 12;
/// Of the secret: 256 bits.
const SECRET_BYTES: usize = 32;
/// The same in base64.
const SECRET_CHARS: usize = 43;

/// A text that is no token. It is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no token of trunkline; one looks like tl_<12 digits>_<43 characters>")]
pub struct InvalidToken;

/// A token as somebody presents it. `Debug` shows its public part only.
#[derive(Debug, Clone)]
pub struct PresentedToken {
    prefix: String,
    secret: SecretString,
}

impl PresentedToken {
    /// Takes a token apart.
    ///
    /// # Errors
    /// When it does not have the form of one.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let rest = text.strip_prefix(MARK).ok_or(InvalidToken)?;
        let (prefix, secret) = rest.split_once('_').ok_or(InvalidToken)?;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let is_base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let fits = prefix.len() == PREFIX_CHARS
            && prefix.bytes().all(is_hex)
            && secret.len() == SECRET_CHARS
            && secret.bytes().all(is_base64);
        fits.then(|| Self {
            prefix: prefix.to_owned(),
            secret: secret.into(),
        })
        .ok_or(InvalidToken)
    }

    /// The public part.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether it is the token of which this is the hash. The time that it takes
    /// says nothing of how much is right.
    pub fn matches(&self, secret_sha256: &[u8]) -> bool {
        verify_slices_are_equal(&hash(self.secret.expose_secret()), secret_sha256).is_ok()
    }
}

/// A token that was just made.
pub(super) struct Fresh {
    pub(super) prefix: String,
    pub(super) secret_sha256: Vec<u8>,
    pub(super) token: SecretString,
}

impl Fresh {
    pub(super) fn generate() -> Self {
        let number: u64 = rand::random();
        let prefix = format!("{:012x}", number >> 16);
        let bytes: [u8; SECRET_BYTES] = rand::random();
        let secret = URL_SAFE_NO_PAD.encode(bytes);
        Self {
            secret_sha256: hash(&secret),
            token: format!("{MARK}{prefix}_{secret}").into(),
            prefix,
        }
    }
}

fn hash(secret: &str) -> Vec<u8> {
    digest(&SHA256, secret.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_recognised_and_nothing_else_is() {
        let (one, other) = (Fresh::generate(), Fresh::generate());
        let presented = PresentedToken::parse(one.token.expose_secret()).unwrap();
        assert_eq!(presented.prefix(), one.prefix);
        assert!(presented.matches(&one.secret_sha256));
        assert!(!presented.matches(&other.secret_sha256));
        assert!(!presented.matches(&[]));
    }

    #[test]
    fn what_has_not_the_form_of_a_token_is_none() {
        let token = Fresh::generate().token;
        let token = token.expose_secret();
        for wrong in [
            "",
            "tl_",
            "tl__",
            &token[1..],
            &token[..token.len() - 1],
            &format!("{token}x"),
            &token.replacen("tl_", "tl_ ", 1),
            &format!("tl_ABCDEF012345_{}", "x".repeat(SECRET_CHARS)),
        ] {
            assert_eq!(PresentedToken::parse(wrong).unwrap_err(), InvalidToken);
        }
    }

    #[test]
    fn debug_shows_the_public_part_only() {
        let token = Fresh::generate().token;
        let shown = format!(
            "{:?}",
            PresentedToken::parse(token.expose_secret()).unwrap()
        );
        assert!(!shown.contains(&token.expose_secret()[16..]), "{shown}");
    }
}
