//! One worker under one agent name: connects, registers, serves, and reconnects for ever.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use metrics::counter;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;
use trunkline_call::Assignment;
use trunkline_domain::{AgentName, CallId, Tenant};
use url::Url;

use crate::desk::{CallDesk, JobEvent, JobLine, Permit};
use crate::load::LoadMeter;
use crate::options::Options;
use crate::probe;
use crate::protocol::{self, AssignedJob, Registration};
use crate::pulse::Pulse;
use crate::queue::Urgency;
use crate::refusals::Tally;
use crate::session::{Admission, CloseReason, Entry, Input, Output, Refusal, Session, Vacancy};
use crate::socket::{ConnectError, Connector, Recovery, Socket, chain};
use crate::state::{StateCell, WorkerState};
use crate::turnstile::{Turn, Turnstile};

/// How long a connection attempt counts against
/// [`Options::concurrent_connects`]. What it costs us (TLS) is over by then; a
/// host that swallows packets must not hold up the others. Against its host it
/// counts to its end.
const PACED_FOR: Duration = Duration::from_secs(1);

/// How long the socket may refuse what we write. Status reports have some
/// hundred bytes: a peer that leaves them unread for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the workers of a process share. Cheap to clone.
#[derive(Clone)]
pub struct WorkerContext {
    options: Arc<Options>,
    connector: Connector,
    load: LoadMeter,
    turnstile: Turnstile,
}

impl WorkerContext {
    /// What all workers share. The options are taken as validated.
    pub fn new(options: Options, connector: Connector) -> Self {
        Self {
            load: LoadMeter::new(options.max_calls()),
            turnstile: Turnstile::new(
                options.concurrent_connects.max(1),
                options.concurrent_connects_per_host.max(1),
            ),
            options: Arc::new(options),
            connector,
        }
    }

    /// The load of the process.
    pub fn load(&self) -> &LoadMeter {
        &self.load
    }

    /// Measures what the process has left, until told to stop. Without it offers
    /// are refused by counts alone.
    pub async fn watch_headroom(self, stop: CancellationToken) {
        probe::run(self.load, self.options.thresholds(), stop).await;
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }
}

/// Why a worker's run ended. Nothing that happens outside ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerExit {
    /// It was told to drain, and the jobs of its connection are over.
    Drained,
    /// It was told to stop.
    Stopped,
}

/// The orders that end a worker.
#[derive(Debug, Clone, Default)]
pub struct WorkerOrders {
    /// No more jobs; leave when those of the connection are over.
    pub drain: CancellationToken,
    /// Leave now. Calls go on, at the desk.
    pub stop: CancellationToken,
}

/// One registration of a tenant, under one of its agent names.
pub(crate) struct Worker {
    context: WorkerContext,
    agent_name: AgentName,
    tenant: watch::Receiver<Arc<Tenant>>,
    desk: CallDesk,
    state: StateCell,
    pulse: Pulse,
    urgency: Urgency,
}

/// Why a worker starts "in a moment" and not now.
const WAITING: &str = "waiting for its turn";

/// How a connection ended.
enum Ended {
    Exit(WorkerExit),
    Lost { reason: String },
}

impl Worker {
    /// A worker. Every later version of the tenant that comes by `tenant` is to
    /// have the same registration; it applies to the next call and the next offer.
    pub(crate) fn new(
        context: WorkerContext,
        agent_name: AgentName,
        tenant: watch::Receiver<Arc<Tenant>>,
        desk: CallDesk,
        state: StateCell,
        pulse: Pulse,
        urgency: Urgency,
    ) -> Self {
        Self {
            context,
            agent_name,
            tenant,
            desk,
            state,
            pulse,
            urgency,
        }
    }

    /// Serves until it is told to end.
    pub(crate) async fn run(mut self, orders: WorkerOrders) -> WorkerExit {
        let options = Arc::clone(&self.context.options);
        let healthy_after = Duration::from_millis(options.healthy_after_ms);
        // Failures since the worker last was well: of any kind, and of the credentials.
        let (mut failures, mut refusals) = (0_u32, 0_u32);
        let mut last_reason = None;
        loop {
            let tenant = Arc::clone(&self.tenant.borrow_and_update());
            let connected = tokio::select! {
                biased;
                () = orders.stop.cancelled() => return WorkerExit::Stopped,
                () = orders.drain.cancelled() => return WorkerExit::Drained,
                connected = self.connect(&tenant, failures) => connected,
            };
            self.urgency = Urgency::InTurn;
            let (cause, reason, recovery) = match connected {
                Ok(socket) => {
                    refusals = 0;
                    let begun = Instant::now();
                    match self.serve(socket, &tenant, &orders).await {
                        Ended::Exit(exit) => return exit,
                        // With the socket goes the server's memory of our jobs:
                        // there is nothing left to drain.
                        Ended::Lost { .. } if orders.drain.is_cancelled() => {
                            return WorkerExit::Drained;
                        }
                        Ended::Lost { reason } => {
                            if begun.elapsed() >= healthy_after {
                                failures = 0;
                                last_reason = None;
                            }
                            ("lost", reason, Recovery::Retry)
                        }
                    }
                }
                Err(error) => (error.as_str(), chain(&error), error.recovery()),
            };
            let delay = match recovery {
                Recovery::Retry => options.retry().delay(failures, &mut rand::rng()),
                Recovery::RetrySlowly => options.refused().delay(refusals, &mut rand::rng()),
            };
            failures = failures.saturating_add(1);
            let retry_at = Utc::now() + delay;
            let delay_ms = delay.as_millis();
            // Once for each outage and each new reason; not for each of its attempts.
            if last_reason.as_ref() != Some(&reason) {
                tracing::warn!(delay_ms, reason, "no worker connection");
                last_reason = Some(reason.clone());
            } else {
                tracing::debug!(delay_ms, reason, attempt = failures, "still no connection");
            }
            counter!("trunkline_worker_connect_failures_total", "cause" => cause).increment(1);
            self.state.set(match recovery {
                Recovery::Retry => WorkerState::BackingOff {
                    attempt: failures,
                    retry_at,
                    reason,
                },
                Recovery::RetrySlowly => {
                    refusals = refusals.saturating_add(1);
                    WorkerState::CredentialsRefused {
                        attempt: refusals,
                        retry_at,
                        reason,
                    }
                }
            });
            self.pulse.back_by(Instant::now() + delay);
            tokio::select! {
                biased;
                () = orders.stop.cancelled() => return WorkerExit::Stopped,
                () = orders.drain.cancelled() => return WorkerExit::Drained,
                // The row changed: whatever was wrong may have been mended.
                () = changed(&mut self.tenant) => self.urgency = Urgency::Changed,
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    /// Opens the socket, when it is this worker's turn.
    async fn connect(&self, tenant: &Tenant, failures: u32) -> Result<Socket, ConnectError> {
        let mut turn = self.turn(tenant, failures).await;
        self.state
            .set(WorkerState::Connecting { attempt: failures });
        let deadline = Duration::from_millis(self.context.options.connect_timeout_ms);
        self.pulse.back_by(Instant::now() + deadline);
        let mut connecting = pin!(self.context.connector.connect(&tenant.project, deadline));
        if let Ok(done) = timeout(PACED_FOR, &mut connecting).await {
            return done;
        }
        turn.leave_process();
        connecting.await
    }

    async fn turn(&self, tenant: &Tenant, failures: u32) -> Turn {
        let turnstile = &self.context.turnstile;
        let mut turn = pin!(turnstile.turn(&tenant.project.url, self.urgency));
        if let Some(turn) = turn.as_mut().now_or_never() {
            return turn;
        }
        // Of one that comes back, what went wrong says more.
        if failures == 0 {
            let reason = Some(WAITING);
            self.state.set(WorkerState::Starting { reason });
        }
        self.pulse.rest();
        turn.await
    }

    /// Says in the state whether the tenant's own limit keeps the server from offering.
    fn note_fullness(&self, registered: &mut WorkerState) {
        let max_calls = self.tenant.borrow().limits.max_calls;
        let now = self.desk.own_limit_reached_since(max_calls);
        if let WorkerState::Registered { full_since, .. } = registered
            && *full_since != now
        {
            *full_since = now;
            self.state.set(registered.clone());
        }
    }

    /// One connection, from the open socket to its end.
    async fn serve(&mut self, mut socket: Socket, tenant: &Tenant, orders: &WorkerOrders) -> Ended {
        let options = &self.context.options;
        let registration = Registration {
            agent_name: self.agent_name.to_string(),
            deployment: tenant
                .deployment
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            ping_interval_s: u32::try_from(options.ping_interval_ms.div_ceil(1000))
                .unwrap_or(u32::MAX),
        };
        let counter = Counter {
            desk: self.desk.clone(),
            tenant: self.tenant.clone(),
        };
        let mut session = Session::new(Instant::now(), options.timing(), registration, counter);
        let mut connection = Connection {
            desk: self.desk.clone(),
            line: self.desk.line(),
            tenant: self.tenant.clone(),
            stops: HashMap::new(),
            bad_frames: Tally::default(),
            overruns: Tally::default(),
        };
        let mut places = self.desk.watch_places();
        let mut closing = self.context.load.closing();
        let mut draining = false;
        let mut registered = None;
        loop {
            if let Some(known) = &mut registered
                && !draining
            {
                self.note_fullness(known);
            }
            while let Some(output) = session.poll() {
                let message = match output {
                    Output::Send(message) => Message::Binary(message.encode()),
                    Output::Ping => Message::Ping(bytes::Bytes::new()),
                    Output::Registered {
                        worker_id,
                        server_version,
                    } => {
                        tracing::info!(worker_id, server_version, "registered");
                        let state = WorkerState::Registered {
                            worker_id,
                            server_version,
                            since: Utc::now(),
                            full_since: None,
                        };
                        let known = registered.insert(state.clone());
                        self.state.set(state);
                        if !draining {
                            self.note_fullness(known);
                        }
                        continue;
                    }
                    Output::Close(reason) => {
                        // Politeness; the server is gone or will find out anyway.
                        let _ = timeout(WRITE_TIMEOUT, socket.close(None)).await;
                        return match reason {
                            CloseReason::Drained => Ended::Exit(WorkerExit::Drained),
                            reason => Ended::Lost {
                                reason: reason.to_string(),
                            },
                        };
                    }
                    other => {
                        connection.carry_out(other);
                        continue;
                    }
                };
                self.pulse.back_by(Instant::now() + WRITE_TIMEOUT);
                match timeout(WRITE_TIMEOUT, socket.send(message)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return lost(&error),
                    Err(_) => {
                        return Ended::Lost {
                            reason: "the server does not read what we send".to_owned(),
                        };
                    }
                }
            }
            let wake_at = session.wake_at();
            self.pulse.back_by(wake_at);
            let wake_at = wake_at.into();
            let input = tokio::select! {
                () = orders.stop.cancelled() => {
                    let _ = timeout(WRITE_TIMEOUT, socket.close(None)).await;
                    return Ended::Exit(WorkerExit::Stopped);
                }
                () = orders.drain.cancelled(), if !draining => {
                    draining = true;
                    self.state.set(WorkerState::Draining);
                    Input::Drain
                }
                frame = socket.next() => match frame {
                    Some(Ok(frame)) => match connection.read(&frame) {
                        Some(input) => input,
                        None => Input::Heard,
                    },
                    Some(Err(error)) => return lost(&error),
                    None => return Ended::Lost {
                        reason: "the server closed the connection".to_owned(),
                    },
                },
                event = connection.line.1.recv() => match event {
                    Some(JobEvent::Status { job_id, status }) => Input::Job { job_id, status },
                    Some(JobEvent::Ended { job_id }) => {
                        connection.stops.remove(&job_id);
                        Input::JobEnded { job_id }
                    }
                    // `connection` holds a sender.
                    None => Input::Tick,
                },
                () = changed(&mut self.tenant) => Input::VacancyChanged,
                _ = places.changed() => Input::VacancyChanged,
                _ = closing.changed() => Input::VacancyChanged,
                () = sleep_until(wake_at) => Input::Tick,
            };
            session.handle(Instant::now(), input);
        }
    }
}

/// What a connection has of calls.
struct Connection {
    desk: CallDesk,
    line: (JobLine, mpsc::Receiver<JobEvent>),
    tenant: watch::Receiver<Arc<Tenant>>,
    stops: HashMap<String, CancellationToken>,
    bad_frames: Tally,
    overruns: Tally,
}

impl Connection {
    fn carry_out(&mut self, output: Output<Permit>) {
        match output {
            Output::Answered(result) => {
                let (id, slug) = {
                    let tenant = self.tenant.borrow();
                    (tenant.id, tenant.slug.to_string())
                };
                let (answer, reason) = match result {
                    Ok(()) => ("accepted", "none"),
                    Err(refusal) => ("declined", refusal.as_str()),
                };
                counter!(
                    "trunkline_offers_total",
                    "tenant" => slug, "answer" => answer, "reason" => reason
                )
                .increment(1);
                tracing::debug!(answer, reason, "offer");
                if let Err(refusal) = result
                    && let Some(count) = self.desk.refused(Instant::now(), id, refusal)
                {
                    tracing::warn!(reason, count, "calls were refused");
                }
            }
            Output::Start { job, permit } => self.start(*job, permit),
            Output::Overrun { job_id } => {
                if let Some(count) = self.overruns.note(Instant::now()) {
                    tracing::warn!(
                        job_id,
                        count,
                        "assignments came too late and found no place"
                    );
                }
            }
            Output::Stop { job_id } => {
                if let Some(stop) = self.stops.get(&job_id) {
                    tracing::info!(job_id, "LiveKit ends the job");
                    stop.cancel();
                }
            }
            // The connection's loop keeps these to itself.
            Output::Send(_) | Output::Ping | Output::Registered { .. } | Output::Close(_) => {}
        }
    }

    /// A frame as an input. `None`: no more than a sign of life.
    fn read(&mut self, frame: &Message) -> Option<Input> {
        let problem = match frame {
            Message::Binary(bytes) => match protocol::decode(bytes) {
                Ok(event) => return Some(Input::Server(event)),
                // The other messages are as good as before: to connect anew would cost jobs.
                Err(error) => chain(&error).to_string(),
            },
            Message::Text(_) => "a text, and we speak binary".to_owned(),
            // Pings are answered by the library.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {
                return None;
            }
        };
        counter!("trunkline_worker_bad_frames_total").increment(1);
        if let Some(count) = self.bad_frames.note(Instant::now()) {
            tracing::warn!(error = problem, count, "messages were left out");
        }
        None
    }

    fn start(&mut self, job: AssignedJob, permit: Permit) {
        let tenant = Arc::clone(&self.tenant.borrow());
        let url = room_url(job.url.as_deref(), &tenant.project.url);
        let assignment = Assignment {
            call_id: CallId::generate(),
            job_id: job.job_id.clone(),
            room: job.room,
            token: job.token,
            url,
        };
        let stop = self
            .desk
            .start(tenant, assignment, permit, self.line.0.clone());
        self.stops.insert(job.job_id, stop);
    }
}

/// Where the room is: what the assignment says, if it says something usable.
fn room_url(assigned: Option<&str>, project: &Url) -> Url {
    let Some(text) = assigned else {
        return project.clone();
    };
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "ws" | "wss" | "http" | "https") && url.has_host() => url,
        _ => {
            tracing::warn!("an assignment's URL cannot be used; the project's is taken");
            project.clone()
        }
    }
}

fn lost(error: &tungstenite::Error) -> Ended {
    let reason = match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            "the server closed the connection".to_owned()
        }
        other => format!("the connection was lost: {}", chain(other)),
    };
    Ended::Lost { reason }
}

/// Waits for the tenant's next version; for ever, when there will be none.
pub(crate) async fn changed(tenant: &mut watch::Receiver<Arc<Tenant>>) {
    if tenant.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The desk as the session sees it, under the limits of the tenant as it is now.
struct Counter {
    desk: CallDesk,
    tenant: watch::Receiver<Arc<Tenant>>,
}

impl Admission for Counter {
    type Permit = Permit;

    fn admit(&mut self, now: Instant, entry: Entry) -> Result<Permit, Refusal> {
        let limits = self.tenant.borrow().limits;
        self.desk.admit(limits, now, entry)
    }

    fn vacancy(&mut self) -> Vacancy {
        let limit = self.tenant.borrow().limits.max_calls;
        Vacancy {
            full: self.desk.full(limit),
            load: self.desk.load().load(),
            jobs: self.desk.active(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_s_url_counts_when_it_is_one() {
        let project = Url::parse("wss://a.example").unwrap();
        let there = |text| room_url(text, &project).to_string();
        assert_eq!(there(None), "wss://a.example/");
        assert_eq!(there(Some("wss://eu.a.example")), "wss://eu.a.example/");
        assert_eq!(there(Some("file:///etc/passwd")), "wss://a.example/");
        assert_eq!(there(Some("nonsense")), "wss://a.example/");
    }
}
