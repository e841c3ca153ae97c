//! The wire of the agent worker protocol, pure: what comes in is checked and
//! bounded here, what goes out is spelled here.

use bytes::Bytes;
use livekit_protocol as proto;
use prost::Message as _;
use proto::{server_message::Message as FromServer, worker_message::Message as ToServer};
use secrecy::SecretString;
use trunkline_call::JobStatus;

use crate::session::Status;

/// The largest frame that a server sends: it bounds its own at this. Source: livekit-server 1.13.
pub(crate) const MAX_FRAME_BYTES: usize = 2 * 1024 * 1024;

/// The longest job id that is taken, in bytes. LiveKit's have 15.
const MAX_JOB_ID_BYTES: usize = 128;

/// The longest room name that is taken, in bytes. LiveKit's own bound is 256 characters.
const MAX_ROOM_BYTES: usize = 1024;

/// The longest text that is sent with a failed job, in bytes.
const MAX_ERROR_BYTES: usize = 512;

/// What a server says.
#[derive(Debug)]
pub(crate) enum ServerEvent {
    /// We are known under this id.
    Registered {
        /// `AW_…`, new with each registration.
        worker_id: String,
        /// The server's version.
        server_version: String,
    },
    /// A job is offered.
    Offer(Offer),
    /// A job is ours.
    Assigned(Box<AssignedJob>),
    /// A job is to end.
    Terminate {
        /// Which.
        job_id: String,
    },
    /// The server lives.
    Pong,
    /// The server wants us to connect anew.
    GoAway {
        /// Its reason.
        reason: String,
    },
    /// A message of a later version.
    Unknown,
}

/// An offered job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// LiveKit's id of the job. Not checked when the job is unfit.
    pub(crate) job_id: String,
    /// Why we could not take it in any case.
    pub(crate) unfit: Option<Unfit>,
}

/// Why a job cannot be taken by anybody like us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Not a job of kind room.
    WrongKind,
    /// No id or no room, or one beyond its bound.
    Malformed,
}

/// An assigned job.
#[derive(Debug, Clone)]
pub(crate) struct AssignedJob {
    /// LiveKit's id of the job.
    pub(crate) job_id: String,
    /// The room's name.
    pub(crate) room: String,
    /// The participant token.
    pub(crate) token: SecretString,
    /// Where the room is. `None`: where the worker is connected.
    pub(crate) url: Option<String>,
}

/// A frame that is no message of the protocol.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// Not a protobuf message.
    #[error("a frame of {bytes} bytes is not a server message")]
    Garbled {
        /// The frame's length.
        bytes: usize,
        /// What is wrong with it.
        #[source]
        source: prost::DecodeError,
    },
    /// A known message without a part that it cannot do without.
    #[error("the server's {message} message has no usable {part}")]
    Incomplete {
        /// Which message.
        message: &'static str,
        /// Which part.
        part: &'static str,
    },
}

/// Reads one binary frame.
///
/// # Errors
/// When it is not a server message, or one that lacks what it is about.
pub(crate) fn decode(frame: &[u8]) -> Result<ServerEvent, DecodeError> {
    let message = proto::ServerMessage::decode(frame).map_err(|source| DecodeError::Garbled {
        bytes: frame.len(),
        source,
    })?;
    let incomplete = |message, part| DecodeError::Incomplete { message, part };
    Ok(match message.message {
        None => ServerEvent::Unknown,
        Some(FromServer::Register(r)) => ServerEvent::Registered {
            worker_id: r.worker_id,
            server_version: r.server_info.map(|i| i.version).unwrap_or_default(),
        },
        Some(FromServer::Availability(a)) => {
            let job = a.job.ok_or(incomplete("availability", "job"))?;
            if job.id.is_empty() {
                return Err(incomplete("availability", "job id"));
            }
            ServerEvent::Offer(Offer {
                unfit: unfit(&job),
                job_id: job.id,
            })
        }
        Some(FromServer::Assignment(a)) => {
            let job = a.job.ok_or(incomplete("assignment", "job"))?;
            if unfit(&job).is_some() {
                return Err(incomplete("assignment", "job id or room"));
            }
            let room = job.room.map(|r| r.name).unwrap_or_default();
            ServerEvent::Assigned(Box::new(AssignedJob {
                job_id: job.id,
                room,
                token: a.token.into(),
                url: a.url.filter(|u| !u.is_empty()),
            }))
        }
        Some(FromServer::Termination(t)) => ServerEvent::Terminate { job_id: t.job_id },
        Some(FromServer::Pong(_)) => ServerEvent::Pong,
        Some(FromServer::GoAway(g)) => ServerEvent::GoAway { reason: g.reason },
    })
}

fn unfit(job: &proto::Job) -> Option<Unfit> {
    let room = job.room.as_ref().map_or("", |r| r.name.as_str());
    if job.r#type() != proto::JobType::JtRoom {
        Some(Unfit::WrongKind)
    } else if job.id.is_empty()
        || job.id.len() > MAX_JOB_ID_BYTES
        || room.is_empty()
        || room.len() > MAX_ROOM_BYTES
    {
        Some(Unfit::Malformed)
    } else {
        None
    }
}

/// What we say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum WorkerMessage {
    /// The first message.
    Register(Registration),
    /// The answer to an offer.
    Answer {
        /// Which job.
        job_id: String,
        /// Ours or not.
        answer: Answer,
    },
    /// Whether we take jobs.
    Status(Status),
    /// How a job goes.
    Job {
        /// Which job.
        job_id: String,
        /// How it goes.
        status: JobStatus,
    },
}

/// What a worker registers as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registration {
    /// The name that dispatch rules ask for.
    pub(crate) agent_name: String,
    /// The rest of the routing key. Empty: none.
    pub(crate) deployment: String,
    /// Seconds between our pings.
    pub(crate) ping_interval_s: u32,
}

/// The answer to an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A place is reserved for it.
    Accept,
    /// Another worker may have it.
    Decline,
}

impl WorkerMessage {
    /// The message as one binary frame.
    pub(crate) fn encode(&self) -> Bytes {
        let message = match self {
            Self::Register(registration) => ToServer::Register(register(registration)),
            Self::Answer { job_id, answer } => {
                ToServer::Availability(proto::AvailabilityResponse {
                    job_id: job_id.clone(),
                    available: *answer == Answer::Accept,
                    participant_identity: match answer {
                        Answer::Accept => format!("agent-{job_id}"),
                        Answer::Decline => String::new(),
                    },
                    ..Default::default()
                })
            }
            Self::Status(status) => ToServer::UpdateWorker(proto::UpdateWorkerStatus {
                status: Some(if status.takes_jobs {
                    proto::WorkerStatus::WsAvailable.into()
                } else {
                    proto::WorkerStatus::WsFull.into()
                }),
                load: status.load,
                job_count: status.jobs,
                draining: status.draining,
                seq: status.seq,
            }),
            Self::Job { job_id, status } => ToServer::UpdateJob(update(job_id, status)),
        };
        proto::WorkerMessage {
            message: Some(message),
        }
        .encode_to_vec()
        .into()
    }
}

fn register(registration: &Registration) -> proto::RegisterWorkerRequest {
    #[expect(deprecated, reason = "the server still copies `agent` into the token")]
    let permissions = proto::ParticipantPermission {
        can_publish: true,
        can_subscribe: true,
        can_publish_data: true,
        can_update_metadata: true,
        agent: true,
        ..Default::default()
    };
    proto::RegisterWorkerRequest {
        r#type: proto::JobType::JtRoom.into(),
        agent_name: registration.agent_name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ping_interval: registration.ping_interval_s,
        allowed_permissions: Some(permissions),
        deployment: registration.deployment.clone(),
        ..Default::default()
    }
}

fn update(job_id: &str, status: &JobStatus) -> proto::UpdateJobStatus {
    let (status, error) = match status {
        JobStatus::Running => (proto::JobStatus::JsRunning, ""),
        JobStatus::Success => (proto::JobStatus::JsSuccess, ""),
        JobStatus::Failed(error) => (
            proto::JobStatus::JsFailed,
            &error[..error.floor_char_boundary(MAX_ERROR_BYTES)],
        ),
    };
    proto::UpdateJobStatus {
        job_id: job_id.to_owned(),
        status: status.into(),
        error: error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(message: FromServer) -> Vec<u8> {
        proto::ServerMessage {
            message: Some(message),
        }
        .encode_to_vec()
    }

    fn job(id: &str, kind: proto::JobType, room: Option<&str>) -> proto::Job {
        proto::Job {
            id: id.into(),
            r#type: kind.into(),
            room: room.map(|name| proto::Room {
                name: name.into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn read(message: &WorkerMessage) -> ToServer {
        proto::WorkerMessage::decode(message.encode())
            .unwrap()
            .message
            .unwrap()
    }

    #[test]
    fn an_assignment_without_a_url_means_the_project() {
        for url in [None, Some(String::new())] {
            let frame = server(FromServer::Assignment(proto::JobAssignment {
                job: Some(job("AJ_1", proto::JobType::JtRoom, Some("call_1"))),
                url,
                token: "t0ken".into(),
            }));
            let ServerEvent::Assigned(assigned) = decode(&frame).unwrap() else {
                panic!("not an assignment");
            };
            assert_eq!(
                (assigned.job_id.as_str(), assigned.room.as_str()),
                ("AJ_1", "call_1")
            );
            assert_eq!(assigned.url, None);
            assert!(!format!("{assigned:?}").contains("t0ken"));
        }
    }

    #[test]
    fn a_job_that_is_not_a_room_is_unfit() {
        for (offered, unfit) in [
            (job("AJ_1", proto::JobType::JtRoom, Some("r")), None),
            (
                job("AJ_1", proto::JobType::JtPublisher, Some("r")),
                Some(Unfit::WrongKind),
            ),
            (
                job("AJ_1", proto::JobType::JtRoom, None),
                Some(Unfit::Malformed),
            ),
            (
                job(&"x".repeat(129), proto::JobType::JtRoom, Some("r")),
                Some(Unfit::Malformed),
            ),
        ] {
            let frame = server(FromServer::Availability(proto::AvailabilityRequest {
                job: Some(offered),
                resuming: false,
            }));
            let ServerEvent::Offer(offer) = decode(&frame).unwrap() else {
                panic!("not an offer");
            };
            assert_eq!(offer.unfit, unfit);
        }
    }

    #[test]
    fn garbage_is_an_error_and_a_later_message_is_unknown() {
        assert!(matches!(
            decode(&[0xff; 40]),
            Err(DecodeError::Garbled { bytes: 40, .. })
        ));
        // Field 99, length-delimited, empty.
        assert!(matches!(
            decode(&[0x9a, 0x06, 0x00]),
            Ok(ServerEvent::Unknown)
        ));
        let empty = server(FromServer::Assignment(proto::JobAssignment::default()));
        assert!(matches!(
            decode(&empty),
            Err(DecodeError::Incomplete { .. })
        ));
    }

    #[test]
    fn the_identity_is_given_with_an_accepted_job_only() {
        let answer = |answer| {
            read(&WorkerMessage::Answer {
                job_id: "AJ_1".into(),
                answer,
            })
        };
        let ToServer::Availability(yes) = answer(Answer::Accept) else {
            panic!("not an answer");
        };
        assert!(yes.available && yes.participant_identity == "agent-AJ_1");
        let ToServer::Availability(no) = answer(Answer::Decline) else {
            panic!("not an answer");
        };
        // `terminate` would end the dispatch for every other worker too.
        assert!(!no.available && !no.terminate);
    }

    #[test]
    fn a_long_failure_is_cut_at_a_character() {
        let ToServer::UpdateJob(update) = read(&WorkerMessage::Job {
            job_id: "AJ_1".into(),
            status: JobStatus::Failed("ä".repeat(400)),
        }) else {
            panic!("not an update");
        };
        assert_eq!(update.error.len(), MAX_ERROR_BYTES);
        assert_eq!(update.status(), proto::JobStatus::JsFailed);
    }

    #[test]
    fn registration_asks_for_what_a_call_needs() {
        let ToServer::Register(register) = read(&WorkerMessage::Register(Registration {
            agent_name: "pstn-voice-agent".into(),
            deployment: "blue".into(),
            ping_interval_s: 5,
        })) else {
            panic!("not a registration");
        };
        assert_eq!(register.agent_name, "pstn-voice-agent");
        assert_eq!(register.deployment, "blue");
        let allowed = register.allowed_permissions.unwrap();
        assert!(allowed.can_publish && allowed.can_subscribe && allowed.can_publish_data);
        assert!(!allowed.hidden);
    }
}
