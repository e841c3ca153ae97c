//! What a peer tells: one JSON object a line.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// Something that happened to a peer, or that it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When: microseconds since 1970. All processes of a machine read the same
    /// clock, so that times of two peers can be compared.
    pub at_us: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen to a peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The room was joined: signalling works, media may not yet.
    Joined,
    /// The SDK has begun to mend the connection, by resuming or joining again.
    Reconnecting,
    /// The connection is mended.
    Reconnected,
    /// The room is over for this peer.
    Disconnected {
        /// As the SDK names it.
        reason: String,
    },
    /// Our track is in the room.
    Published,
    /// The first sample of what there is to say was given to the engine.
    SpeechBegan,
    /// The last one was.
    SpeechEnded,
    /// Somebody's track is heard from now on.
    Subscribed {
        /// Whose.
        from: String,
    },
    /// It is no more.
    Unsubscribed,
    /// The tone listened for is there.
    ToneHeard,
    /// It is not, for 30 ms by now; the time is that of the first frame without.
    ToneGone,
    /// A sentence of the testbed's voice was heard.
    Sentence {
        /// Its words.
        text: String,
        /// Whether all of it was heard.
        complete: bool,
    },
    /// The connection's statistics.
    Stats(Box<Stats>),
    /// The room was left; nothing follows.
    Left,
}

/// The statistics of a peer's audio, of all its connections: the fields of W3C's
/// statistics that say how the media fares. What is not known is zero or absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// The streams received.
    pub inbound: Vec<Inbound>,
    /// The streams sent.
    pub outbound: Vec<Outbound>,
    /// The pairs of candidates in use.
    pub paths: Vec<Path>,
}

/// A stream received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inbound {
    /// Its SSRC.
    pub ssrc: u32,
    /// Packets that came.
    pub packets_received: u64,
    /// Packets that did not.
    pub packets_lost: i64,
    /// Payload bytes.
    pub bytes_received: u64,
    /// Jitter of arrival, in seconds.
    pub jitter: f64,
    /// Total delay in the jitter buffer, in seconds times samples.
    pub jitter_buffer_delay: f64,
    /// Samples that left the jitter buffer.
    pub jitter_buffer_emitted_count: u64,
    /// Samples given out.
    pub total_samples_received: u64,
    /// Samples that were made up.
    pub concealed_samples: u64,
    /// Samples that were made up, and silent.
    pub silent_concealed_samples: u64,
    /// How often making up began.
    pub concealment_events: u64,
}

/// A stream sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outbound {
    /// Its SSRC.
    pub ssrc: u32,
    /// Packets that went.
    pub packets_sent: u64,
    /// Payload bytes.
    pub bytes_sent: u64,
    /// The round trip as the other side's reports tell it, in seconds.
    pub round_trip_time: Option<f64>,
    /// The share lost on the way, as they tell it.
    pub fraction_lost: Option<f64>,
}

/// A pair of candidates in use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Path {
    /// Our end: `udp host 10.0.0.1:4000`.
    pub local: String,
    /// The other end.
    pub remote: String,
    /// The last round trip of a check, in seconds.
    pub current_round_trip_time: f64,
}

/// The time of an [`Event`].
#[must_use]
pub fn now_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    // Enough for half a million years.
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_object() {
        let event = Event {
            at_us: 7,
            what: What::Subscribed {
                from: "alice".to_owned(),
            },
        };
        let text = serde_json::to_string(&event).expect("JSON");
        assert_eq!(text, r#"{"at_us":7,"event":"subscribed","from":"alice"}"#);
        assert_eq!(serde_json::from_str::<Event>(&text).expect("read"), event);
    }

    #[test]
    fn statistics_are_read_as_they_were_written() {
        let event = Event {
            at_us: 7,
            what: What::Stats(Box::new(Stats {
                inbound: vec![Inbound {
                    ssrc: 1,
                    packets_lost: -1,
                    ..Inbound::default()
                }],
                ..Stats::default()
            })),
        };
        let text = serde_json::to_string(&event).expect("JSON");
        assert_eq!(serde_json::from_str::<Event>(&text).expect("read"), event);
    }
}
