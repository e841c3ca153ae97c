//! What became of a call.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{CallDirection, CallId, PhoneNumber, TenantId};

/// Which rung of the ladder gave the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigSource {
    /// The backend's answer for this call.
    Fresh,
    /// The backend's last answer for an earlier call to the same number, because the lookup
    /// gave nothing.
    LastKnown,
    /// The tenant's default configuration, because the lookup gave nothing.
    TenantDefault,
    /// The tenant's default configuration, because the tenant has no backend.
    NoLookup,
}

impl ConfigSource {
    /// For metrics, records and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::LastKnown => "last_known",
            Self::TenantDefault => "tenant_default",
            Self::NoLookup => "no_lookup",
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// The caller hung up after the call was answered.
    CallerHungUp,
    /// The caller gave up before the call was answered.
    CallerGaveUp,
    /// Our side ended the call on purpose.
    AgentHungUp,
    /// The call had lasted as long as the tenant lets one last.
    DurationLimit,
    /// Nobody spoke on the phone's side, or only a machine did, and we hung up.
    CallerSilent,
    /// The call was passed on to another number or address.
    Transferred,
    /// The call was to be passed on, and nobody took it; the caller heard the apology.
    TransferFailed,
    /// The backend had the call refused while it rang.
    Rejected,
    /// The room was closed under the call, by the project's owner or its server.
    RoomClosed,
    /// No participant of kind SIP came into the room.
    NoCaller,
    /// The model could not be had, or was lost; the caller heard the apology.
    ModelFailed,
    /// The room could not be joined.
    JoinFailed,
    /// We were told to end it: its job was terminated, or the process's grace
    /// period was over.
    Cut,
    /// An operator hung up, by the API.
    EndedByOperator,
    /// A fault of ours ended the call.
    Crashed,
}

impl CallOutcome {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::CallerHungUp,
        Self::CallerGaveUp,
        Self::AgentHungUp,
        Self::DurationLimit,
        Self::CallerSilent,
        Self::Transferred,
        Self::TransferFailed,
        Self::Rejected,
        Self::RoomClosed,
        Self::NoCaller,
        Self::ModelFailed,
        Self::JoinFailed,
        Self::Cut,
        Self::EndedByOperator,
        Self::Crashed,
    ];

    /// For metrics, records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallerHungUp => "caller_hung_up",
            Self::CallerGaveUp => "caller_gave_up",
            Self::AgentHungUp => "agent_hung_up",
            Self::DurationLimit => "duration_limit",
            Self::CallerSilent => "caller_silent",
            Self::Transferred => "transferred",
            Self::TransferFailed => "transfer_failed",
            Self::Rejected => "rejected",
            Self::RoomClosed => "room_closed",
            Self::NoCaller => "no_caller",
            Self::ModelFailed => "model_failed",
            Self::JoinFailed => "join_failed",
            Self::Cut => "cut",
            Self::EndedByOperator => "ended_by_operator",
            Self::Crashed => "crashed",
        }
    }

    /// Whether LiveKit is told that the job succeeded.
    pub fn is_success(self) -> bool {
        match self {
            // An order to end a call was carried out: nothing went wrong.
            Self::CallerHungUp
            | Self::CallerGaveUp
            | Self::AgentHungUp
            | Self::DurationLimit
            | Self::CallerSilent
            | Self::Transferred
            | Self::Rejected
            | Self::RoomClosed
            | Self::Cut
            | Self::EndedByOperator => true,
            Self::NoCaller
            | Self::ModelFailed
            | Self::TransferFailed
            | Self::JoinFailed
            | Self::Crashed => false,
        }
    }
}

/// When each step of a call was reached, from the assignment of its job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallTimes {
    /// We were in the room.
    pub joined: Option<Duration>,
    /// The configuration was decided.
    pub configured: Option<Duration>,
    /// The model's session was configured.
    pub model_ready: Option<Duration>,
    /// Our track was published, which answers the phone.
    pub answered: Option<Duration>,
    /// `sip.callStatus` became `active`.
    pub active: Option<Duration>,
    /// The first of our sound was handed to the track after `active`.
    pub first_sound: Option<Duration>,
    /// The call was over.
    pub ended: Option<Duration>,
}

impl CallTimes {
    /// The steps that were reached, by name.
    pub fn steps(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        [
            ("joined", self.joined),
            ("configured", self.configured),
            ("model_ready", self.model_ready),
            ("answered", self.answered),
            ("active", self.active),
            ("first_sound", self.first_sound),
            ("ended", self.ended),
        ]
        .into_iter()
        .filter_map(|(name, after)| Some((name, after?)))
    }
}

/// The record of one call.
#[derive(Debug, Clone)]
pub struct CallRecord {
    /// Identity.
    pub id: CallId,
    /// Whose call.
    pub tenant_id: TenantId,
    /// LiveKit's id of the job.
    pub job_id: String,
    /// The room's name. It can hold a phone number.
    pub room: String,
    /// LiveKit's id of the SIP call.
    pub sip_call_id: Option<String>,
    /// The trunk.
    pub trunk_id: Option<String>,
    /// Who called whom. `None` when no caller was seen.
    pub direction: Option<CallDirection>,
    /// The caller's number.
    pub caller: Option<PhoneNumber>,
    /// The called number.
    pub called: Option<PhoneNumber>,
    /// Which rung gave the configuration. `None` when the call ended before.
    pub config_source: Option<ConfigSource>,
    /// Why it was not the first rung.
    pub fallback_reason: Option<String>,
    /// The model that was asked for.
    pub model: Option<String>,
    /// How it ended.
    pub outcome: CallOutcome,
    /// More about a failure.
    pub detail: Option<String>,
    /// When the job was assigned.
    pub started_at: DateTime<Utc>,
    /// The steps, from `started_at`.
    pub times: CallTimes,
}

impl CallRecord {
    /// The record of a call of which nothing is known but how it ended.
    pub fn new(
        id: CallId,
        tenant_id: TenantId,
        job_id: &str,
        room: &str,
        started_at: DateTime<Utc>,
        outcome: CallOutcome,
    ) -> Self {
        Self {
            id,
            tenant_id,
            job_id: job_id.to_owned(),
            room: room.to_owned(),
            sip_call_id: None,
            trunk_id: None,
            direction: None,
            caller: None,
            called: None,
            config_source: None,
            fallback_reason: None,
            model: None,
            outcome,
            detail: None,
            started_at,
            times: CallTimes::default(),
        }
    }
}
