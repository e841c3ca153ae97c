//! A caller on the phone, as LiveKit's SIP bridge brings one into a room.
//!
//! The bridge's habits that matter to an agent are kept. The phone rings until
//! somebody publishes an audio track; that is what answers it. A moment later
//! the first packet from the phone makes `sip.callStatus` `active`; what was
//! said before is lost. Leaving alone does not end the call: the room's
//! deletion or the participant's removal does. Source: the bridge's code
//! (`github.com/livekit/sip`, `pkg/sip/inbound.go` and `room.go`).

mod leg;
mod microphone;
mod options;
mod recording;
mod timeline;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use livekit::{Room, RoomOptions};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use self::leg::{Command, Leg};
use self::microphone::Microphone;
pub use self::options::{CallerId, CallerOptions};
pub use self::recording::Mark;
use self::recording::Recording;
pub use self::timeline::{Away, Ended, Ending, Timeline};

/// Samples a second of everything that a caller says and hears, mono. The
/// bridge itself takes part at 48 kHz; half of that holds all that a phone
/// carries, and halves the cost of a hundred callers in one process.
pub const SAMPLE_RATE: u32 = 24_000;

/// Joining a server on this machine takes some 50 ms.
const JOIN_LIMIT: Duration = Duration::from_secs(20);

/// How long [`Caller::hang_up`] waits for the leave, whose parts have bounds of
/// their own.
const HANG_UP_LIMIT: Duration = Duration::from_secs(15);

/// How often a recording is looked at again while something in it is awaited,
/// at most: looking at it can be dear.
const LISTEN_EVERY: Duration = Duration::from_millis(100);

/// Orders that may wait: some entries of keys, and the end of the call.
const COMMANDS: usize = 8;

/// One phone call from the phone's side.
///
/// Dropping it hangs up: the leave then goes on by itself, for at most a few
/// seconds.
pub struct Caller {
    room: String,
    identity: String,
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    /// One task, which outlives us by as long as it takes to leave.
    leg: TaskTracker,
}

/// What the caller and its leg both see.
struct Shared {
    timeline: watch::Sender<Timeline>,
    recording: Mutex<Recording>,
    /// How many samples are recorded: changes wake those who listen.
    recorded: watch::Sender<usize>,
    microphone: Microphone,
    written: Mutex<Vec<Written>>,
}

/// A sentence of the call, as it was written into the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The track that it was said on, by its id.
    pub track: String,
    /// The words.
    pub text: String,
}

impl Caller {
    /// Dials: the room is created with the agent's dispatch, the participant
    /// joins it, and the phone rings.
    ///
    /// # Errors
    /// When the room cannot be joined.
    pub async fn ring(options: CallerOptions) -> anyhow::Result<Self> {
        let call = options.call()?;
        let shared = Arc::new(Shared {
            timeline: watch::Sender::new(Timeline::starting(Instant::now())),
            recording: Mutex::new(Recording::new(SAMPLE_RATE)),
            recorded: watch::Sender::new(0),
            microphone: Microphone::new(SAMPLE_RATE),
            written: Mutex::default(),
        });
        let mut room_options = RoomOptions::default();
        // The bridge subscribes to audio itself, and to nothing else.
        room_options.auto_subscribe = false;
        let connect = Room::connect(&options.url, &call.token, room_options);
        let (room, events) = tokio::time::timeout(JOIN_LIMIT, connect)
            .await
            .with_context(|| format!("the room was not joined in {} s", JOIN_LIMIT.as_secs()))?
            .context("the room cannot be joined")?;
        shared
            .timeline
            .send_modify(|timeline| timeline.joined = Some(Instant::now()));
        let (commands, orders) = mpsc::channel(COMMANDS);
        let leg = TaskTracker::new();
        leg.spawn(Leg::new(room, Arc::clone(&shared), &options).run(events, orders));
        Ok(Self {
            room: call.room,
            identity: call.identity,
            shared,
            commands,
            leg,
        })
    }

    /// The room's name.
    #[must_use]
    pub fn room(&self) -> &str {
        &self.room
    }

    /// The caller's identity in the room: `sip_+1…`.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What has happened so far, and when.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        self.shared.timeline.borrow().clone()
    }

    /// What has happened, to wait for more.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Timeline> {
        self.shared.timeline.subscribe()
    }

    /// Waits until somebody has picked up, and says when.
    ///
    /// # Errors
    /// When nobody has after `limit`, or the call ended while it rang.
    pub async fn wait_answered(&self, limit: Duration) -> anyhow::Result<Instant> {
        self.wait("answered", limit, |timeline| timeline.answered)
            .await
    }

    /// Waits until both sides hear each other, and says since when.
    ///
    /// # Errors
    /// When they do not after `limit`, or the call ended before.
    pub async fn wait_active(&self, limit: Duration) -> anyhow::Result<Instant> {
        self.wait("active", limit, |timeline| timeline.active).await
    }

    /// Waits until an agent is in the room, and says since when.
    ///
    /// # Errors
    /// When none is after `limit`, or the call ended before.
    pub async fn wait_agent(&self, limit: Duration) -> anyhow::Result<Instant> {
        self.wait("joined by an agent", limit, |timeline| {
            timeline.agent_joined
        })
        .await
    }

    /// Waits until the call has ended, and says how.
    ///
    /// # Errors
    /// When it has not after `limit`.
    pub async fn wait_ended(&self, limit: Duration) -> anyhow::Result<Ended> {
        self.wait("over", limit, |timeline| timeline.ended.clone())
            .await
    }

    /// Everything heard since the call became active.
    #[must_use]
    pub fn heard(&self) -> Vec<i16> {
        self.shared.recording.lock().samples().to_vec()
    }

    /// This moment, for [`Self::heard_since`].
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.shared.recording.lock().mark()
    }

    /// Everything heard since then.
    #[must_use]
    pub fn heard_since(&self, mark: Mark) -> Vec<i16> {
        self.shared.recording.lock().since(mark).to_vec()
    }

    /// When something was last heard that was not silence.
    #[must_use]
    pub fn last_sound(&self) -> Option<Instant> {
        self.shared.recording.lock().last_sound()
    }

    /// When the sample at this place of [`Self::heard`] was heard, to within a
    /// few packets.
    #[must_use]
    pub fn heard_at(&self, sample: usize) -> Option<Instant> {
        self.shared.recording.lock().instant_of(sample)
    }

    /// When the first sound since then was heard, to within a few packets.
    #[must_use]
    pub fn sound_since(&self, mark: Mark) -> Option<Instant> {
        self.shared.recording.lock().sound_after(mark)
    }

    /// When the first silence of at least this length since then began, to within a few packets.
    #[must_use]
    pub fn silence_since(&self, mark: Mark, length: Duration) -> Option<Instant> {
        self.shared.recording.lock().silence_after(mark, length)
    }

    /// Waits until what was heard so far is as wanted. The question is asked
    /// again as more is heard, a few times a second, and once at the end of the
    /// call.
    ///
    /// # Errors
    /// When it is not after `limit`, or when the call has ended and it is not.
    pub async fn heard_until(
        &self,
        limit: Duration,
        mut wanted: impl FnMut(&[i16]) -> bool,
    ) -> anyhow::Result<()> {
        let until = tokio::time::Instant::now() + limit;
        let mut recorded = self.shared.recorded.subscribe();
        let mut timeline = self.watch();
        loop {
            // Before listening: what is recorded up to the end must be heard.
            let over = timeline.borrow_and_update().ended.is_some();
            recorded.mark_unchanged();
            if wanted(&self.heard()) {
                return Ok(());
            }
            anyhow::ensure!(
                !over,
                "the call ended before it was heard; {:?}",
                self.timeline()
            );
            let more = async {
                tokio::select! {
                    _ = recorded.changed() => tokio::time::sleep(LISTEN_EVERY).await,
                    _ = timeline.wait_for(|timeline| timeline.ended.is_some()) => (),
                }
            };
            tokio::time::timeout_at(until, more).await.map_err(|_| {
                anyhow::anyhow!(
                    "it was not heard within {} ms; {:?}",
                    limit.as_millis(),
                    self.timeline()
                )
            })?;
        }
    }

    /// Writes everything heard as a WAV file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_wav(&self, path: &Path) -> anyhow::Result<()> {
        let wav = recording::wav(SAMPLE_RATE, &self.heard());
        std::fs::write(path, wav).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Says this (mono, [`SAMPLE_RATE`]) after what is still being said, and
    /// waits until the last of it is on its way, or was cut off by
    /// [`Self::stop_speaking`] or the end of the call. What is said while the
    /// phone still rings is kept for later.
    pub async fn speak(&self, pcm: &[i16]) {
        let spoken = self.shared.microphone.say(pcm);
        let mut timeline = self.watch();
        tokio::select! {
            () = spoken => (),
            _ = timeline.wait_for(|timeline| timeline.ended.is_some()) => (),
        }
    }

    /// As [`Self::speak`], without waiting.
    pub fn start_speaking(&self, pcm: &[i16]) {
        drop(self.shared.microphone.say(pcm));
    }

    /// Falls silent at once.
    pub fn stop_speaking(&self) {
        self.shared.microphone.hush();
    }

    /// Presses keys of the phone, `0`–`9`, `*`, `#`, `A`–`D`; others do not exist.
    pub fn press(&self, keys: &str) {
        // A closed queue: the call is over, and nobody waits for the keys.
        let _ = self.commands.try_send(Command::Press(keys.to_owned()));
    }

    /// What was written of the call so far.
    #[must_use]
    pub fn written(&self) -> Vec<Written> {
        self.shared.written.lock().clone()
    }

    /// Hangs up, and waits until the caller has left the room. Does nothing
    /// when the call is over.
    ///
    /// # Errors
    /// When the leave takes too long.
    pub async fn hang_up(&self) -> anyhow::Result<Ended> {
        // A full queue or a closed one: the call is ending already.
        let _ = self.commands.try_send(Command::HangUp);
        self.wait_ended(HANG_UP_LIMIT).await
    }

    /// Gives up while the phone rings.
    ///
    /// # Errors
    /// When somebody has picked up by now (the call is ended all the same), or
    /// the leave takes too long.
    pub async fn cancel(&self) -> anyhow::Result<Ended> {
        let ended = self.hang_up().await?;
        anyhow::ensure!(
            self.timeline().answered.is_none(),
            "the call was answered before the caller gave up; {:?}",
            self.timeline()
        );
        Ok(ended)
    }

    /// Waits for a value of the timeline.
    async fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        pick: impl Fn(&Timeline) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut timeline = self.watch();
        let decided = timeline.wait_for(|now| pick(now).is_some() || now.ended.is_some());
        let reached = match tokio::time::timeout(limit, decided).await {
            Ok(now) => pick(&*now.context("the leg is gone")?),
            Err(_) => None,
        };
        reached.with_context(|| {
            format!(
                "the call was not {what} within {} ms; {:?}",
                limit.as_millis(),
                self.timeline()
            )
        })
    }

    /// Whether the leg's task has ended, which it does last of all.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.leg.is_empty()
    }
}
