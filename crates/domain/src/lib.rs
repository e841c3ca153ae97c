//! What a tenant, a call and a call configuration are: identifiers, units,
//! validation. No I/O and no clock: everything here can be tested with values.
//!
//! Text that comes from outside (a database row, a SIP header, a backend's
//! answer) enters the program through the constructors of this crate, which
//! bound and check it. What has one of these types needs no second check.

mod access;
mod chain;
mod config;
mod fallback;
mod ids;
mod known_answer;
mod outcome;
mod phone;
mod rate;
mod reach;
mod secret;
mod shorten;
mod sip;
mod tenant;
mod tokens;

pub use access::{AccessScope, InvalidScope};
pub use chain::chain;
pub use config::{
    CallAction, CallConfig, CallConfigPatch, ConversationLimits, Eagerness, FirstSpeaker,
    InvalidConfig, Language, MAX_CONFIG_BYTES, MAX_DEFAULT_CONFIG_BYTES, MAX_METADATA_BYTES,
    MAX_NAME_CHARS, MAX_PROMPT_CHARS, MAX_START_MESSAGE_CHARS, NoiseReduction, Temperature,
    Transcription, TransferTarget, TurnDetection,
};
pub use fallback::{ApologyAudio, Fallback, MAX_APOLOGY_BYTES, SecondModel};
pub use ids::{AgentName, CallId, Deployment, InvalidName, TenantId, TenantSlug, TenantVersion};
pub use known_answer::{BackendMark, KnownAnswer};
pub use outcome::{CallOutcome, CallRecord, CallTimes, ConfigSource};
pub use phone::PhoneNumber;
pub use rate::{CallsPerSecond, InvalidRate};
pub use reach::{AddressKind, Reach, leads_inside};
pub use secret::same_secret;
pub use shorten::shorten;
pub use sip::{CallDirection, CallStatus, MAX_ATTRIBUTES, SipParticipant};
pub use tenant::{
    DEFAULT_AGENT_NAME, InvalidKey, InvalidTenant, Limits, LiveKitProject, LookupSettings,
    MAX_AGENT_NAMES, ProviderKind, ProviderSettings, Tenant, TenantFields, check_key, server_of,
};
pub use tokens::without_tokens;
