//! Does the tenant's backend answer a sample of `/call-config`?

use std::time::{Duration, Instant};

use trunkline_callconfig::{CallConfigRequest, FallbackReason, Lookup, Resolved};
use trunkline_domain::{CallConfig, CallId, ConfigSource, PhoneNumber, SipParticipant, Tenant};

use super::report::{Check, CheckName};

const NAME: CheckName = CheckName::Backend;

/// Who calls whom in the sample.
#[derive(Debug, Clone)]
pub struct SampleCall {
    /// The caller's number.
    pub from: PhoneNumber,
    /// The number that is called.
    pub to: PhoneNumber,
}

/// Of the numbers that North America's plan keeps for fiction.
impl Default for SampleCall {
    fn default() -> Self {
        let number = |text| PhoneNumber::new(text).expect("a literal number is one");
        Self {
            from: number("+12015550123"),
            to: number("+12015550199"),
        }
    }
}

impl SampleCall {
    /// As LiveKit's bridge would bring it into a room: a call that a dispatch rule took in.
    fn participant(&self) -> SipParticipant {
        let (from, to) = (self.from.expose(), self.to.expose());
        let attributes = [
            ("sip.phoneNumber", from),
            ("sip.trunkPhoneNumber", to),
            ("sip.callID", "SCL_trunklinetest"),
            ("sip.trunkID", "ST_trunklinetest"),
            ("sip.ruleID", "SDR_trunklinetest"),
            ("sip.callStatus", "ringing"),
        ];
        SipParticipant::from_attributes(&format!("sip_{from}"), attributes)
    }
}

/// The check, and the configuration that a call would have now.
pub(super) async fn check(
    lookup: &Lookup,
    tenant: &Tenant,
    sample: &SampleCall,
) -> (Check, CallConfig) {
    let started = Instant::now();
    let sip = sample.participant();
    let request = CallConfigRequest::new(tenant, CallId::generate(), "trunkline-test", &sip);
    let limit = match &tenant.lookup {
        Some(settings) => settings.deadline,
        None => Duration::ZERO,
    };
    let request = request.as_test();
    let resolved = lookup.resolve(tenant, &request, started + limit).await;
    let mut check = judge(&resolved, limit);
    check.took_ms = resolved.took.as_millis() as u64;
    (check, resolved.config)
}

fn judge(resolved: &Resolved, limit: Duration) -> Check {
    let ms = resolved.took.as_millis();
    let limit_ms = limit.as_millis();
    match (&resolved.source, &resolved.reason) {
        (ConfigSource::NoLookup, _) => Check::ok(
            NAME,
            "there is no call_config_url: every call runs with the default configuration",
        ),
        (_, None) if resolved.took > limit / 2 => Check::warning(
            NAME,
            format!("a valid answer in {ms} ms, more than half of the {limit_ms} ms it may take"),
            "make the backend quicker, or raise call_config_deadline_ms (and answer_deadline_ms)",
        ),
        (_, None) => Check::ok(
            NAME,
            format!("a valid answer in {ms} ms (it may take {limit_ms} ms)"),
        ),
        (_, Some(reason)) => Check::failed(
            NAME,
            format!("{reason}: calls run with the default configuration"),
            remedy(reason),
        ),
    }
}

fn remedy(reason: &FallbackReason) -> &'static str {
    match reason {
        FallbackReason::Timeout => {
            "make the backend answer sooner, or raise call_config_deadline_ms"
        }
        FallbackReason::Connect { .. } | FallbackReason::Broken { .. } => {
            "check call_config_url, and that the backend runs and can be reached from here"
        }
        FallbackReason::Status(401 | 403) => {
            "check call_config_bearer and call_config_signing_secret"
        }
        FallbackReason::Status(300..=399) => {
            "redirects are not followed: put the address that it leads to into call_config_url"
        }
        FallbackReason::Status(404 | 405) => "check the path in call_config_url; it is a POST",
        FallbackReason::Status(_) => "look at the backend's log",
        FallbackReason::TooLarge { .. }
        | FallbackReason::Compressed
        | FallbackReason::Invalid(_) => {
            "mend the backend's answer: docs/call-config/README.md has its fields and bounds"
        }
        FallbackReason::Internal => {
            "give the backend a public address, or have an operator write call_config_url"
        }
        FallbackReason::Address(_) => {
            "put a URL of the backend's own into call_config_url; where it is in a private \
             network, see call_config.allow_private_addresses"
        }
        FallbackReason::BreakerOpen => "look at the backend's log, and try again in a minute",
        FallbackReason::Request { .. } => {
            "check call_config_url, call_config_bearer and call_config_signing_secret"
        }
    }
}

#[cfg(test)]
mod tests {
    use trunkline_domain::CallDirection;

    use super::super::report::CheckStatus;
    use super::*;

    #[test]
    fn the_sample_is_a_call_that_comes_in() {
        let sample = SampleCall::default();
        let sip = sample.participant();
        assert_eq!(sip.direction, CallDirection::Inbound);
        assert_eq!(sip.caller, Some(sample.from));
        assert_eq!(sip.called, Some(sample.to));
    }

    #[test]
    fn an_answer_that_takes_most_of_its_time_is_a_warning() {
        let took = |ms, reason| Resolved {
            config: CallConfig::built_in(),
            source: ConfigSource::Fresh,
            reason,
            took: Duration::from_millis(ms),
        };
        let limit = Duration::from_secs(1);
        assert_eq!(judge(&took(20, None), limit).status, CheckStatus::Ok);
        assert_eq!(judge(&took(700, None), limit).status, CheckStatus::Warning);
        let check = judge(&took(20, Some(FallbackReason::Status(401))), limit);
        assert_eq!(check.status, CheckStatus::Failed);
        assert!(check.remedy.unwrap().contains("call_config_bearer"));
    }
}
