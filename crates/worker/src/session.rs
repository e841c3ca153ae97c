//! One registration, from the open socket to its end, without I/O: time and
//! frames come in, messages and orders go out.
//!
//! - An offer is answered in the same step in which it comes in. A place is
//!   reserved for it first, so that what was promised can be kept.
//! - A reservation that no assignment follows is given back.
//! - The server's picture of us (status) is corrected in the step in which it
//!   became wrong, and repeated regularly.
//! - A server that is not heard of for some time is taken for gone: it sets no
//!   read deadline, and neither does TCP.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use trunkline_call::JobStatus;

use crate::headroom::Strain;
use crate::protocol::{
    Answer, AssignedJob, Offer, Registration, ServerEvent, Unfit, WorkerMessage,
};

/// A report that says nothing new is left out three times of four: of thousands of
/// projects that wait for calls, reports are most of the cost. Servers keep what they
/// were told last for as long as the socket is open.
const MAX_UNCHANGED: u32 = 4;

/// Loads are the same to a server that draws with the weight `1 − load`.
const SAME_LOAD: f32 = 0.02;

/// The times of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// For the answer to our registration.
    pub(crate) register_timeout: Duration,
    /// For the assignment after an accepted offer.
    pub(crate) reservation: Duration,
    /// Between two reports of status.
    pub(crate) status_interval: Duration,
    /// Between two pings.
    pub(crate) ping_interval: Duration,
    /// Without a sign of life, after which the server is taken for gone.
    pub(crate) silence_limit: Duration,
}

/// Who decides whether there is a place for a call. In memory, and exact.
pub(crate) trait Admission {
    /// A place that is taken until it is dropped.
    type Permit;

    /// Takes a place.
    ///
    /// # Errors
    /// When there is none.
    fn admit(&mut self, now: Instant, entry: Entry) -> Result<Self::Permit, Refusal>;

    /// How it stands.
    fn vacancy(&mut self) -> Vacancy;
}

/// What a place is asked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// An offer, which counts against the rate of new calls.
    Offer,
    /// An assignment whose reservation has run out. Its offer was counted.
    LateAssignment,
}

/// How busy we are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Vacancy {
    /// Whether [`Admission::admit`] would fail for as long as no call ends.
    pub(crate) full: Option<Refusal>,
    /// 0 to 0.69.
    pub(crate) load: f32,
    /// The tenant's calls.
    pub(crate) jobs: u32,
}

/// Why an offer was declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The tenant's own limit is reached.
    TenantFull,
    /// The tenant's new calls come faster than it may have them.
    TenantRate,
    /// The process is nearly full, and what is left is for other tenants.
    TenantShare,
    /// The process's limit is reached.
    ProcessFull,
    /// The process is short of something that it measures.
    Strained(Strain),
    /// We take no more jobs.
    Draining,
    /// We have this job already.
    AlreadyOurs,
    /// Nobody like us could take it.
    Unfit(Unfit),
}

impl Refusal {
    /// Those that mean that there is too little room, or too many calls.
    pub const OF_ROOM: [Self; 8] = [
        Self::TenantFull,
        Self::TenantRate,
        Self::TenantShare,
        Self::ProcessFull,
        Self::Strained(Strain::EventLoop),
        Self::Strained(Strain::Cpu),
        Self::Strained(Strain::Memory),
        Self::Strained(Strain::Descriptors),
    ];

    /// All of them, as they are called.
    pub const NAMES: [&str; 12] = [
        Self::TenantFull.as_str(),
        Self::TenantRate.as_str(),
        Self::TenantShare.as_str(),
        Self::ProcessFull.as_str(),
        Self::Strained(Strain::EventLoop).as_str(),
        Self::Strained(Strain::Cpu).as_str(),
        Self::Strained(Strain::Memory).as_str(),
        Self::Strained(Strain::Descriptors).as_str(),
        Self::Draining.as_str(),
        Self::AlreadyOurs.as_str(),
        Self::Unfit(Unfit::WrongKind).as_str(),
        Self::Unfit(Unfit::Malformed).as_str(),
    ];

    /// For metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenantFull => "tenant_full",
            Self::TenantRate => "tenant_rate",
            Self::TenantShare => "tenant_share",
            Self::Strained(Strain::EventLoop) => "process_event_loop",
            Self::Strained(Strain::Cpu) => "process_cpu",
            Self::Strained(Strain::Memory) => "process_memory",
            Self::Strained(Strain::Descriptors) => "process_descriptors",
            Self::ProcessFull => "process_full",
            Self::Draining => "draining",
            Self::AlreadyOurs => "already_ours",
            Self::Unfit(Unfit::WrongKind) => "wrong_kind",
            Self::Unfit(Unfit::Malformed) => "malformed",
        }
    }
}

/// What the server is told of us.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Status {
    /// Available, or else full.
    pub(crate) takes_jobs: bool,
    /// 0 to 0.69.
    pub(crate) load: f32,
    /// The tenant's calls.
    pub(crate) jobs: u32,
    /// We will not be available again.
    pub(crate) draining: bool,
    /// Rises with every report.
    pub(crate) seq: u64,
}

impl Status {
    /// Whether a server would choose in the same way by either.
    fn says_as_much_as(&self, other: &Self) -> bool {
        self.jobs == other.jobs && (self.load - other.load).abs() < SAME_LOAD
    }
}

/// What comes in.
#[derive(Debug)]
pub(crate) enum Input {
    /// A message of the server.
    Server(ServerEvent),
    /// Any other sign of life.
    Heard,
    /// How a job goes.
    Job {
        /// Which job.
        job_id: String,
        /// How it goes.
        status: JobStatus,
    },
    /// A job's call is over and its place is free.
    JobEnded {
        /// Which job.
        job_id: String,
    },
    /// Limits or places may have changed.
    VacancyChanged,
    /// Take no more jobs; close when ours are over.
    Drain,
    /// Time passed.
    Tick,
}

/// What goes out.
#[derive(Debug)]
pub(crate) enum Output<P> {
    /// To the server.
    Send(WorkerMessage),
    /// To the server, on the socket's own level.
    Ping,
    /// The server knows us.
    Registered {
        /// Our id there.
        worker_id: String,
        /// Its version.
        server_version: String,
    },
    /// An offer was answered, for the metrics.
    Answered(Result<(), Refusal>),
    /// A call begins.
    Start {
        /// The job.
        job: Box<AssignedJob>,
        /// Its place.
        permit: P,
    },
    /// An assigned job could not be started, because its place was given away.
    Overrun {
        /// Which job.
        job_id: String,
    },
    /// A call is to end.
    Stop {
        /// Its job.
        job_id: String,
    },
    /// The last output: the socket is to be closed.
    Close(CloseReason),
}

/// Why a session closes its socket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CloseReason {
    /// No answer to our registration.
    #[error("the server did not answer the registration within {} ms", .0.as_millis())]
    NotRegistered(Duration),
    /// A half-open socket.
    #[error("the server was not heard of for {} ms", .0.as_millis())]
    Silent(Duration),
    /// The server asked for it.
    #[error("the server asked us to connect anew ({0})")]
    GoAway(String),
    /// We were told to drain, and our jobs are over.
    #[error("drained")]
    Drained,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Registering { until: Instant },
    Serving,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intake {
    Open,
    Draining,
}

struct Reservation<P> {
    permit: P,
    expires: Instant,
}

/// The machine. See the module's text.
pub(crate) struct Session<A: Admission> {
    timing: Timing,
    admission: A,
    phase: Phase,
    intake: Intake,
    reserved: HashMap<String, Reservation<A::Permit>>,
    jobs: HashSet<String>,
    reported: Option<Status>,
    /// How often it was not reported since, for it was the same.
    unchanged: u32,
    next_status: Instant,
    next_ping: Instant,
    heard: Instant,
    output: VecDeque<Output<A::Permit>>,
}

impl<A: Admission> Session<A> {
    /// A session on a socket that has just opened. Its first output is the
    /// registration.
    pub(crate) fn new(
        now: Instant,
        timing: Timing,
        registration: Registration,
        admission: A,
    ) -> Self {
        Self {
            timing,
            admission,
            phase: Phase::Registering {
                until: now + timing.register_timeout,
            },
            intake: Intake::Open,
            reserved: HashMap::new(),
            jobs: HashSet::new(),
            reported: None,
            unchanged: 0,
            next_status: now,
            next_ping: now + timing.ping_interval,
            heard: now,
            output: VecDeque::from([Output::Send(WorkerMessage::Register(registration))]),
        }
    }

    /// The next output. To be called until there is none after every input.
    pub(crate) fn poll(&mut self) -> Option<Output<A::Permit>> {
        self.output.pop_front()
    }

    /// When [`Input::Tick`] is due, if nothing comes in before.
    pub(crate) fn wake_at(&self) -> Instant {
        let silent = self.heard + self.timing.silence_limit;
        let due = self.next_ping.min(silent);
        match self.phase {
            Phase::Registering { until } => due.min(until),
            Phase::Serving => self
                .reserved
                .values()
                .map(|r| r.expires)
                .fold(due.min(self.next_status), Instant::min),
            Phase::Closed => due,
        }
    }

    /// Takes an input.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        if self.phase == Phase::Closed {
            return;
        }
        match input {
            Input::Server(event) => {
                self.heard = now;
                self.server(now, event);
            }
            Input::Heard => self.heard = now,
            Input::Job { job_id, status } => {
                self.send(WorkerMessage::Job { job_id, status });
            }
            Input::JobEnded { job_id } => {
                self.jobs.remove(&job_id);
            }
            Input::Drain => self.intake = Intake::Draining,
            Input::VacancyChanged | Input::Tick => {}
        }
        self.pass_time(now);
        self.report(now);
        self.finish_drain();
    }

    fn server(&mut self, now: Instant, event: ServerEvent) {
        match (self.phase, event) {
            (
                Phase::Registering { .. },
                ServerEvent::Registered {
                    worker_id,
                    server_version,
                },
            ) => {
                self.phase = Phase::Serving;
                self.next_status = now;
                self.output.push_back(Output::Registered {
                    worker_id,
                    server_version,
                });
            }
            (Phase::Serving, ServerEvent::Offer(offer)) => self.offer(now, offer),
            (Phase::Serving, ServerEvent::Assigned(job)) => self.assigned(now, job),
            (Phase::Serving, ServerEvent::Terminate { job_id }) => {
                if self.jobs.contains(&job_id) {
                    self.output.push_back(Output::Stop { job_id });
                }
            }
            (_, ServerEvent::GoAway { reason }) => self.close(CloseReason::GoAway(reason)),
            // A pong and messages of a later version are signs of life. Before
            // the registration nothing else can come, after it no second one.
            (
                _,
                ServerEvent::Pong
                | ServerEvent::Unknown
                | ServerEvent::Registered { .. }
                | ServerEvent::Offer(_)
                | ServerEvent::Assigned(_)
                | ServerEvent::Terminate { .. },
            ) => {}
        }
    }

    fn offer(&mut self, now: Instant, offer: Offer) {
        let result = self.reserve(now, &offer);
        self.output.push_back(Output::Answered(result));
        self.send(WorkerMessage::Answer {
            job_id: offer.job_id,
            answer: match result {
                Ok(()) => Answer::Accept,
                Err(_) => Answer::Decline,
            },
        });
    }

    fn reserve(&mut self, now: Instant, offer: &Offer) -> Result<(), Refusal> {
        if let Some(unfit) = offer.unfit {
            return Err(Refusal::Unfit(unfit));
        }
        let expires = now + self.timing.reservation;
        // The same offer again, because our answer was late: the place is kept.
        if let Some(reservation) = self.reserved.get_mut(&offer.job_id) {
            reservation.expires = expires;
            return Ok(());
        }
        if self.jobs.contains(&offer.job_id) {
            return Err(Refusal::AlreadyOurs);
        }
        if self.intake == Intake::Draining {
            return Err(Refusal::Draining);
        }
        let permit = self.admission.admit(now, Entry::Offer)?;
        self.reserved
            .insert(offer.job_id.clone(), Reservation { permit, expires });
        Ok(())
    }

    /// The server counts the job as running from here on, and never looks after
    /// it again: what cannot be started must be reported as failed.
    fn assigned(&mut self, now: Instant, job: Box<AssignedJob>) {
        if self.jobs.contains(&job.job_id) {
            return;
        }
        let permit = match self.reserved.remove(&job.job_id) {
            Some(reservation) => Ok(reservation.permit),
            None => self.admission.admit(now, Entry::LateAssignment),
        };
        match permit {
            Ok(permit) => {
                self.jobs.insert(job.job_id.clone());
                self.output.push_back(Output::Start { job, permit });
            }
            Err(refusal) => {
                self.send(WorkerMessage::Job {
                    job_id: job.job_id.clone(),
                    status: JobStatus::Failed(format!(
                        "the assignment came too late, and its place was given away ({})",
                        refusal.as_str()
                    )),
                });
                self.output
                    .push_back(Output::Overrun { job_id: job.job_id });
            }
        }
    }

    fn pass_time(&mut self, now: Instant) {
        if let Phase::Registering { until } = self.phase
            && now >= until
        {
            return self.close(CloseReason::NotRegistered(self.timing.register_timeout));
        }
        if now >= self.heard + self.timing.silence_limit {
            return self.close(CloseReason::Silent(self.timing.silence_limit));
        }
        self.reserved.retain(|_, r| now < r.expires);
        if now >= self.next_ping {
            self.next_ping = now + self.timing.ping_interval;
            self.output.push_back(Output::Ping);
        }
    }

    fn report(&mut self, now: Instant) {
        if self.phase != Phase::Serving {
            return;
        }
        let vacancy = self.admission.vacancy();
        let draining = self.intake == Intake::Draining;
        let takes_jobs = vacancy.full.is_none() && !draining;
        let known = self
            .reported
            .is_some_and(|s| s.takes_jobs == takes_jobs && s.draining == draining);
        if known && now < self.next_status {
            return;
        }
        self.next_status = now + self.timing.status_interval;
        let status = Status {
            takes_jobs,
            load: vacancy.load,
            jobs: vacancy.jobs,
            draining,
            seq: self.reported.map_or(1, |s| s.seq + 1),
        };
        if known
            && self
                .reported
                .is_some_and(|old| old.says_as_much_as(&status))
        {
            self.unchanged += 1;
            if self.unchanged < MAX_UNCHANGED {
                return;
            }
        }
        self.unchanged = 0;
        self.reported = Some(status);
        self.send(WorkerMessage::Status(status));
    }

    fn finish_drain(&mut self) {
        let done = self.jobs.is_empty() && self.reserved.is_empty();
        if self.intake == Intake::Draining && done && self.phase != Phase::Closed {
            self.close(CloseReason::Drained);
        }
    }

    fn send(&mut self, message: WorkerMessage) {
        self.output.push_back(Output::Send(message));
    }

    fn close(&mut self, reason: CloseReason) {
        self.phase = Phase::Closed;
        self.reserved.clear();
        self.output.push_back(Output::Close(reason));
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
