//! The caller's room, and the token with which LiveKit lets it in as the bridge's.

use std::collections::BTreeMap;

use domain::Tenant;
use livekit_api::access_token::{AccessToken, AccessTokenError, VideoGrants};
use livekit_protocol::{RoomAgentDispatch, RoomConfiguration};
use rand::Rng as _;
use rand::distr::Alphanumeric;
use secrecy::ExposeSecret as _;
use trunkline_domain as domain;

use super::RingOptions;

/// The random part of LiveKit's ids: `ST_` and twelve characters.
const ID_CHARS: usize = 12;

pub(super) struct Call {
    pub(super) room: String,
    pub(super) token: String,
}

impl Call {
    pub(super) fn new(tenant: &Tenant, options: &RingOptions) -> Result<Self, AccessTokenError> {
        let from = options.from.expose();
        // The bridge's rooms have a prefix of the rule's; this one tells a test call from others.
        let room = format!("trunkline-test_{from}_{}", random_id());
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
        let project = &tenant.project;
        let token = AccessToken::with_api_key(&project.api_key, project.api_secret.expose_secret())
            .with_identity(&format!("sip_{from}"))
            .with_name(&format!("Phone {from}"))
            .with_kind("sip")
            .with_grants(grants)
            .with_attributes(attributes(options))
            .with_room_config(room_configuration(tenant, options))
            .to_jwt()?;
        Ok(Self { room, token })
    }
}

fn attributes(options: &RingOptions) -> BTreeMap<String, String> {
    [
        ("sip.callID", format!("SCL_{}", random_id())),
        (
            "sip.callIDFull",
            format!("{}@trunkline.invalid", random_id()),
        ),
        ("sip.callTag", random_id()),
        ("sip.trunkID", format!("ST_{}", random_id())),
        ("sip.ruleID", format!("SDR_{}", random_id())),
        ("sip.callStatus", "ringing".to_owned()),
        ("sip.phoneNumber", options.from.expose().to_owned()),
        ("sip.trunkPhoneNumber", options.to.expose().to_owned()),
        ("sip.hostname", "trunkline.invalid".to_owned()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// The room is created as the caller joins it, and the agent is called with it.
fn room_configuration(tenant: &Tenant, options: &RingOptions) -> RoomConfiguration {
    let deployment = tenant.deployment.as_ref();
    RoomConfiguration {
        agents: vec![RoomAgentDispatch {
            agent_name: options.agent_name.to_string(),
            deployment: deployment.map(ToString::to_string).unwrap_or_default(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn random_id() -> String {
    let random = rand::rng().sample_iter(Alphanumeric);
    random.take(ID_CHARS).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::{PhoneNumber, TenantFields, TenantId};
    use livekit_api::access_token::TokenVerifier;

    use super::*;

    const SECRET: &str = "a secret that is long enough for it";

    #[test]
    fn the_token_makes_a_sip_participant_that_calls_the_tenants_agent() {
        let id = TenantId(uuid::Uuid::nil());
        let secret = SECRET.replace(' ', "-");
        let mut fields =
            TenantFields::new(id, "acme", "wss://a.example", "key", secret.clone().into());
        fields.deployment = Some("blue".to_owned());
        let tenant = Tenant::try_from(fields).unwrap();
        let options = RingOptions {
            from: PhoneNumber::new("+4930123456").unwrap(),
            to: PhoneNumber::new("+15550001111").unwrap(),
            agent_name: tenant.agent_names[0].clone(),
            ringing_limit: Duration::from_secs(1),
            call_limit: Duration::from_secs(1),
            speech: None,
        };
        let call = Call::new(&tenant, &options).unwrap();
        let claims = TokenVerifier::with_api_key("key", &secret)
            .verify(&call.token)
            .unwrap();
        assert_eq!(claims.kind, "sip");
        assert_eq!(claims.sub, "sip_+4930123456");
        assert_eq!(claims.video.room, call.room);
        assert_eq!(claims.attributes["sip.callStatus"], "ringing");
        assert_eq!(claims.attributes["sip.phoneNumber"], "+4930123456");
        assert_eq!(claims.attributes["sip.trunkPhoneNumber"], "+15550001111");
        let agents = claims.room_config.unwrap().agents;
        assert_eq!(agents[0].agent_name, "pstn-voice-agent");
        assert_eq!(agents[0].deployment, "blue");
    }
}
