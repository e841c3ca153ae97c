//! Texts of others that may repeat what they were asked with.

use std::borrow::Cow;

/// What a JSON Web Token begins with: `{"` in base64.
const START: &str = "eyJ";

/// A token is longer, in bytes; a word is not.
const MIN_BYTES: usize = 20;

/// The text without the JSON Web Tokens in it: who reads a token can use it until it expires.
pub fn without_tokens(text: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(START) {
        let (before, from) = rest.split_at(at);
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let (run, behind) = from.split_at(from.find(|c| !is_part(c)).unwrap_or(from.len()));
        kept.push_str(before);
        let is_token = run.len() > MIN_BYTES && run.contains('.');
        kept.push_str(if is_token { "[token]" } else { run });
        rest = behind;
    }
    if kept.is_empty() {
        return Cow::Borrowed(text);
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_left_out_and_words_stay() {
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJrZXkifQ.c2ln-_dHVyZQ";
        for (text, shown) in [
            (
                format!("invalid token: {token}, error: x"),
                "invalid token: [token], error: x",
            ),
            (
                format!("ws://a/rtc?access_token={token}&b=1"),
                "ws://a/rtc?access_token=[token]&b=1",
            ),
            (format!("{token} {token}"), "[token] [token]"),
            (token[..30].to_owned(), "[token]"),
            (
                "eyJust eyJ a word grün".to_owned(),
                "eyJust eyJ a word grün",
            ),
            (String::new(), ""),
        ] {
            assert_eq!(without_tokens(&text), shown);
        }
    }
}
