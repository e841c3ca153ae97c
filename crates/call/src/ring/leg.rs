//! The phone's leg of a test call: does what the bridge does.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use livekit::options::TrackPublishOptions;
use livekit::participant::ParticipantKind;
use livekit::prelude::*;
use livekit::webrtc::audio_source::RtcAudioSource;
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ear::{Ear, Level};
use super::mouth::Mouth;
use super::{HEARD_RATE, RingEnd, RingNews, RingOptions, RingOutcome};

/// From 200 OK to a phone's first packet: 20 to 130 ms were measured.
const ACTIVE_AFTER: Duration = Duration::from_millis(60);
/// Telling the room of a new status takes one round trip.
const STATUS_LIMIT: Duration = Duration::from_secs(2);
/// Leaving takes one round trip too, and the media engine's goodbye.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);
/// Publishing takes a negotiation: some 200 ms.
const PUBLISH_LIMIT: Duration = Duration::from_secs(10);
/// A caller speaks when the greeting has ended: a pause within one is shorter.
const END_OF_GREETING: Duration = Duration::from_millis(1_200);
/// "Hello?": how long a caller waits for a greeting.
const NO_GREETING: Duration = Duration::from_secs(5);
/// Words from the helper tasks: one each at most.
const HELPER_QUEUE: usize = 4;

/// How far the call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ringing { until: Instant },
    Answered { first_packet: Instant },
    Active { until: Instant },
}

/// What the helper tasks tell.
enum Helper {
    NotPublished(String),
    Spoken,
}

enum Input {
    /// Boxed: events are large, the rest is nothing.
    Room(Box<RoomEvent>),
    RoomGone,
    Frame(Vec<i16>),
    EndOfTrack,
    Helper(Helper),
    Time,
    Stop,
}

pub(super) struct Leg {
    room: Room,
    room_name: String,
    dialled: Instant,
    state: State,
    call_limit: Duration,
    mouth: Option<Mouth>,
    ear: Ear,
    /// When it is the caller's turn to speak, as things stand.
    turn: watch::Sender<Instant>,
    voice: Option<NativeAudioStream>,
    timeline: Vec<(Duration, RingNews)>,
    news: mpsc::Sender<(Duration, RingNews)>,
    helpers: JoinSet<()>,
    to_us: mpsc::Sender<Helper>,
    from_helpers: mpsc::Receiver<Helper>,
}

impl Leg {
    pub(super) fn new(
        room: Room,
        room_name: &str,
        options: RingOptions,
        dialled: Instant,
        news: mpsc::Sender<(Duration, RingNews)>,
    ) -> Self {
        let (to_us, from_helpers) = mpsc::channel(HELPER_QUEUE);
        Self {
            room,
            room_name: room_name.to_owned(),
            dialled,
            state: State::Ringing {
                until: Instant::now() + options.ringing_limit,
            },
            call_limit: options.call_limit,
            mouth: Some(Mouth::new(options.speech)),
            ear: Ear::default(),
            turn: watch::Sender::new(dialled),
            voice: None,
            timeline: Vec::new(),
            news,
            helpers: JoinSet::new(),
            to_us,
            from_helpers,
        }
    }

    pub(super) async fn run(
        mut self,
        mut events: UnboundedReceiver<RoomEvent>,
        stop: CancellationToken,
    ) -> RingOutcome {
        self.tell(RingNews::Ringing {
            room: self.room_name.clone(),
        });
        self.publish();
        let end = loop {
            let deadline = match self.state {
                State::Ringing { until } | State::Active { until } => until,
                State::Answered { first_packet } => first_packet,
            };
            let input = tokio::select! {
                () = stop.cancelled() => Input::Stop,
                event = events.recv() => {
                    event.map_or(Input::RoomGone, |event| Input::Room(Box::new(event)))
                }
                frame = next_frame(&mut self.voice) => frame,
                // We hold a sender: it does not end.
                Some(word) = self.from_helpers.recv() => Input::Helper(word),
                () = tokio::time::sleep_until(deadline.into()) => Input::Time,
            };
            if let Some(end) = self.handle(input) {
                break end;
            }
        };
        self.leave(&end).await;
        self.tell(RingNews::Ended(end.clone()));
        RingOutcome {
            timeline: self.timeline,
            end,
            sound: self.ear.into_samples(),
        }
    }

    /// What one input changes; the call's end, if it is that.
    fn handle(&mut self, input: Input) -> Option<RingEnd> {
        match (input, self.state) {
            (Input::Stop, _) => return Some(RingEnd::Interrupted),
            (Input::RoomGone, _) => {
                return Some(RingEnd::Lost("the room's events ended".to_owned()));
            }
            (Input::Helper(Helper::NotPublished(problem)), _) => {
                return Some(RingEnd::Lost(problem));
            }
            (Input::Helper(Helper::Spoken), _) => self.tell(RingNews::Spoken),
            (Input::Time, State::Ringing { .. }) => return Some(RingEnd::RangOut),
            (Input::Time, State::Active { .. }) => return Some(RingEnd::TimeUp),
            (Input::Time, State::Answered { .. }) => self.become_active(),
            (Input::Frame(pcm), _) => {
                let now = Instant::now();
                if self.ear.hear(now, &pcm) == Level::Sound {
                    self.turn.send_replace(now + END_OF_GREETING);
                    if !self.was_told(&RingNews::FirstSound) {
                        self.tell(RingNews::FirstSound);
                    }
                }
            }
            (Input::EndOfTrack, _) => self.voice = None,
            (Input::Room(event), _) => return self.room_event(*event),
        }
        None
    }

    fn room_event(&mut self, event: RoomEvent) -> Option<RingEnd> {
        match event {
            RoomEvent::Connected {
                participants_with_tracks,
            } => {
                for (participant, publications) in participants_with_tracks {
                    self.joined(&participant);
                    publications.iter().for_each(subscribe);
                }
            }
            RoomEvent::ParticipantConnected(participant) => self.joined(&participant),
            RoomEvent::TrackPublished { publication, .. } => subscribe(&publication),
            RoomEvent::TrackSubscribed {
                track: RemoteTrack::Audio(track),
                ..
            } => {
                let rate = HEARD_RATE.cast_signed();
                self.voice = Some(NativeAudioStream::new(track.rtc_track(), rate, 1));
                // The bridge answers as the track is published; its own subscription is quicker
                // than a phone's first packet, which ours need not be.
                if let State::Ringing { .. } = self.state {
                    self.state = State::Answered {
                        first_packet: Instant::now() + ACTIVE_AFTER,
                    };
                    self.tell(RingNews::Answered);
                }
            }
            RoomEvent::Disconnected { reason } => {
                return Some(match reason {
                    livekit::DisconnectReason::ParticipantRemoved
                    | livekit::DisconnectReason::RoomDeleted => RingEnd::AgentHungUp,
                    other => RingEnd::Lost(other.as_str_name().to_owned()),
                });
            }
            _ => {}
        }
        None
    }

    fn joined(&mut self, participant: &RemoteParticipant) {
        if participant.kind() == ParticipantKind::Agent && !self.was_told(&RingNews::AgentJoined) {
            self.tell(RingNews::AgentJoined);
        }
    }

    fn become_active(&mut self) {
        let now = Instant::now();
        self.state = State::Active {
            until: now + self.call_limit,
        };
        self.ear.open(now);
        self.tell(RingNews::Active);
        let participant = self.room.local_participant();
        self.helpers
            .spawn(async move { set_status(&participant, "active").await });
        self.turn.send_replace(now + NO_GREETING);
        if let Some(mouth) = self.mouth.take() {
            let to_us = self.to_us.clone();
            self.helpers
                .spawn(mouth.run(self.turn.subscribe(), move || {
                    // Full only when the call is ending.
                    let _ = to_us.try_send(Helper::Spoken);
                }));
        }
    }

    /// Publishes the caller's voice, as the bridge does while the phone rings. It stays without
    /// packets until the call is active.
    fn publish(&mut self) {
        let Some(mouth) = &self.mouth else { return };
        let source = RtcAudioSource::Native(mouth.source());
        let track = LocalAudioTrack::create_audio_track("phone", source);
        let participant = self.room.local_participant();
        let to_us = self.to_us.clone();
        self.helpers.spawn(async move {
            let options = TrackPublishOptions {
                source: TrackSource::Microphone,
                // A phone's packets come whether there is speech in them or not.
                dtx: false,
                red: false,
                ..Default::default()
            };
            let published = participant.publish_track(LocalTrack::Audio(track), options);
            let problem = match tokio::time::timeout(PUBLISH_LIMIT, published).await {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => format!("the caller's voice was not published: {error}"),
                Err(_) => format!(
                    "the caller's voice was not published within {} s: no media connection",
                    PUBLISH_LIMIT.as_secs()
                ),
            };
            // Full only when the call is ending.
            let _ = to_us.try_send(Helper::NotPublished(problem));
        });
    }

    async fn leave(&mut self, end: &RingEnd) {
        self.helpers.shutdown().await;
        if let RingEnd::TimeUp | RingEnd::Interrupted | RingEnd::RangOut = end {
            set_status(&self.room.local_participant(), "hangup").await;
        }
        // An error means that the room is closed already.
        if tokio::time::timeout(LEAVE_LIMIT, self.room.close())
            .await
            .is_err()
        {
            tracing::warn!("the caller did not get out of the room in time");
        }
    }

    fn tell(&mut self, news: RingNews) {
        let entry = (self.dialled.elapsed(), news);
        // Nobody takes them, or not quickly enough: they are in the outcome.
        let _ = self.news.try_send(entry.clone());
        self.timeline.push(entry);
    }

    fn was_told(&self, news: &RingNews) -> bool {
        self.timeline.iter().any(|(_, told)| told == news)
    }
}

fn subscribe(publication: &RemoteTrackPublication) {
    if publication.kind() == TrackKind::Audio {
        publication.set_subscribed(true);
    }
}

async fn next_frame(voice: &mut Option<NativeAudioStream>) -> Input {
    match voice {
        Some(frames) => match frames.next().await {
            Some(frame) => Input::Frame(frame.data.into_owned()),
            None => Input::EndOfTrack,
        },
        None => std::future::pending().await,
    }
}

async fn set_status(participant: &LocalParticipant, status: &str) {
    let attributes = HashMap::from([("sip.callStatus".to_owned(), status.to_owned())]);
    let set = participant.set_attributes(attributes);
    match tokio::time::timeout(STATUS_LIMIT, set).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(status, "the call's status was not set: {error}"),
        Err(_) => tracing::debug!(status, "the call's status was not set in time"),
    }
}
