//! The task of one session: it owns the socket and the codec, and waits in one place.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::time::Duration;

use futures_util::{Sink, Stream};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::codec::{Codec, Output};
use crate::liveness::{Check, Liveness, Progress, Waits};
use crate::session::TaskEnds;
use crate::socket::{Happened, Read, Socket};
use crate::text::Cleaner;
use crate::{CloseReason, Command, Event, Options};

/// How often the session looks whether the vendor is still there.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Shorter pings than this are for tests.
const SHORTEST_CHECK: Duration = Duration::from_millis(10);
/// How long a goodbye may take. Nobody waits for its answer.
const GOODBYE_LIMIT: Duration = Duration::from_millis(500);

/// A session that has begun.
pub(crate) struct Running<S> {
    pub(crate) socket: Socket<S>,
    pub(crate) codec: Box<dyn Codec>,
    pub(crate) cleaner: Cleaner,
    /// Events that wait for the call. Not more than one message's while the
    /// socket is not read; see [`Running::run`].
    pub(crate) events: VecDeque<Event>,
}

enum Input {
    Stop(CloseReason),
    Socket(Happened),
    Command(Command),
    Delivered,
    Check,
}

impl<S> Running<S>
where
    S: Stream<Item = Result<Message, Error>> + Sink<Message, Error = Error> + Unpin,
{
    /// Runs the session to its end.
    pub(crate) async fn run(mut self, options: Options, ends: TaskEnds) -> CloseReason {
        let mut commands = Some(ends.commands);
        let mut live = Liveness::new(&options, Instant::now());
        let mut checks = interval(
            options
                .ping_interval()
                .clamp(SHORTEST_CHECK, CHECK_INTERVAL),
        );
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let reason = loop {
            let read = if self.events.is_empty() {
                Read::Yes
            } else {
                Read::No
            };
            let input = tokio::select! {
                biased;
                () = ends.stop.cancelled() => Input::Stop(CloseReason::Requested),
                () = ends.overflow.cancelled() => Input::Stop(CloseReason::Overflow),
                place = ends.events.reserve(), if read == Read::No => {
                    self.deliver(place)
                }
                _ = checks.tick() => Input::Check,
                // Before the socket: what is said to the vendor must not wait for
                // a vendor that never stops talking, nor can it hold up the socket,
                // since there is room for a few messages only.
                command = receive(&mut commands), if self.socket.has_room() => {
                    Input::Command(command)
                }
                happened = poll_fn(|cx| self.socket.poll(read, cx)) => Input::Socket(happened),
            };
            let mut progress = Progress::None;
            let end = match input {
                Input::Stop(reason) => break reason,
                Input::Command(command) => self.command(command),
                Input::Socket(Happened::Received(message)) => {
                    live.heard(Instant::now());
                    self.received(message)
                }
                Input::Socket(Happened::Sent) => {
                    progress = Progress::Some;
                    None
                }
                Input::Socket(Happened::Ended(error)) => Some(self.ended(error)),
                Input::Delivered => None,
                Input::Check => match live.check(Instant::now()) {
                    Check::Nothing => None,
                    Check::Ping => {
                        self.socket.push(Message::Ping(bytes::Bytes::new()));
                        None
                    }
                    Check::GiveUp(reason) => Some(reason),
                },
            };
            if let Some(reason) = end {
                break reason;
            }
            let now = Instant::now();
            let behind = self.socket.is_behind();
            live.sending(if behind { Waits::Yes } else { Waits::No }, progress, now);
            let waits = !self.events.is_empty();
            live.delivering(if waits { Waits::Yes } else { Waits::No }, now);
        };
        self.end(reason, &ends.events).await
    }

    /// What came before the end is still handed over, and the vendor is told.
    async fn end(mut self, reason: CloseReason, events: &mpsc::Sender<Event>) -> CloseReason {
        tracing::debug!(%reason, "the model's session ends");
        let goodbye = async {
            while let Some(event) = self.events.pop_front() {
                if events.send(event).await.is_err() {
                    break;
                }
            }
            match reason {
                CloseReason::Lost { .. } | CloseReason::Silent | CloseReason::Stuck => {}
                // A vendor that is gone already cannot be greeted; that is no news.
                _ => drop(self.socket.finish().await),
            }
        };
        // The limit over, the socket is cut.
        timeout(GOODBYE_LIMIT, goodbye).await.ok();
        reason
    }

    fn deliver(
        &mut self,
        place: Result<mpsc::Permit<'_, Event>, mpsc::error::SendError<()>>,
    ) -> Input {
        match place {
            Ok(place) => {
                if let Some(event) = self.events.pop_front() {
                    place.send(event);
                }
                Input::Delivered
            }
            // The handle is closed or gone: nobody wants the session any more.
            Err(_) => Input::Stop(CloseReason::Requested),
        }
    }

    fn command(&mut self, command: Command) -> Option<CloseReason> {
        let mut out = Output::default();
        self.codec.command(command, &mut out);
        self.take(out)
    }

    fn received(&mut self, message: Message) -> Option<CloseReason> {
        match message {
            Message::Text(text) => {
                let mut out = Output::default();
                self.codec.text(text.as_str(), &mut out);
                self.take(out)
            }
            Message::Binary(_) => {
                let error = self.cleaner.garbage("a binary message");
                self.events.push_back(Event::Warning(error));
                None
            }
            Message::Close(frame) => Some(closed(frame, &self.cleaner)),
            // Pings are answered by the socket itself.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => None,
        }
    }

    fn take(&mut self, out: Output) -> Option<CloseReason> {
        for message in out.messages {
            self.socket.push(Message::text(message));
        }
        self.events.extend(out.events);
        out.end
    }

    fn ended(&self, error: Option<Error>) -> CloseReason {
        match error {
            Some(error) => CloseReason::Lost {
                problem: self.cleaner.message(&error.to_string()),
            },
            None => closed(None, &self.cleaner),
        }
    }
}

/// The next command. Waits for ever when no command can come any more: the end
/// of the session is told by its token, not by its queue.
async fn receive(commands: &mut Option<mpsc::Receiver<Command>>) -> Command {
    if let Some(queue) = commands {
        if let Some(command) = queue.recv().await {
            return command;
        }
        *commands = None;
    }
    std::future::pending().await
}

/// How the vendor closed.
pub(crate) fn closed(
    frame: Option<tokio_tungstenite::tungstenite::protocol::CloseFrame>,
    cleaner: &Cleaner,
) -> CloseReason {
    CloseReason::Peer {
        code: frame.as_ref().map(|frame| frame.code.into()),
        text: frame.map_or_else(String::new, |frame| cleaner.message(&frame.reason)),
    }
}
