//! Looks for secrets in texts, in every form that a text may have them in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// What a token of LiveKit begins with: `{"alg":` in base64. None may be anywhere.
const JWT: &str = "eyJhbGciOi";

/// The secrets of a run, and everything that it said.
#[derive(Default)]
pub(crate) struct Leaks {
    secrets: Vec<(String, String)>,
    places: Vec<(String, String)>,
}

impl Leaks {
    /// What must be nowhere.
    pub(crate) fn secret(&mut self, name: &str, secret: &str) {
        assert!(
            secret.len() >= 12,
            "{name} is so short that it is found anywhere"
        );
        self.secrets.push((name.to_owned(), secret.to_owned()));
    }

    /// What was said somewhere.
    pub(crate) fn place(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.places.push((name.into(), text.into()));
    }

    /// The text of a place.
    pub(crate) fn said(&self, name: &str) -> &str {
        let place = self.places.iter().find(|(place, _)| place == name);
        place.map_or("", |(_, text)| text)
    }

    /// What is where it must not be. The secrets themselves are not in it.
    pub(crate) fn found(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (name, secret) in &self.secrets {
            for (form, text) in forms(secret) {
                for (place, said) in &self.places {
                    if let Some(at) = said.find(&text) {
                        let from = said.floor_char_boundary(at.saturating_sub(300));
                        found.push(format!(
                            "{name} ({form}) in {place}, behind: {}",
                            &said[from..at]
                        ));
                    }
                }
            }
        }
        for (place, said) in &self.places {
            if let Some(at) = said.find(JWT) {
                let from = said.floor_char_boundary(at.saturating_sub(300));
                found.push(format!(
                    "a token of LiveKit in {place}, behind: {}",
                    &said[from..at]
                ));
            }
        }
        found
    }
}

/// A secret as it can be written: as it is, in JSON, in a URL, in hexadecimal, and in base64
/// wherever in the encoded bytes it begins.
fn forms(secret: &str) -> Vec<(&'static str, String)> {
    let bytes = secret.as_bytes();
    let json = serde_json::json!(secret).to_string();
    let mut forms = vec![
        ("as it is", secret.to_owned()),
        ("in JSON", json.trim_matches('"').to_owned()),
        ("in a URL", in_url(bytes)),
        (
            "in hexadecimal",
            bytes.iter().map(|b| format!("{b:02x}")).collect(),
        ),
    ];
    for before in 0..3 {
        let padded = [&b"\0\0\0"[..before], bytes].concat();
        let whole = STANDARD_NO_PAD.encode(&padded);
        // The digits at either end hold bits of the neighbours too.
        let from = (before * 8).div_ceil(6);
        let to = padded.len() * 8 / 6;
        let inner = whole[from..to].to_owned();
        forms.push((
            "in base64 for URLs",
            inner.replace('+', "-").replace('/', "_"),
        ));
        forms.push(("in base64", inner));
    }
    forms
}

fn in_url(bytes: &[u8]) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    bytes
        .iter()
        .map(|&b| match plain(b) {
            true => char::from(b).to_string(),
            false => format!("%{b:02X}"),
        })
        .collect()
}

#[test]
fn a_secret_is_found_in_every_form() {
    let secret = "b/e+a=r&er?of~harbour";
    let basic = STANDARD_NO_PAD.encode(format!("user:{secret}, and more"));
    for said in [
        format!("authorization: Bearer {secret}"),
        format!("https://x.example/?key={}&x=1", in_url(secret.as_bytes())),
        format!("authorization: Basic {basic}"),
        basic.replace('+', "-").replace('/', "_"),
        STANDARD_NO_PAD.encode(format!("us:{secret}")),
        STANDARD_NO_PAD.encode(format!("u:{secret}")),
        format!(
            "\\x{}",
            secret
                .bytes()
                .map(|b| format!("{b:02x}"))
                .collect::<String>()
        ),
        format!("wss://x.example/rtc?access_token={JWT}JIUzI1NiJ9.e30.x"),
    ] {
        let mut leaks = Leaks::default();
        leaks.secret("the bearer", secret);
        leaks.place("here", said.clone());
        assert!(!leaks.found().is_empty(), "{said}");
        assert!(leaks.found().iter().all(|text| !text.contains(secret)));
    }
    let mut leaks = Leaks::default();
    leaks.secret("the bearer", secret);
    leaks.place("here", "b/e+a=r&er?of~lantern");
    assert_eq!(leaks.found(), Vec::<String>::new());
}
