//! What happens to a call, and what it wants done.

use std::time::{Duration, Instant};

use domain::{CallStatus, SipParticipant, TransferTarget};
use trunkline_callconfig::Resolved;
use trunkline_domain as domain;
use trunkline_realtime::{Command, Event, ItemId};
use url::Url;

use crate::assignment::JobStatus;
use crate::playout::Cut;

/// What happened.
#[derive(Debug)]
pub(crate) enum Input {
    Joined,
    JoinFailed(String),
    /// The phone side was found in the room, or found again.
    Caller(Box<SipParticipant>),
    /// Our connection to the room is made anew, and the phone side is not seen
    /// for as long as it takes.
    CallerMissing,
    /// `sip.callStatus` changed.
    Status(CallStatus),
    CallerLeft,
    /// The caller pressed a key of the phone.
    Key(char),
    /// Our connection to the room ended and will not come back.
    RoomLost(String),
    Configured(Box<Resolved>),
    /// The answer to [`Effect::FetchRecording`].
    Recording(Result<Vec<i16>, String>),
    ModelConnected,
    ModelUnreachable {
        reason: String,
        retry: Retry,
    },
    Model(Event),
    Published,
    PublishFailed(String),
    /// The first frame of ours went to the track.
    FirstSound,
    /// Everything that was to be said was heard.
    PlayoutDrained,
    /// The answer to [`Effect::RemoveCaller`]: LiveKit took the order, or did not.
    CallerRemoved,
    /// The answer to [`Effect::Interrupt`].
    Cut(Vec<Cut>),
    /// The answer to [`Effect::Transfer`].
    Transferred(Result<(), String>),
    /// The call is to end: its job was terminated, or the process stops.
    Stop,
    /// An operator wants the call to end.
    HangUp,
    /// A deadline was reached.
    Tick,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    Useful,
    Useless,
}

/// Which of the tenant's models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    First,
    Second,
}

/// What becomes of the caller's audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ear {
    /// It is not listened to.
    Closed,
    /// It waits for a model.
    Holding,
    /// It goes to the model, after what waits.
    Open,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Ask the backend, until this instant at most.
    Lookup {
        sip: Box<SipParticipant>,
        deadline: Instant,
    },
    /// Open a socket to this model, after a pause, dropping the present one.
    ConnectModel {
        provider: Provider,
        model: String,
        pause: Duration,
    },
    ToModel(Command),
    DropModel,
    /// Get a recording, until this instant at most. Answered by [`Input::Recording`].
    FetchRecording {
        url: Url,
        deadline: Instant,
    },
    /// Publish our track: this answers the phone.
    Publish,
    /// Let sound out.
    OpenPlayout,
    Play {
        item: ItemId,
        pcm: Vec<i16>,
    },
    ItemComplete(ItemId),
    /// Stop the sound and answer with [`Input::Cut`]. What was not heard is kept until
    /// other sound comes.
    Interrupt,
    /// Let the sound that was stopped go on.
    Resume,
    PlayApology {
        /// The language's code, `de` for instance.
        language: Option<String>,
    },
    PlayRecording(Vec<i16>),
    /// Pass the phone side on. Answered by [`Input::Transferred`].
    Transfer {
        identity: String,
        to: TransferTarget,
    },
    Report(JobStatus),
    /// Remove the phone side from the room: BYE, or a refusal while it rings.
    RemoveCaller {
        identity: String,
    },
    /// The call is over: leave the room, and delete it.
    Leave,
}
