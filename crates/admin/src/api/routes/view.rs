//! How calls are shown, live and past in the same shape.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use trunkline_call::LiveCall;
use trunkline_store::RecordedCall;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::phone::Numbers;

/// A call, under way or over.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Call {
    /// Identity.
    pub(crate) id: Uuid,
    /// Whose call. `null`: the tenant has been deleted.
    pub(crate) tenant: Option<String>,
    /// Whose call.
    pub(crate) tenant_id: Uuid,
    /// The replica that runs it, or ran it.
    pub(crate) replica: String,
    /// Whether it is under way.
    pub(crate) is_live: bool,
    /// How far it is: joining, ringing, answering, talking, closing, parting, over.
    #[schema(example = "talking")]
    pub(crate) step: &'static str,
    /// Since when it is so far; of a call that is over, when it ended, where known.
    pub(crate) since: Option<DateTime<Utc>>,
    /// inbound or outbound. `null`: no phone side was seen.
    pub(crate) direction: Option<String>,
    /// The caller's number, by its last digits unless numbers=full was asked for.
    #[schema(example = "…1111")]
    pub(crate) caller: Option<String>,
    /// The called number, in the same way.
    pub(crate) called: Option<String>,
    /// The LiveKit room; a number in its name is shown in the same way.
    pub(crate) room: String,
    /// LiveKit's id of the job.
    pub(crate) job_id: String,
    /// LiveKit's id of the SIP call. `null` while it is under way.
    pub(crate) sip_call_id: Option<String>,
    /// LiveKit's id of the SIP trunk. `null` while it is under way.
    pub(crate) trunk_id: Option<String>,
    /// When the job was assigned.
    pub(crate) started_at: DateTime<Utc>,
    /// How often the agent has spoken to the end. `null` of a call that is over.
    pub(crate) replies: Option<u32>,
    /// How it ended. `null` while it is under way.
    #[schema(example = "caller_hung_up")]
    pub(crate) outcome: Option<String>,
    /// More about a failure.
    pub(crate) detail: Option<String>,
    /// Where its configuration came from.
    pub(crate) config_source: Option<String>,
    /// Why that was not the backend's answer.
    pub(crate) fallback_reason: Option<String>,
    /// The model that was asked for. `null` while it is under way.
    pub(crate) model: Option<String>,
    /// What was reached when, in the order of time.
    pub(crate) timeline: Vec<Step>,
}

/// A step of a call that was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Step {
    /// assigned, joined, configured, model_ready, answered, active, first_sound, ended.
    #[schema(example = "answered")]
    step: &'static str,
    /// When, in milliseconds from the assignment.
    at_ms: i64,
    /// When.
    at: DateTime<Utc>,
}

impl Call {
    pub(crate) fn live(call: &LiveCall, replica: &str, numbers: Numbers) -> Self {
        let millis = |step: Option<Duration>| step.map(|d| d.as_millis() as i64);
        let times = &call.times;
        Self {
            id: call.id.0,
            tenant: Some(call.tenant.to_string()),
            tenant_id: call.tenant_id.0,
            replica: replica.to_owned(),
            is_live: true,
            step: call.step.as_str(),
            since: Some(call.since),
            direction: call.direction.map(|d| d.as_str().to_owned()),
            caller: call.caller.as_ref().map(|number| numbers.show(number)),
            called: call.called.as_ref().map(|number| numbers.show(number)),
            room: numbers.show_within(&call.room),
            job_id: call.job_id.clone(),
            sip_call_id: None,
            trunk_id: None,
            started_at: call.started_at,
            replies: Some(call.replies),
            outcome: None,
            detail: None,
            config_source: None,
            fallback_reason: None,
            model: None,
            timeline: timeline(
                call.started_at,
                [
                    ("joined", millis(times.joined)),
                    ("configured", millis(times.configured)),
                    ("model_ready", millis(times.model_ready)),
                    ("answered", millis(times.answered)),
                    ("active", millis(times.active)),
                    ("first_sound", millis(times.first_sound)),
                    ("ended", millis(times.ended)),
                ],
            ),
        }
    }

    pub(crate) fn past(call: RecordedCall, tenant: Option<String>, numbers: Numbers) -> Self {
        let timeline = timeline(
            call.started_at,
            [
                ("joined", call.joined_ms),
                ("configured", call.configured_ms),
                ("model_ready", call.model_ready_ms),
                ("answered", call.answered_ms),
                ("active", call.active_ms),
                ("first_sound", call.first_sound_ms),
                ("ended", call.ended_ms),
            ],
        );
        let ended = timeline.iter().find(|step| step.step == "ended");
        Self {
            id: call.id,
            tenant,
            tenant_id: call.tenant_id,
            is_live: false,
            step: "over",
            since: ended.map(|step| step.at),
            direction: call.direction,
            caller: call.caller.map(|number| numbers.show_text(&number)),
            called: call.called.map(|number| numbers.show_text(&number)),
            room: numbers.show_within(&call.room),
            replica: call.replica,
            job_id: call.job_id,
            sip_call_id: call.sip_call_id,
            trunk_id: call.trunk_id,
            started_at: call.started_at,
            replies: None,
            outcome: Some(call.outcome),
            detail: call.detail.map(|text| numbers.show_within(&text)),
            config_source: call.config_source,
            fallback_reason: call.fallback_reason,
            model: call.model,
            timeline,
        }
    }
}

fn timeline(started_at: DateTime<Utc>, steps: [(&'static str, Option<i64>); 7]) -> Vec<Step> {
    let mut reached: Vec<Step> = std::iter::once(("assigned", Some(0)))
        .chain(steps)
        .filter_map(|(step, at_ms)| {
            let at_ms = at_ms?;
            let at = started_at.checked_add_signed(TimeDelta::try_milliseconds(at_ms)?)?;
            Some(Step { step, at_ms, at })
        })
        .collect();
    reached.sort_by_key(|step| step.at_ms);
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_has_what_was_reached_in_the_order_of_time() {
        let steps = timeline(
            DateTime::UNIX_EPOCH,
            [
                ("joined", Some(30)),
                ("configured", Some(20)),
                ("model_ready", None),
                ("answered", None),
                ("active", None),
                ("first_sound", None),
                ("ended", Some(i64::MAX)),
            ],
        );
        let names: Vec<_> = steps.iter().map(|step| step.step).collect();
        assert_eq!(names, ["assigned", "configured", "joined"]);
        assert_eq!(steps[1].at.timestamp_millis(), 20);
    }
}
