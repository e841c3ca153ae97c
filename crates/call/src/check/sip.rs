//! Do a trunk and a dispatch rule of the project send phone calls to one of the
//! tenant's agent names?

use std::collections::BTreeSet;
use std::time::Duration;

use livekit_api::services::sip::{ListSIPDispatchRuleFilter, ListSIPInboundTrunkFilter, SIPClient};
use livekit_api::services::{ServerError, ServerErrorCode, ServiceError};
use livekit_protocol::sip_dispatch_rule::Rule;
use livekit_protocol::{SipDispatchRuleInfo, SipInboundTrunkInfo};
use secrecy::ExposeSecret as _;
use trunkline_domain::{Tenant, chain, shorten};

use super::report::{Check, CheckName};

const NAME: CheckName = CheckName::Sip;
/// One request.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// How many names of agents are repeated that the rules ask for: a project may have hundreds.
const MAX_NAMES_SHOWN: usize = 8;
/// The longest text of a server's refusal that is repeated, in characters.
const MAX_REFUSAL_CHARS: usize = 200;

pub(super) async fn check(tenant: &Tenant) -> Check {
    let project = &tenant.project;
    let client = SIPClient::with_api_key(
        project.url.as_str().trim_end_matches('/'),
        &project.api_key,
        project.api_secret.expose_secret(),
    )
    .with_failover(false)
    .with_request_timeout(REQUEST_LIMIT);
    let read = tokio::try_join!(
        client.list_sip_inbound_trunk(ListSIPInboundTrunkFilter::All),
        client.list_sip_dispatch_rule(ListSIPDispatchRuleFilter::All),
    );
    match read {
        Ok((trunks, rules)) => judge(tenant, &trunks, &rules),
        Err(error) => unread(&error),
    }
}

fn unread(error: &ServiceError) -> Check {
    let without_service = match error {
        ServiceError::Twirp(ServerError::Twirp(refusal)) => {
            refusal.msg.contains("sip not connected")
                || [
                    ServerErrorCode::UNIMPLEMENTED,
                    ServerErrorCode::BAD_ROUTE,
                    ServerErrorCode::NOT_FOUND,
                ]
                .contains(&refusal.code.as_str())
        }
        _ => false,
    };
    if without_service {
        return Check::warning(
            NAME,
            "the server has no SIP service: no phone call reaches it",
            "for phone calls it needs Redis and livekit-sip; without them only test calls come \
             (`trunkline call`)",
        );
    }
    let problem = match error {
        ServiceError::Twirp(ServerError::Twirp(refusal)) => refusal.to_string(),
        other => chain(other).to_string(),
    };
    Check::warning(
        NAME,
        format!(
            "trunks and dispatch rules cannot be read: {}",
            shorten(&problem, MAX_REFUSAL_CHARS)
        ),
        "see that the API key may manage SIP",
    )
}

fn judge(tenant: &Tenant, trunks: &[SipInboundTrunkInfo], rules: &[SipDispatchRuleInfo]) -> Check {
    let names: Vec<&str> = tenant
        .agent_names
        .iter()
        .map(|name| name.as_str())
        .collect();
    let wanted = names.join(" or ");
    if trunks.is_empty() {
        return Check::failed(
            NAME,
            "the project has no inbound trunk",
            "create one for the numbers that are to be answered",
        );
    }
    let exists = |id: &String| trunks.iter().any(|trunk| trunk.sip_trunk_id == *id);
    let ours: Vec<&SipDispatchRuleInfo> = rules
        .iter()
        .filter(|rule| asked_for(rule).any(|name| names.contains(&name)))
        .collect();
    if ours.is_empty() {
        let others: BTreeSet<&str> = rules.iter().flat_map(asked_for).collect();
        let others: Vec<&str> = others.into_iter().take(MAX_NAMES_SHOWN).collect();
        let found = match (rules.len(), others.as_slice()) {
            (0, _) => "there is none".to_owned(),
            (count, []) => format!("there are {count} without an agent"),
            (count, others) => format!("there are {count}, which ask for {}", others.join(", ")),
        };
        return Check::failed(
            NAME,
            format!("no dispatch rule asks for the agent {wanted}: {found}"),
            "name the agent in the rule's room configuration, or put the rule's name into the \
             row's agent_names",
        );
    }
    // A rule without trunks holds for all of them.
    let reached = |rule: &&SipDispatchRuleInfo| {
        rule.trunk_ids.is_empty() || rule.trunk_ids.iter().any(exists)
    };
    let Some(rule) = ours.iter().copied().find(reached) else {
        return Check::failed(
            NAME,
            format!("the dispatch rule for the agent {wanted} names trunks that do not exist"),
            "mend the rule's trunk ids",
        );
    };
    let id = &rule.sip_dispatch_rule_id;
    let kind = rule.rule.as_ref().and_then(|rule| rule.rule.as_ref());
    if matches!(kind, Some(Rule::DispatchRuleDirect(_))) {
        return Check::warning(
            NAME,
            format!("the dispatch rule {id} puts all callers into one room"),
            "use a rule of the kind *individual*: a room for each caller",
        );
    }
    let without: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| !ours.iter().any(|rule| asked_for(rule).any(|n| n == *name)))
        .collect();
    if !without.is_empty() {
        return Check::warning(
            NAME,
            format!("no dispatch rule asks for {}", without.join(", ")),
            "add a rule, or take the name out of agent_names",
        );
    }
    Check::ok(
        NAME,
        format!("the dispatch rule {id} sends calls to {wanted}"),
    )
}

/// The agents that a rule asks for.
fn asked_for(rule: &SipDispatchRuleInfo) -> impl Iterator<Item = &str> {
    rule.room_config
        .iter()
        .flat_map(|config| &config.agents)
        .map(|agent| agent.agent_name.as_str())
}

#[cfg(test)]
mod tests {
    use livekit_protocol::{
        RoomAgentDispatch, RoomConfiguration, SipDispatchRule, SipDispatchRuleDirect,
    };
    use trunkline_domain::{TenantFields, TenantId};

    use super::super::report::CheckStatus;
    use super::*;

    fn tenant() -> Tenant {
        let id = TenantId(uuid::Uuid::nil());
        let url = "wss://acme.example";
        let fields = TenantFields::new(id, "acme", url, "key", "secret".into());
        Tenant::try_from(fields).unwrap()
    }

    fn trunk(id: &str) -> SipInboundTrunkInfo {
        SipInboundTrunkInfo {
            sip_trunk_id: id.to_owned(),
            ..Default::default()
        }
    }

    fn rule(agent: &str, trunk: &str) -> SipDispatchRuleInfo {
        SipDispatchRuleInfo {
            sip_dispatch_rule_id: "SDR_1".to_owned(),
            trunk_ids: vec![trunk.to_owned()],
            room_config: Some(RoomConfiguration {
                agents: vec![RoomAgentDispatch {
                    agent_name: agent.to_owned(),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn shared_room(agent: &str) -> SipDispatchRuleInfo {
        SipDispatchRuleInfo {
            rule: Some(SipDispatchRule {
                rule: Some(Rule::DispatchRuleDirect(SipDispatchRuleDirect::default())),
            }),
            ..rule(agent, "ST_1")
        }
    }

    #[test]
    fn calls_need_a_trunk_and_a_rule_that_asks_for_the_agent() {
        const OURS: &str = "pstn-voice-agent";
        let trunks = vec![trunk("ST_1")];
        let anywhere = SipDispatchRuleInfo {
            trunk_ids: vec![],
            ..rule(OURS, "")
        };
        let failed = CheckStatus::Failed;
        for (trunks, rules, status, words) in [
            (&trunks, vec![rule(OURS, "ST_1")], CheckStatus::Ok, "SDR_1"),
            (&trunks, vec![anywhere], CheckStatus::Ok, "SDR_1"),
            (
                &vec![],
                vec![rule(OURS, "ST_1")],
                failed,
                "no inbound trunk",
            ),
            (&trunks, vec![], failed, "there is none"),
            (
                &trunks,
                vec![rule("sales", "ST_1")],
                failed,
                "ask for sales",
            ),
            (&trunks, vec![rule(OURS, "ST_9")], failed, "do not exist"),
            (
                &trunks,
                vec![shared_room(OURS)],
                CheckStatus::Warning,
                "one room",
            ),
        ] {
            let check = judge(&tenant(), trunks, &rules);
            assert_eq!(check.status, status, "{check:?}");
            assert!(check.detail.contains(words), "{check:?}");
        }
    }

    #[test]
    fn a_server_without_a_sip_service_is_no_failure() {
        let refusal = |code: &str, msg: &str| {
            ServiceError::Twirp(ServerError::Twirp(ServerErrorCode {
                code: code.to_owned(),
                msg: msg.to_owned(),
                meta: Default::default(),
            }))
        };
        let check = unread(&refusal("internal", "sip not connected (redis required)"));
        assert_eq!(check.status, CheckStatus::Warning);
        assert!(check.detail.contains("no SIP service"), "{check:?}");
        let check = unread(&refusal("permission_denied", "no grant"));
        assert_eq!(check.status, CheckStatus::Warning);
        assert!(
            check.detail.contains("permission_denied: no grant"),
            "{check:?}"
        );
    }
}
