//! `GET /v1/events`: what changes, as server-sent events.
//!
//! It begins with everything as it is, so that a reader needs nothing else. Who reads
//! too slowly is told to forget what it knows, and is told everything again.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use chrono::Utc;
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use trunkline_call::{CallNews, LiveCall};
use trunkline_domain::{CallOutcome, TenantId};
use trunkline_supervisor::{ProjectStatus, StateChanges};
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::Call;
use super::workers::Worker;
use crate::api::auth::{Identity, Reader};
use crate::api::listeners::Listening;
use crate::api::openapi::Problems;
use crate::api::phone::Numbers;
use crate::api::problem::Problem;
use crate::api::state::{ApiState, LISTEN_LIMIT};

/// Between two signs of life when nothing changes. Proxies cut after a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How often it is looked whether a tenant is gone, of which nobody sends news. To look
/// at 10,000 takes some milliseconds.
const GONE_INTERVAL: Duration = Duration::from_secs(5);

/// A tenant whose row is of a new version here, or was first seen.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantChanged {
    /// The tenant.
    tenant: String,
    /// The tenant.
    tenant_id: Uuid,
    /// The version that is in effect.
    version: i64,
}

/// A tenant that this replica has let go.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantGone {
    /// The tenant.
    tenant: String,
    /// The tenant.
    tenant_id: Uuid,
}

/// A call that is over. Its record follows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallEnded {
    /// The call, as it was last.
    call: Call,
    /// How it ended.
    #[schema(example = "caller_hung_up")]
    outcome: &'static str,
}

/// What an event is about. `event` is the event's name once more.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum News {
    /// `worker`: what this replica does with a tenant.
    Worker(Worker),
    /// `tenant`: a tenant changed.
    Tenant(TenantChanged),
    /// `tenant_gone`: a tenant was let go.
    TenantGone(TenantGone),
    /// `call`: a call began or came further.
    Call(Call),
    /// `call_ended`: a call is over.
    CallEnded(CallEnded),
    /// `reset`: news were missed. Forget everything: it is told again.
    Reset {},
}

impl News {
    fn name(&self) -> &'static str {
        match self {
            Self::Worker(_) => "worker",
            Self::Tenant(_) => "tenant",
            Self::TenantGone(_) => "tenant_gone",
            Self::Call(_) => "call",
            Self::CallEnded(_) => "call_ended",
            Self::Reset {} => "reset",
        }
    }

    fn event(&self) -> Event {
        let event = Event::default().event(self.name());
        match serde_json::to_string(self) {
            Ok(json) => event.data(json),
            // What these types are made of can always be written.
            Err(error) => event.comment(error.to_string()),
        }
    }
}

/// What changes on this replica, as it changes
///
/// Server-sent events, named worker, tenant, tenant_gone, call, call_ended and reset;
/// the data of each is JSON. First comes everything as it is. The stream ends after a
/// quarter of an hour: connect again.
#[utoipa::path(
    get, path = "/v1/events", tag = "events", operation_id = "event.list",
    responses(
        (status = 200, body = News, content_type = "text/event-stream", description = "Events"),
        Problems,
    ),
)]
pub(crate) async fn get(
    State(state): State<ApiState>,
    Reader(identity): Reader,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let place = state.listeners().begin(identity.token_id)?;
    let listener = Listener::new(state, identity, place);
    let events = stream::unfold(listener, |mut listener| async {
        let news = listener.next().await?;
        Some((Ok(news.event()), listener))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// One reader.
struct Listener {
    state: ApiState,
    identity: Identity,
    changes: StateChanges,
    calls: broadcast::Receiver<CallNews>,
    known: BTreeMap<TenantId, Known>,
    waiting: VecDeque<News>,
    look: Interval,
    until: Instant,
    _place: Listening,
}

struct Known {
    slug: String,
    version: i64,
}

impl Listener {
    fn new(state: ApiState, identity: Identity, place: Listening) -> Self {
        let mut look = tokio::time::interval(GONE_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut listener = Self {
            changes: state.projects().changes(),
            // Before the calls are read, so that none is missed between.
            calls: state.calls().news(),
            known: BTreeMap::new(),
            waiting: VecDeque::new(),
            look,
            until: Instant::now() + LISTEN_LIMIT,
            state,
            identity,
            _place: place,
        };
        listener.tell_calls();
        listener
    }

    /// The next news; `None`: the reader has listened long enough.
    async fn next(&mut self) -> Option<News> {
        loop {
            if let Some(news) = self.waiting.pop_front() {
                return Some(news);
            }
            tokio::select! {
                changed = self.changes.next() => {
                    changed.iter().for_each(|status| self.on_project(status));
                }
                news = self.calls.recv() => match news {
                    Ok(news) => self.on_call(news),
                    Err(RecvError::Lagged(_)) => self.reset(),
                    Err(RecvError::Closed) => return None,
                },
                _ = self.look.tick() => self.look_for_gone(),
                () = tokio::time::sleep_until(self.until) => return None,
            }
        }
    }

    fn on_project(&mut self, status: &ProjectStatus) {
        if !self.identity.sees(status.id) {
            return;
        }
        let version = status.version.0;
        let known = self.known.get(&status.id);
        if known.is_none_or(|known| known.version != version) {
            let known = Known {
                slug: status.slug.clone(),
                version,
            };
            self.known.insert(status.id, known);
            self.waiting.push_back(News::Tenant(TenantChanged {
                tenant: status.slug.clone(),
                tenant_id: status.id.0,
                version,
            }));
        }
        let worker = Worker::here(&self.state, status, Utc::now());
        self.waiting.push_back(News::Worker(worker));
    }

    fn on_call(&mut self, news: CallNews) {
        let (call, outcome) = match news {
            CallNews::Started(call) | CallNews::Changed(call) => (call, None),
            CallNews::Ended(call, outcome) => (call, Some(outcome)),
        };
        if self.identity.sees(call.tenant_id) {
            self.tell_call(&call, outcome);
        }
    }

    fn tell_call(&mut self, call: &LiveCall, outcome: Option<CallOutcome>) {
        let call = Call::live(call, &self.state.replica().name, Numbers::Redacted);
        self.waiting.push_back(match outcome {
            None => News::Call(call),
            Some(outcome) => News::CallEnded(CallEnded {
                call,
                outcome: outcome.as_str(),
            }),
        });
    }

    fn tell_calls(&mut self) {
        for call in self.state.calls().all() {
            if self.identity.sees(call.tenant_id) {
                self.tell_call(&call, None);
            }
        }
    }

    fn reset(&mut self) {
        self.waiting.push_back(News::Reset {});
        self.calls = self.calls.resubscribe();
        self.changes = self.state.projects().changes();
        self.known.clear();
        self.tell_calls();
    }

    fn look_for_gone(&mut self) {
        let there: HashSet<TenantId> = self
            .state
            .projects()
            .projects()
            .iter()
            .map(|status| status.id)
            .collect();
        let gone = |id: &TenantId, _: &mut Known| !there.contains(id);
        for (id, known) in self.known.extract_if(.., gone) {
            self.waiting.push_back(News::TenantGone(TenantGone {
                tenant: known.slug,
                tenant_id: id.0,
            }));
        }
    }
}
