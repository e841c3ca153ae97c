//! The handle of a session: commands in, events out.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{CloseReason, Command, Event, SendError};

/// Commands that may wait for the socket. 20 ms each, so a second of audio: what
/// is older is of no use to a conversation.
pub(crate) const AUDIO_QUEUE: usize = 50;
/// Places in the same queue that audio may not take. A call sends a handful of
/// commands per turn.
pub(crate) const CONTROL_RESERVE: usize = 32;
/// Events that may wait for the call. A burst of the vendor's, which speaks ten
/// times faster than real time, is about this long; then the socket is no longer read.
pub(crate) const EVENT_QUEUE: usize = 128;

/// The way into a session. Cheap to clone; never blocks.
#[derive(Debug, Clone)]
pub struct Sender {
    commands: mpsc::Sender<Command>,
    overflow: CancellationToken,
}

impl Sender {
    /// Hands a command to the session. Audio for which there is no room is
    /// dropped and counted; any other command for which there is no room ends
    /// the session, so that none is lost unnoticed.
    ///
    /// # Errors
    /// When the session is over, or ends now.
    pub fn send(&self, command: Command) -> Result<(), SendError> {
        if matches!(command, Command::AppendAudio(_))
            && self.commands.capacity() <= CONTROL_RESERVE
            && !self.commands.is_closed()
        {
            metrics::counter!("trunkline_realtime_audio_dropped_total").increment(1);
            return Ok(());
        }
        self.commands.try_send(command).map_err(|e| match e {
            TrySendError::Closed(_) => SendError::Closed,
            TrySendError::Full(_) => {
                self.overflow.cancel();
                SendError::Overflow
            }
        })
    }
}

/// What the session's task holds of its handle.
pub(crate) struct TaskEnds {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: mpsc::Sender<Event>,
    /// Cancelled when the handle wants the session closed.
    pub(crate) stop: CancellationToken,
    /// Cancelled when a command did not fit.
    pub(crate) overflow: CancellationToken,
}

/// A session with a model. It owns its task: dropping it cuts the connection,
/// [`Session::close`] ends it politely.
#[derive(Debug)]
pub struct Session {
    model: String,
    sender: Sender,
    events: mpsc::Receiver<Event>,
    task: JoinSet<CloseReason>,
    stop: CancellationToken,
    closed: Option<CloseReason>,
}

impl Session {
    /// Starts the session's task.
    pub(crate) fn start<F>(model: &str, task: impl FnOnce(TaskEnds) -> F) -> Self
    where
        F: Future<Output = CloseReason> + Send + 'static,
    {
        let (commands_in, commands) = mpsc::channel(AUDIO_QUEUE + CONTROL_RESERVE);
        let (events, events_out) = mpsc::channel(EVENT_QUEUE);
        let stop = CancellationToken::new();
        let overflow = CancellationToken::new();
        let ends = TaskEnds {
            commands,
            events,
            stop: stop.clone(),
            overflow: overflow.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(task(ends));
        Self {
            model: model.to_owned(),
            sender: Sender {
                commands: commands_in,
                overflow,
            },
            events: events_out,
            task: tasks,
            stop,
            closed: None,
        }
    }

    /// Whether its connection still stands, as far as is known.
    pub fn is_open(&self) -> bool {
        !self.events.is_closed() && !self.sender.commands.is_closed()
    }

    /// The model that the session was opened with.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Hands a command to the session; see [`Sender::send`].
    ///
    /// # Errors
    /// When the session is over, or ends now.
    pub fn send(&self, command: Command) -> Result<(), SendError> {
        self.sender.send(command)
    }

    /// A way in that another task can hold. It does not keep the session open.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// The next event; [`Event::Closed`] at the end, and again whenever asked
    /// after it. Cancel-safe: no event is lost when the future is dropped.
    pub async fn next(&mut self) -> Event {
        if let Some(event) = self.events.recv().await {
            return event;
        }
        Event::Closed(self.exit().await)
    }

    /// Says goodbye to the vendor, for half a second at most, and ends the task.
    /// Events that were not taken are dropped.
    pub async fn close(mut self) -> CloseReason {
        self.stop.cancel();
        self.events.close();
        self.exit().await
    }

    /// How the task ended. Cancel-safe.
    async fn exit(&mut self) -> CloseReason {
        if let Some(reason) = &self.closed {
            return reason.clone();
        }
        let reason = match self.task.join_next().await {
            Some(Ok(reason)) => reason,
            Some(Err(error)) => {
                tracing::error!(%error, "the task of a model's session crashed");
                CloseReason::Crashed
            }
            None => CloseReason::Crashed,
        };
        metrics::counter!("trunkline_realtime_sessions_closed_total", "reason" => reason.as_label())
            .increment(1);
        self.closed.insert(reason).clone()
    }
}
