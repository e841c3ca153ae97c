//! Who calls whom, and the token with which LiveKit lets the caller in.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use livekit_api::access_token::{AccessToken, VideoGrants};
use livekit_protocol::{RoomAgentDispatch, RoomConfiguration};
use rand::Rng as _;
use rand::distr::Alphanumeric;
use secrecy::{ExposeSecret as _, SecretString};

use crate::livekit::LiveKitServer;

/// What the bridge waits when the trunk says nothing.
const DEFAULT_RINGING_TIMEOUT: Duration = Duration::from_secs(180);

/// From 200 OK to the first packet of a phone: 20 to 130 ms were measured.
const DEFAULT_ACTIVE_AFTER: Duration = Duration::from_millis(60);

/// The random part of LiveKit's ids: `ST_` and twelve characters.
const ID_LENGTH: usize = 12;

/// Whether the trunk shows the phone numbers to the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerId {
    /// It does.
    Shown,
    /// *Hide phone number*: a hash stands for the caller, and the numbers and
    /// the host are missing.
    Hidden,
}

/// What to dial, and how the phone behaves.
#[derive(Clone, Debug)]
pub struct CallerOptions {
    /// The project's URL, `ws://…`.
    pub url: String,
    /// The project's API key.
    pub api_key: String,
    /// The project's API secret.
    pub api_secret: SecretString,
    /// The number that is called, E.164.
    pub called: String,
    /// The caller's number, E.164.
    pub caller: String,
    /// Whether the room learns the numbers.
    pub caller_id: CallerId,
    /// The agent that the dispatch rule names; `None` for a rule without one.
    pub agent_name: Option<String>,
    /// The rule's metadata for the agent's job.
    pub metadata: String,
    /// The rule's prefix of room names.
    pub room_prefix: String,
    /// More attributes, or other values for those that the bridge sets:
    /// `sip.h.x-order`, `sip.twilio.callSid`.
    pub attributes: BTreeMap<String, String>,
    /// From the answer to the phone's first packet.
    pub active_after: Duration,
    /// How long the phone rings at most.
    pub ringing_timeout: Duration,
}

impl CallerOptions {
    /// A call to `called` in this project, from a number of its own.
    #[must_use]
    pub fn to(livekit: &LiveKitServer, called: &str) -> Self {
        Self::new(
            &livekit.url(),
            livekit.api_key(),
            livekit.api_secret(),
            called,
        )
    }

    /// A call to `called` in the project at `url`, from a number of its own.
    #[must_use]
    pub fn new(url: &str, api_key: &str, api_secret: &SecretString, called: &str) -> Self {
        Self {
            url: url.to_owned(),
            api_key: api_key.to_owned(),
            api_secret: api_secret.clone(),
            called: called.to_owned(),
            caller: fictitious_number(),
            caller_id: CallerId::Shown,
            agent_name: Some("pstn-voice-agent".to_owned()),
            metadata: String::new(),
            room_prefix: "call".to_owned(),
            attributes: BTreeMap::new(),
            active_after: DEFAULT_ACTIVE_AFTER,
            ringing_timeout: DEFAULT_RINGING_TIMEOUT,
        }
    }

    /// One call with these options: its room, identity and token.
    pub(super) fn call(&self) -> anyhow::Result<Call> {
        let (identity, name) = self.identity();
        let caller = identity.trim_start_matches("sip_");
        let room = format!("{}_{caller}_{}", self.room_prefix, random_id());
        let grants = VideoGrants {
            room_join: true,
            room: room.clone(),
            can_publish: Some(true),
            can_subscribe: Some(true),
            can_publish_data: Some(true),
            // For `sip.callStatus`.
            can_update_own_metadata: Some(true),
            ..Default::default()
        };
        let token = AccessToken::with_api_key(&self.api_key, self.api_secret.expose_secret())
            .with_identity(&identity)
            .with_name(&name)
            .with_kind("sip")
            .with_grants(grants)
            .with_attributes(self.sip_attributes())
            .with_room_config(self.room_configuration())
            .to_jwt()
            .context("cannot sign the caller's token")?;
        Ok(Call {
            room,
            identity,
            token,
        })
    }

    /// Identity and name in the room.
    fn identity(&self) -> (String, String) {
        match self.caller_id {
            CallerId::Shown => (
                format!("sip_{}", self.caller),
                format!("Phone {}", self.caller),
            ),
            CallerId::Hidden => {
                let hash: u64 = rand::rng().random();
                let last = self.caller.len().saturating_sub(4);
                let digits = self.caller.get(last..).unwrap_or_default();
                (format!("sip_{hash:016x}"), format!("Phone {digits}"))
            }
        }
    }

    fn sip_attributes(&self) -> BTreeMap<String, String> {
        let mut attributes = BTreeMap::new();
        let mut set = |key: &str, value: String| attributes.insert(key.to_owned(), value);
        set("sip.callID", format!("SCL_{}", random_id()));
        set("sip.callIDFull", format!("{}@127.0.0.1", random_id()));
        set("sip.callTag", random_id());
        set("sip.trunkID", format!("ST_{}", random_id()));
        set("sip.ruleID", format!("SDR_{}", random_id()));
        set("sip.callStatus", "ringing".to_owned());
        if self.caller_id == CallerId::Shown {
            set("sip.phoneNumber", self.caller.clone());
            set("sip.trunkPhoneNumber", self.called.clone());
            set("sip.hostname", "127.0.0.1".to_owned());
        }
        attributes.extend(self.attributes.clone());
        attributes
    }

    /// The room is created by the caller's joining, and the agent is called
    /// with it.
    fn room_configuration(&self) -> RoomConfiguration {
        let agents = self
            .agent_name
            .iter()
            .map(|agent_name| RoomAgentDispatch {
                agent_name: agent_name.clone(),
                metadata: self.metadata.clone(),
                ..Default::default()
            })
            .collect();
        RoomConfiguration {
            agents,
            ..Default::default()
        }
    }
}

/// One call, ready to be made.
pub(super) struct Call {
    pub(super) room: String,
    pub(super) identity: String,
    pub(super) token: String,
}

/// A number out of those that North America's plan keeps for fiction:
/// 555-0100 to 555-0199 in any area.
fn fictitious_number() -> String {
    let mut random = rand::rng();
    let area = random.random_range(201..=989);
    let line = random.random_range(100..=199);
    format!("+1{area}5550{line}")
}

fn random_id() -> String {
    let random = rand::rng().sample_iter(Alphanumeric);
    random.take(ID_LENGTH).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use livekit_api::access_token::TokenVerifier;

    use super::*;

    const SECRET: &str = "a secret that is long enough for it";

    fn options() -> CallerOptions {
        CallerOptions::new(
            "ws://127.0.0.1:1",
            "key",
            &SECRET.to_owned().into(),
            "+15550001",
        )
    }

    #[test]
    fn the_token_makes_a_sip_participant_that_calls_the_agent() {
        let mut options = options();
        options.caller = "+12015550123".to_owned();
        options.metadata = "{}".to_owned();
        options
            .attributes
            .insert("sip.h.x-order".to_owned(), "7".to_owned());
        let call = options.call().expect("a call");
        let claims = TokenVerifier::with_api_key("key", SECRET)
            .verify(&call.token)
            .expect("our own token");

        assert_eq!(claims.kind, "sip");
        assert_eq!(claims.sub, "sip_+12015550123");
        assert_eq!(claims.name, "Phone +12015550123");
        assert!(call.room.starts_with("call_+12015550123_"), "{}", call.room);
        assert_eq!(claims.video.room, call.room);
        assert_eq!(claims.attributes["sip.callStatus"], "ringing");
        assert_eq!(claims.attributes["sip.phoneNumber"], "+12015550123");
        assert_eq!(claims.attributes["sip.trunkPhoneNumber"], "+15550001");
        assert_eq!(claims.attributes["sip.h.x-order"], "7");
        let agents = claims.room_config.expect("a room configuration").agents;
        assert_eq!(agents[0].agent_name, "pstn-voice-agent");
        assert_eq!(agents[0].metadata, "{}");
    }

    #[test]
    fn a_hidden_caller_leaves_no_number_anywhere() {
        let mut options = options();
        options.caller = "+12015550123".to_owned();
        options.caller_id = CallerId::Hidden;
        let call = options.call().expect("a call");
        let claims = TokenVerifier::with_api_key("key", SECRET)
            .verify(&call.token)
            .expect("our own token");
        assert_eq!(claims.name, "Phone 0123");
        let everything = format!("{claims:?} {}", call.room);
        assert!(!everything.contains("2015550123"), "{everything}");
        assert!(!claims.attributes.contains_key("sip.hostname"));
    }
}
