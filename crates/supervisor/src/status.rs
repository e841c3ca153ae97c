//! How every project is doing, for the admin API, the database and tests. Who
//! reads never makes the supervisor wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use parking_lot::RwLock;
use serde::Serialize;
use tokio::sync::watch;
use trunkline_domain::{TenantId, TenantVersion};
use trunkline_worker::{CallDesk, Refusal, WorkerState};

use crate::gauges;
use crate::plan::Fault;

/// What a project does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ProjectState {
    /// The worker crashed and waits to be started again.
    Restarting {
        /// When.
        retry_at: DateTime<Utc>,
        /// What it said.
        reason: String,
    },
    /// The row cannot be run: no calls are taken.
    Parked {
        /// What is wrong with it.
        reason: String,
        /// Where the fault is.
        #[serde(skip)]
        fault: Fault,
    },
    /// The row is switched off: no calls are taken.
    Disabled,
    /// The row is gone, and the last calls go on.
    Removed,
    /// What the worker says.
    #[serde(untagged)]
    Worker(WorkerState),
}

impl ProjectState {
    /// The names of all states.
    pub const NAMES: [&str; 11] = [
        "starting",
        "connecting",
        "registered",
        "backing_off",
        "credentials_refused",
        "draining",
        "stopped",
        "restarting",
        "parked",
        "disabled",
        "removed",
    ];

    /// For metrics, records and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Restarting { .. } => "restarting",
            Self::Parked { .. } => "parked",
            Self::Disabled => "disabled",
            Self::Removed => "removed",
            Self::Worker(state) => state.as_str(),
        }
    }

    /// What is wrong, where something is.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Restarting { reason, .. } | Self::Parked { reason, .. } => Some(reason),
            Self::Worker(state) => state.reason(),
            Self::Disabled => Some("the row is switched off; calls under way go on"),
            Self::Removed => Some("the row is gone; the last calls go on"),
        }
    }

    /// Whether calls come.
    pub fn is_registered(&self) -> bool {
        matches!(self, Self::Worker(state) if state.is_registered())
    }

    /// Whether the first attempt is over, well or not.
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Restarting { .. } | Self::Parked { .. } | Self::Disabled | Self::Removed => true,
            Self::Worker(WorkerState::Starting { .. }) => false,
            Self::Worker(WorkerState::Connecting { attempt }) => *attempt > 0,
            Self::Worker(_) => true,
        }
    }
}

/// A worker that is to take over and is not registered yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuccessorStatus {
    /// The version that it runs with.
    pub version: TenantVersion,
    /// The version whose registration is in effect until then.
    pub still_on: TenantVersion,
    /// How it is doing.
    #[serde(flatten)]
    pub state: WorkerState,
}

impl SuccessorStatus {
    /// What there is to say when its credentials are refused.
    pub fn refusal(&self) -> Option<String> {
        match &self.state {
            WorkerState::CredentialsRefused { reason, .. } => Some(format!(
                "credentials refused, still on version {}: version {} is not in effect, because {reason}",
                self.still_on, self.version
            )),
            WorkerState::Starting { .. }
            | WorkerState::Connecting { .. }
            | WorkerState::Registered { .. }
            | WorkerState::BackingOff { .. }
            | WorkerState::Draining
            | WorkerState::Stopped => None,
        }
    }

    fn reason(&self) -> String {
        if let Some(refusal) = self.refusal() {
            return refusal;
        }
        let (next, current) = (self.version, self.still_on);
        match self.state.reason() {
            Some(reason) => {
                format!("version {next} is not in effect, still on version {current}: {reason}")
            }
            None => format!("version {next} is registering, still on version {current}"),
        }
    }
}

/// A version that cannot be run, while another one goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldRow {
    /// The row's.
    pub version: TenantVersion,
    /// The last that could be run.
    pub still_on: TenantVersion,
    /// All that is wrong with the row.
    pub reason: String,
}

impl HeldRow {
    /// What there is to say.
    pub fn reason(&self) -> String {
        format!(
            "row invalid, still on version {}: version {} is not in effect, because {}. Mend the \
             row: a process that is started now takes no calls for this tenant",
            self.still_on, self.version, self.reason
        )
    }
}

/// A project that LiveKit offers no calls, for it was told that there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Full {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why, as refused offers have it: `tenant_full`, `process_full` and so on.
    pub reason: &'static str,
}

impl Full {
    fn reason(&self) -> String {
        let since = self.since.to_rfc3339_opts(SecondsFormat::Secs, true);
        format!(
            "full since {since} ({}): LiveKit offers it no calls until a place is free",
            self.reason
        )
    }
}

/// How one project is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectStatus {
    /// Whose.
    pub id: TenantId,
    /// Name for people.
    pub slug: String,
    /// The version of the row that was carried out.
    pub version: TenantVersion,
    /// What it does.
    #[serde(flatten)]
    pub state: ProjectState,
    /// Since when it is in a state of this name.
    pub since: DateTime<Utc>,
    /// How often its worker crashed.
    pub restarts: u32,
    /// Calls under way.
    pub active_calls: u32,
    /// Offers that were refused since the process started, by the reason.
    pub refused_offers: BTreeMap<&'static str, u64>,
    /// The worker with changed credentials, until it is registered.
    pub successor: Option<SuccessorStatus>,
    /// The row, while it cannot be run and an earlier version goes on.
    pub held: Option<HeldRow>,
    /// Whether LiveKit was told that there is no place. As of now.
    pub full: Option<Full>,
    /// What else a person should know: what its calls lack, and what is odd. They are
    /// taken all the same.
    pub notes: Vec<String>,
}

impl ProjectStatus {
    /// Whether it serves with an earlier version than the row's.
    pub fn is_on_older_version(&self) -> bool {
        self.successor.is_some() || self.held.is_some()
    }

    /// What a person should know: what is wrong with the project, or with the
    /// worker that is to take over, and what its calls lack.
    pub fn reason(&self) -> Option<String> {
        let own = self.state.reason().map(str::to_owned);
        let next = self.successor.as_ref().map(SuccessorStatus::reason);
        let held = self.held.as_ref().map(HeldRow::reason);
        let full = self.full.as_ref().map(Full::reason);
        let parts = [own, next, held, full].into_iter().flatten();
        let parts: Vec<String> = parts.chain(self.notes.iter().cloned()).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// What a supervisor does as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No rows were read yet.
    Waiting,
    /// Rows are carried out.
    Running,
    /// No more calls are taken.
    Draining,
}

/// Reads how the projects are doing. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    board: Arc<Board>,
}

pub(crate) struct Board {
    content: RwLock<Content>,
    /// Raised with every change, for those who wait.
    revision: watch::Sender<u64>,
}

struct Content {
    phase: Phase,
    projects: BTreeMap<TenantId, Posted>,
}

struct Posted {
    status: ProjectStatus,
    desk: CallDesk,
    revision: u64,
}

impl Posted {
    fn full(&self) -> Option<Full> {
        let ProjectState::Worker(WorkerState::Registered { full_since, .. }) = self.status.state
        else {
            return None;
        };
        let own = full_since.map(|since| (Refusal::TenantFull, since));
        let (refusal, since) = own.or_else(|| self.desk.load().closed_since())?;
        Some(Full {
            since,
            reason: refusal.as_str(),
        })
    }

    fn status(&self) -> ProjectStatus {
        ProjectStatus {
            active_calls: self.desk.active(),
            refused_offers: self.desk.refusals(),
            full: self.full(),
            ..self.status.clone()
        }
    }
}

impl Board {
    pub(crate) fn new() -> (Arc<Self>, Handle) {
        let board = Arc::new(Self {
            content: RwLock::new(Content {
                phase: Phase::Waiting,
                projects: BTreeMap::new(),
            }),
            revision: watch::Sender::new(0),
        });
        let handle = Handle {
            board: Arc::clone(&board),
        };
        (board, handle)
    }

    fn change(&self, change: impl FnOnce(&mut Content, u64)) {
        // Only the supervisor's loop writes; the content is there before its number.
        let revision = *self.revision.borrow() + 1;
        change(&mut self.content.write(), revision);
        self.revision.send_replace(revision);
    }

    /// Posts a project's status, and keeps `since` while the state's name stays.
    pub(crate) fn post(&self, mut status: ProjectStatus, desk: &CallDesk) {
        let id = status.id;
        if let Some(posted) = self.content.read().projects.get(&id) {
            if posted.status.state.as_str() == status.state.as_str() {
                status.since = posted.status.since;
            }
            if posted.status == status {
                return;
            }
        }
        self.change(|content, revision| {
            let before = content.projects.get(&id).map(|posted| &posted.status);
            gauges::exchange(before, Some(&status));
            let posted = Posted {
                status,
                desk: desk.clone(),
                revision,
            };
            content.projects.insert(id, posted);
        });
    }

    pub(crate) fn forget(&self, id: TenantId) {
        self.change(|content, _| {
            let gone = content.projects.remove(&id);
            gauges::exchange(gone.as_ref().map(|posted| &posted.status), None);
        });
    }

    pub(crate) fn enter(&self, phase: Phase) {
        if self.content.read().phase != phase {
            self.change(|content, _| content.phase = phase);
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        for posted in self.content.get_mut().projects.values() {
            gauges::exchange(Some(&posted.status), None);
        }
    }
}

impl Handle {
    /// Every project, by id.
    pub fn projects(&self) -> Vec<ProjectStatus> {
        let content = self.board.content.read();
        content.projects.values().map(Posted::status).collect()
    }

    /// One project.
    pub fn project(&self, slug: &str) -> Option<ProjectStatus> {
        let content = self.board.content.read();
        let mut projects = content.projects.values();
        projects.find(|p| p.status.slug == slug).map(Posted::status)
    }

    /// What the supervisor does as a whole.
    pub fn phase(&self) -> Phase {
        self.board.content.read().phase
    }

    /// Projects whose first attempt to register is not over. With
    /// [`Phase::Running`] and none of these, the process is ready.
    pub fn unsettled(&self) -> usize {
        let content = self.board.content.read();
        let projects = content.projects.values();
        projects.filter(|p| !p.status.state.is_settled()).count()
    }

    /// Why no tenant at all can be served, when it is for the sealing keys of this
    /// process: what is wrong with the first of them. Rows that are switched off say
    /// nothing.
    pub fn wrong_keys(&self) -> Option<String> {
        let content = self.board.content.read();
        let mut first = None;
        for posted in content.projects.values() {
            match &posted.status.state {
                ProjectState::Disabled | ProjectState::Removed => {}
                ProjectState::Parked {
                    reason,
                    fault: Fault::Keys,
                } => {
                    first.get_or_insert_with(|| format!("{}: {reason}", posted.status.slug));
                }
                ProjectState::Restarting { .. }
                | ProjectState::Parked { .. }
                | ProjectState::Worker(_) => return None,
            }
        }
        first
    }

    /// Calls under way in all projects.
    pub fn active_calls(&self) -> u32 {
        let content = self.board.content.read();
        content.projects.values().map(|p| p.desk.active()).sum()
    }

    /// Statuses as they change, from the present ones on.
    pub fn changes(&self) -> StateChanges {
        StateChanges {
            revision: self.board.revision.subscribe(),
            handle: self.clone(),
            read: None,
        }
    }

    /// Waits until the projects are as `wanted` says. `None`: the supervisor is
    /// gone before.
    pub async fn wait_until(
        &self,
        mut wanted: impl FnMut(&[ProjectStatus]) -> bool,
    ) -> Vec<ProjectStatus> {
        let mut revision = self.board.revision.subscribe();
        loop {
            revision.borrow_and_update();
            let projects = self.projects();
            if wanted(&projects) {
                return projects;
            }
            // The sender lives in the board, which `self` holds.
            let _ = revision.changed().await;
        }
    }
}

/// Statuses as they change. What changes several times between two readings is
/// read once, as it is then: a slow reader costs nothing and misses no last state.
pub struct StateChanges {
    revision: watch::Receiver<u64>,
    handle: Handle,
    read: Option<u64>,
}

impl StateChanges {
    /// The projects that changed since the last call; at first, all of them.
    /// Waits for at least one.
    pub async fn next(&mut self) -> Vec<ProjectStatus> {
        loop {
            let revision = *self.revision.borrow_and_update();
            let changed = self.since(self.read);
            self.read = Some(revision);
            if !changed.is_empty() {
                return changed;
            }
            // The sender lives in the board, which the handle holds.
            let _ = self.revision.changed().await;
        }
    }

    fn since(&self, read: Option<u64>) -> Vec<ProjectStatus> {
        let content = self.handle.board.content.read();
        let projects = content.projects.values();
        projects
            .filter(|p| read.is_none_or(|read| p.revision > read))
            .map(Posted::status)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: ProjectState, successor: Option<SuccessorStatus>) -> ProjectStatus {
        ProjectStatus {
            id: TenantId(uuid::Uuid::nil()),
            slug: "acme".into(),
            version: TenantVersion(3),
            state,
            since: DateTime::UNIX_EPOCH,
            restarts: 0,
            active_calls: 1,
            refused_offers: BTreeMap::new(),
            successor,
            held: None,
            full: None,
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_status_is_flat_json() {
        let parked = status(
            ProjectState::Parked {
                reason: "slug must be …".into(),
                fault: Fault::Row,
            },
            None,
        );
        let json = serde_json::to_value(&parked).unwrap();
        assert_eq!(json["state"], "parked");
        assert_eq!(json["reason"], "slug must be …");
        let connecting = status(
            ProjectState::Worker(WorkerState::Connecting { attempt: 2 }),
            None,
        );
        let json = serde_json::to_value(&connecting).unwrap();
        assert_eq!(
            (&json["state"], &json["attempt"]),
            (&"connecting".into(), &2.into())
        );
    }

    #[test]
    fn what_calls_lack_is_told_beside_everything_else() {
        let mut status = status(
            ProjectState::Worker(WorkerState::Connecting { attempt: 0 }),
            None,
        );
        assert_eq!(status.reason(), None);
        status.notes = vec!["no model key".into()];
        assert_eq!(status.reason().unwrap(), "no model key");
        status.state = ProjectState::Parked {
            reason: "wrong".into(),
            fault: Fault::Row,
        };
        assert_eq!(status.reason().unwrap(), "wrong; no model key");
    }

    #[test]
    fn a_refused_successor_is_told_beside_the_worker_that_keeps_running() {
        let status = status(
            ProjectState::Worker(WorkerState::Connecting { attempt: 0 }),
            Some(SuccessorStatus {
                version: TenantVersion(4),
                still_on: TenantVersion(3),
                state: WorkerState::CredentialsRefused {
                    attempt: 1,
                    retry_at: DateTime::UNIX_EPOCH,
                    reason: "refused".into(),
                },
            }),
        );
        assert_eq!(
            status.reason().unwrap(),
            "credentials refused, still on version 3: version 4 is not in effect, because refused"
        );
    }
}
