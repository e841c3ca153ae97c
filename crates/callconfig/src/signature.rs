//! Signed lookups: a backend can tell that a request is ours, is whole, and is of
//! now. Pure.
//!
//! ```text
//! Trunkline-Timestamp: 1790000000
//! Trunkline-Signature: v1=<HMAC-SHA256 over "1790000000.<body>", in hexadecimal>
//! ```

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use reqwest::header::HeaderName;
use secrecy::{ExposeSecret as _, SecretString};

/// When the request was signed, in seconds since 1970.
pub(crate) const TIMESTAMP: HeaderName = HeaderName::from_static("trunkline-timestamp");
/// The signature, with the version of its form before it.
pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("trunkline-signature");

/// The value of `Trunkline-Signature`.
pub(crate) fn signature(secret: &SecretString, timestamp: i64, body: &[u8]) -> String {
    let key = Key::new(HMAC_SHA256, secret.expose_secret().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(timestamp.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    let tag = context.sign();
    let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
    format!("v1={}", digits.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '1790000000.{"version":1}' | openssl dgst -sha256 -hmac a-signing-secret`
    #[test]
    fn a_signature_is_the_one_that_openssl_makes() {
        assert_eq!(
            signature(
                &"a-signing-secret".into(),
                1_790_000_000,
                br#"{"version":1}"#
            ),
            "v1=9f93be5482d38720286df107c72fd430a9389c6d2303c74f0fda9a055dddb071"
        );
    }

    #[test]
    fn another_time_body_or_secret_is_another_signature() {
        let sign = |secret: &str, timestamp, body: &[u8]| {
            signature(&secret.to_owned().into(), timestamp, body)
        };
        let one = sign("a", 1, b"body");
        for other in [
            sign("b", 1, b"body"),
            sign("a", 2, b"body"),
            sign("a", 1, b"Body"),
        ] {
            assert_ne!(one, other);
        }
    }
}
