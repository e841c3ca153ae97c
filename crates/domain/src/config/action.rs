//! What is done with a call: as a rule, an agent talks with the caller.

use url::Url;

use super::InvalidConfig;
use super::fields::{Fields, wrong};

/// The longest target of a transfer, in characters: what bridges take as a header.
const MAX_TARGET_CHARS: usize = 256;
/// The longest URL of a recording, in characters.
const MAX_URL_CHARS: usize = 2048;

/// What is done with a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CallAction {
    /// An agent talks with the caller.
    #[default]
    Talk,
    /// The call is refused while it rings: the caller hears that the line is busy.
    Reject,
    /// The call is answered and passed on at once.
    Transfer {
        /// To whom.
        to: TransferTarget,
    },
    /// The call is answered, a recording is played, and the call ends.
    Play {
        /// Where the recording is: WAV, fetched while the phone rings.
        url: Url,
    },
}

/// Where a call can be passed on to: `tel:+15551234567`, or a `sip:` address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferTarget(String);

impl TransferTarget {
    /// Reads a target. A bare number in E.164, `+15551234567`, is taken as `tel:`.
    /// `None`: the text is neither.
    pub fn new(text: &str) -> Option<Self> {
        let target = if text.starts_with('+') {
            format!("tel:{text}")
        } else {
            text.to_owned()
        };
        let is_target = if let Some(number) = target.strip_prefix("tel:") {
            is_number(number)
        } else if let Some(address) = target
            .strip_prefix("sip:")
            .or_else(|| target.strip_prefix("sips:"))
        {
            is_address(address)
        } else {
            false
        };
        (is_target && target.len() <= MAX_TARGET_CHARS).then_some(Self(target))
    }

    /// As a URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// E.164: a plus and at most 15 digits; or a shorter number of one's own exchange.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (2..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

/// What may stand in an address of SIP without ending the header that it goes into.
fn is_address(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"@.-_+:;=%~!*'()&$,?/[]".contains(&b);
    let (_, host) = text.split_once('@').unwrap_or(("", text));
    !host.is_empty() && text.bytes().all(allowed)
}

#[derive(Clone, Copy)]
enum ActionKind {
    Talk,
    Reject,
    Transfer,
    Play,
}

impl CallAction {
    const PATH: &str = "action";

    pub(super) fn take(fields: &mut Fields) -> Result<Option<Self>, InvalidConfig> {
        const KINDS: &[(&str, ActionKind)] = &[
            ("talk", ActionKind::Talk),
            ("reject", ActionKind::Reject),
            ("transfer", ActionKind::Transfer),
            ("play", ActionKind::Play),
        ];
        let Some(mut inner) = fields.object(Self::PATH)? else {
            return Ok(None);
        };
        let kind = inner
            .choice("action.type", KINDS)?
            .ok_or_else(|| wrong("action.type", "is missing"))?;
        let action = match kind {
            ActionKind::Talk => Self::Talk,
            ActionKind::Reject => Self::Reject,
            ActionKind::Transfer => {
                let to = inner
                    .text("action.to", 1..=MAX_TARGET_CHARS)?
                    .ok_or_else(|| wrong("action.to", "is missing"))?;
                let to = TransferTarget::new(&to).ok_or_else(|| {
                    let problem =
                        "must be a number such as \"+15551234567\", a tel: or a sip: address";
                    wrong("action.to", problem)
                })?;
                Self::Transfer { to }
            }
            ActionKind::Play => {
                let url = inner
                    .text("action.url", 1..=MAX_URL_CHARS)?
                    .ok_or_else(|| wrong("action.url", "is missing"))?;
                let url = Url::parse(&url).ok();
                let url =
                    url.filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
                Self::Play {
                    url: url
                        .ok_or_else(|| wrong("action.url", "must be an https:// or http:// URL"))?,
                }
            }
        };
        fields.done(Self::PATH, inner);
        Ok(Some(action))
    }
}

#[cfg(test)]
mod tests {
    use super::super::CallConfigPatch;
    use super::*;

    fn action(json: &str) -> Result<Option<CallAction>, String> {
        CallConfigPatch::parse(json.as_bytes())
            .map(|patch| patch.action)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn each_action_is_read() {
        assert_eq!(action("{}"), Ok(None));
        let reject = action(r#"{"action": {"type": "reject"}}"#);
        assert_eq!(reject, Ok(Some(CallAction::Reject)));
        let transfer = action(r#"{"action": {"type": "transfer", "to": "+15551234567"}}"#);
        let to = TransferTarget::new("tel:+15551234567").unwrap();
        assert_eq!(transfer, Ok(Some(CallAction::Transfer { to })));
        let play = action(r#"{"action": {"type": "play", "url": "https://acme.example/a.wav"}}"#);
        let url = "https://acme.example/a.wav".parse().unwrap();
        assert_eq!(play, Ok(Some(CallAction::Play { url })));
    }

    #[test]
    fn a_target_cannot_carry_a_header() {
        for good in [
            "sip:sales@pbx.example",
            "sips:1@[::1]:5061;transport=tls",
            "tel:112",
        ] {
            assert!(TransferTarget::new(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "sip:",
            "sip:a@",
            "tel:",
            "tel:+1 555",
            "+1555123456789012345",
            "sip:a@b\r\nX: y",
            "sip:a@b>",
            "mailto:a@b",
        ] {
            assert!(TransferTarget::new(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_wrong_action_names_what_is_wrong() {
        for (json, message) in [
            (r#"{"action": {}}"#, "action.type is missing"),
            (
                r#"{"action": {"type": "sing"}}"#,
                r#"action.type must be one of "talk", "reject", "transfer", "play""#,
            ),
            (
                r#"{"action": {"type": "transfer"}}"#,
                "action.to is missing",
            ),
            (
                r#"{"action": {"type": "play", "url": "file:///etc/passwd"}}"#,
                "action.url must be an https:// or http:// URL",
            ),
        ] {
            assert_eq!(action(json), Err(message.to_owned()));
        }
    }
}
