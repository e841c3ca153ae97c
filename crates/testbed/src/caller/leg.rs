//! The phone's leg of the call: one task that does what the bridge does.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use livekit::options::TrackPublishOptions;
use livekit::participant::ParticipantKind;
use livekit::prelude::{
    LocalAudioTrack, LocalParticipant, LocalTrack, RemoteAudioTrack, RemoteParticipant,
    RemoteTrack, RemoteTrackPublication, Room, RoomEvent, SipDTMF, TrackKind, TrackSid,
    TrackSource,
};
use livekit::webrtc::audio_source::RtcAudioSource;
use livekit::webrtc::audio_stream::native::{NativeAudioStream, NativeAudioStreamOptions};
use livekit::{StreamReader as _, TextStreamReader};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::recording::{Level, Voice};
use super::timeline::{Away, Ended, Ending};
use super::{CallerOptions, SAMPLE_RATE, Shared, Written};

/// Telling the room of the new status takes one round trip on this machine.
const STATUS_LIMIT: Duration = Duration::from_secs(2);

/// Leaving takes one round trip too, and the media engine's goodbye.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);

/// Publishing takes a negotiation: some 200 ms.
const PUBLISH_LIMIT: Duration = Duration::from_secs(20);

/// Frames of 10 ms that may wait for a busy machine without being lost: 2 s.
const LISTEN_QUEUE_FRAMES: usize = 200;

/// The topic of what is written of a call.
const TRANSCRIPTION: &str = "lk.transcription";

/// The keys of a phone, by their codes. Source: RFC 4733, section 3.2.
const KEYS: &str = "0123456789*#ABCD";

/// What the caller can do.
#[derive(Clone, Debug)]
pub(super) enum Command {
    HangUp,
    /// Keys of the phone, one after the other.
    Press(String),
}

/// How far the call has come.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Until then, at most.
    Ringing {
        until: Instant,
    },
    /// `200 OK` was sent; the phone's first packet comes then.
    Answered {
        first_packet: Instant,
    },
    Active,
}

enum Input {
    /// Boxed: events are large, the rest is nothing.
    Room(Box<RoomEvent>),
    RoomGone,
    HangUp,
    Press(String),
    Time,
    Task,
}

/// What a call's helper tasks come to.
enum Done {
    Published(anyhow::Result<()>),
    Other,
}

pub(super) struct Leg {
    room: Room,
    shared: Arc<Shared>,
    state: State,
    active_after: Duration,
    tasks: JoinSet<Done>,
    /// The ears, by the track that they listen to.
    ears: HashMap<TrackSid, AbortHandle>,
}

impl Leg {
    pub(super) fn new(room: Room, shared: Arc<Shared>, options: &CallerOptions) -> Self {
        let state = State::Ringing {
            until: Instant::now() + options.ringing_timeout,
        };
        Self {
            room,
            shared,
            state,
            active_after: options.active_after,
            tasks: JoinSet::new(),
            ears: HashMap::new(),
        }
    }

    /// The whole call.
    pub(super) async fn run(
        mut self,
        mut events: mpsc::UnboundedReceiver<RoomEvent>,
        mut orders: mpsc::Receiver<Command>,
    ) {
        let shared = Arc::clone(&self.shared);
        let _last_word = LastWord(&shared);
        let participant = self.room.local_participant();
        let source = RtcAudioSource::Native(self.shared.microphone.source());
        let track = LocalAudioTrack::create_audio_track("phone", source);
        self.tasks
            .spawn(async move { Done::Published(publish(participant, track).await) });

        let mut failed = None;
        let how = loop {
            let deadline = self.deadline();
            let input = tokio::select! {
                event = events.recv() => {
                    event.map_or(Input::RoomGone, |event| Input::Room(Box::new(event)))
                },
                order = orders.recv() => match order {
                    Some(Command::Press(keys)) => Input::Press(keys),
                    // None: the caller was dropped.
                    Some(Command::HangUp) | None => Input::HangUp,
                },
                () = sleep_until(deadline) => Input::Time,
                Some(done) = self.tasks.join_next() => {
                    if let Ok(Done::Published(Err(error))) = done {
                        failed = Some(format!("{error:#}"));
                    }
                    Input::Task
                }
            };
            if let Some(error) = failed.take() {
                break Ending::Lost(error);
            }
            if let Some(how) = self.handle(input) {
                break how;
            }
        };
        self.end(how).await;
    }

    /// When the next thing happens by itself.
    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Ringing { until } => Some(until),
            State::Answered { first_packet } => Some(first_packet),
            State::Active => None,
        }
    }

    /// What one input changes; the end of the call, if it is that.
    fn handle(&mut self, input: Input) -> Option<Ending> {
        match (input, self.state) {
            (Input::HangUp, State::Ringing { .. }) => return Some(Ending::GaveUp),
            (Input::HangUp, State::Answered { .. } | State::Active) => {
                return Some(Ending::HungUp);
            }
            (Input::RoomGone, _) => return Some(Ending::Lost("the room's events ended".into())),
            (Input::Time, State::Ringing { .. }) => return Some(Ending::RangOut),
            (Input::Time, State::Answered { .. }) => self.become_active(),
            (Input::Press(keys), _) => self.press(keys),
            (Input::Time, State::Active) | (Input::Task, _) => (),
            (Input::Room(event), _) => return self.room_event(*event),
        }
        None
    }

    fn room_event(&mut self, event: RoomEvent) -> Option<Ending> {
        match event {
            RoomEvent::Connected {
                participants_with_tracks,
            } => {
                for (participant, publications) in participants_with_tracks {
                    self.joined(&participant);
                    for publication in publications {
                        self.published(&publication);
                    }
                }
            }
            RoomEvent::ParticipantConnected(participant) => self.joined(&participant),
            RoomEvent::TrackPublished { publication, .. } => self.published(&publication),
            RoomEvent::TrackSubscribed {
                track: RemoteTrack::Audio(track),
                publication,
                ..
            } => {
                self.listen(publication.sid(), track);
                self.answer();
            }
            RoomEvent::TrackUnsubscribed { publication, .. } => {
                if let Some(ear) = self.ears.remove(&publication.sid()) {
                    ear.abort();
                }
            }
            RoomEvent::TextStreamOpened { reader, topic, .. } if topic == TRANSCRIPTION => {
                if let Some(reader) = reader.take() {
                    let shared = Arc::clone(&self.shared);
                    self.tasks.spawn(async move {
                        read(&shared, reader).await;
                        Done::Other
                    });
                }
            }
            RoomEvent::Reconnecting => self.line_lost(),
            RoomEvent::Reconnected => self.line_found(),
            RoomEvent::Disconnected { reason } => return Some(reason.into()),
            _ => (),
        }
        None
    }

    fn line_lost(&self) {
        let away = Away {
            from: Instant::now(),
            to: None,
        };
        self.shared
            .timeline
            .send_modify(|timeline| timeline.away.push(away));
    }

    fn line_found(&self) {
        let now = Instant::now();
        self.shared.timeline.send_modify(|timeline| {
            if let Some(away) = timeline.away.last_mut() {
                away.to.get_or_insert(now);
            }
        });
    }

    fn joined(&self, participant: &RemoteParticipant) {
        if participant.kind() == ParticipantKind::Agent {
            let now = Instant::now();
            self.shared.timeline.send_modify(|timeline| {
                timeline.agent_joined.get_or_insert(now);
            });
        }
    }

    fn published(&mut self, publication: &RemoteTrackPublication) {
        if publication.kind() != TrackKind::Audio {
            return;
        }
        publication.set_subscribed(true);
        let now = Instant::now();
        self.shared.timeline.send_modify(|timeline| {
            timeline.published.get_or_insert(now);
        });
    }

    /// The first audio track answers the phone. The bridge does not wait for
    /// the subscription to be complete; but its own is quicker than the phone's
    /// first packet, which ours need not be, and then the caller would miss
    /// what no phone would have missed.
    fn answer(&mut self) {
        if let State::Ringing { .. } = self.state {
            let now = Instant::now();
            self.state = State::Answered {
                first_packet: now + self.active_after,
            };
            self.shared
                .timeline
                .send_modify(|timeline| timeline.answered = Some(now));
        }
    }

    fn become_active(&mut self) {
        let now = Instant::now();
        self.state = State::Active;
        self.shared.recording.lock().open(now);
        self.shared
            .timeline
            .send_modify(|timeline| timeline.active = Some(now));
        let participant = self.room.local_participant();
        self.tasks.spawn(async move {
            set_status(&participant, "active").await;
            Done::Other
        });
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            shared.microphone.run().await;
            Done::Other
        });
    }

    /// The phone's keypad, as the bridge tells the room of it.
    fn press(&mut self, keys: String) {
        let participant = self.room.local_participant();
        self.tasks.spawn(async move {
            for key in keys.chars() {
                let Some(code) = KEYS.find(key) else { continue };
                let key = SipDTMF {
                    code: code as u32,
                    digit: key.to_string(),
                    destination_identities: Vec::new(),
                };
                if let Err(error) = participant.publish_dtmf(key).await {
                    tracing::warn!("a key was not told: {error}");
                }
            }
            Done::Other
        });
    }

    fn listen(&mut self, sid: TrackSid, track: RemoteAudioTrack) {
        let shared = Arc::clone(&self.shared);
        let ear = self.tasks.spawn(async move {
            hear(&shared, track).await;
            Done::Other
        });
        if let Some(before) = self.ears.insert(sid, ear) {
            before.abort();
        }
    }

    async fn end(mut self, how: Ending) {
        let at = Instant::now();
        self.tasks.shutdown().await;
        if let Ending::HungUp | Ending::GaveUp | Ending::RangOut = how {
            set_status(&self.room.local_participant(), "hangup").await;
        }
        // An error means that the room is closed already.
        match tokio::time::timeout(LEAVE_LIMIT, self.room.close()).await {
            Ok(Ok(()) | Err(_)) => (),
            Err(_) => tracing::warn!("the caller did not get out of the room in time"),
        }
        self.shared
            .timeline
            .send_modify(|timeline| timeline.ended = Some(Ended { at, how }));
    }
}

/// Whatever becomes of the leg, a panic included, nobody waits for it in vain.
struct LastWord<'a>(&'a Shared);

impl Drop for LastWord<'_> {
    fn drop(&mut self) {
        self.0.timeline.send_if_modified(|timeline| {
            let unsaid = timeline.ended.is_none();
            timeline.ended.get_or_insert_with(|| Ended {
                at: Instant::now(),
                how: Ending::Lost("the leg ended in disorder".to_owned()),
            });
            unsaid
        });
    }
}

/// Publishes the caller's voice, as the bridge does while the phone rings. It
/// stays without packets until the call is active.
async fn publish(participant: LocalParticipant, track: LocalAudioTrack) -> anyhow::Result<()> {
    let options = TrackPublishOptions {
        source: TrackSource::Microphone,
        // A phone's packets come whether there is speech in them or not.
        dtx: false,
        red: false,
        ..Default::default()
    };
    let published = participant.publish_track(LocalTrack::Audio(track), options);
    match tokio::time::timeout(PUBLISH_LIMIT, published).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(anyhow::Error::new(error).context("the voice was not published")),
        Err(_) => anyhow::bail!(
            "the voice was not published in {} s",
            PUBLISH_LIMIT.as_secs()
        ),
    }
}

async fn set_status(participant: &LocalParticipant, status: &str) {
    let attributes = HashMap::from([("sip.callStatus".to_owned(), status.to_owned())]);
    let set = participant.set_attributes(attributes);
    match tokio::time::timeout(STATUS_LIMIT, set).await {
        Ok(Ok(())) => (),
        Ok(Err(error)) => tracing::warn!(status, "the call's status was not set: {error}"),
        Err(_) => tracing::warn!(status, "the call's status was not set in time"),
    }
}

/// Reads what is written of the call, to its end.
async fn read(shared: &Shared, reader: TextStreamReader) {
    let track = reader
        .info()
        .attributes()
        .get("lk.transcribed_track_id")
        .cloned();
    if let Ok(text) = reader.read_all().await {
        let track = track.unwrap_or_default();
        shared.written.lock().push(Written { track, text });
    }
}

/// Hears a track to its end.
async fn hear(shared: &Shared, track: RemoteAudioTrack) {
    let options = NativeAudioStreamOptions {
        queue_size_frames: Some(LISTEN_QUEUE_FRAMES),
    };
    let rate = SAMPLE_RATE.cast_signed();
    let mut frames = pin!(NativeAudioStream::with_options(
        track.rtc_track(),
        rate,
        1,
        options
    ));
    let mut voice = Voice::default();
    while let Some(frame) = frames.next().await {
        let now = Instant::now();
        let (level, recorded) = {
            let mut recording = shared.recording.lock();
            let level = recording.hear(&mut voice, now, &frame.data);
            (level, recording.samples().len())
        };
        if level == Some(Level::Sound) {
            shared.timeline.send_if_modified(|timeline| {
                let first = timeline.first_sound.is_none();
                timeline.first_sound.get_or_insert(now);
                first
            });
        }
        shared.recorded.send_replace(recorded);
    }
}

/// Never, when there is nothing to wait for.
async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
