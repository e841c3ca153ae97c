//! An API with a database of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::{Method, RequestBuilder};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Row as _};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use trunkline_admin::api::{Api, ApiLimits, ApiParts, TlsFiles};
use trunkline_call::{Assignment, DefaultProvider, Entered, JobReporter, LiveCalls, Services};
use trunkline_callconfig::Lookup;
use trunkline_domain::{
    AccessScope, CallDirection, CallId, CallOutcome, CallRecord, CallStatus, PhoneNumber,
    SipParticipant, Tenant, TenantFields, TenantId,
};
use trunkline_store::{Actor, InnerUrls, Keyring, NewTenant, NewToken, Options, Reporter, Store};
use trunkline_supervisor::{Handle, LoadMeter, Shutdown, Supervisor, WorkerLauncher};
use trunkline_testbed::postgres::Postgres;
use trunkline_worker::{CallRunner, Connector, WorkerContext};

use crate::description;

/// What a test waits for at most. Everything awaited takes milliseconds; a loaded
/// machine takes longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Secrets of tenants. None may be in any answer.
pub(crate) const SECRETS: [&str; 4] = [
    "livekit-secret-of-a-tenant-0000001",
    "bearer-secret-of-a-tenant-000000002",
    "provider-secret-of-a-tenant-0000003",
    "another-secret-of-a-tenant-00000004",
];

/// Limits that no test meets by accident.
pub(crate) const WIDE: ApiLimits = ApiLimits {
    requests_per_second: 10_000,
    failures_per_minute: 10_000,
    inner_urls: InnerUrls::Refused,
};

pub(crate) struct Bed {
    pub(crate) store: Store,
    pub(crate) sql: PgPool,
    pub(crate) postgres: Option<Postgres>,
    pub(crate) address: SocketAddr,
    pub(crate) projects: Handle,
    pub(crate) calls: LiveCalls,
    services: Arc<Services>,
    load: LoadMeter,
    pub(crate) drain: CancellationToken,
    pub(crate) replica: Reporter,
    pub(crate) http: reqwest::Client,
    /// A token that may do everything.
    pub(crate) admin: String,
    limits: ApiLimits,
    api_stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// Runs no calls: the tests enter theirs by hand.
struct NoCalls;

impl CallRunner for NoCalls {
    fn run(
        &self,
        _tenant: Arc<Tenant>,
        _assignment: Assignment,
        _jobs: Arc<dyn JobReporter>,
        _stop: CancellationToken,
    ) -> BoxFuture<'static, CallRecord> {
        std::future::pending().boxed()
    }

    fn finished(&self, _record: CallRecord) {}
}

impl Bed {
    pub(crate) async fn start() -> Self {
        Self::with(WIDE).await
    }

    pub(crate) async fn with(limits: ApiLimits) -> Self {
        // The server ends with the process: its guard sees to it.
        static SERVER: OnceCell<Postgres> = OnceCell::const_new();
        let server = SERVER.get_or_init(async || Postgres::start().await.unwrap());
        Self::on(server.await, limits, None).await
    }

    /// With a database server of its own, which can go away.
    pub(crate) async fn alone() -> Self {
        let server = Postgres::start().await.unwrap();
        let mut bed = Self::on(&server, WIDE, None).await;
        bed.postgres = Some(server);
        bed
    }

    pub(crate) async fn on(server: &Postgres, limits: ApiLimits, tls: Option<TlsFiles>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        trunkline_testbed::install_crypto();
        let name = format!("api_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let url = server.create_database(&name).await.unwrap();
        let keys = Keyring::from_keys(&Keyring::generate_key().unwrap()).unwrap();
        let mut options = Options::new(url.as_str());
        options.acquire_timeout_ms = 1_000;
        // Longer than a test waits: what hangs is not to be told apart by its time limit.
        options.query_timeout_ms = 120_000;
        let store = Store::connect_lazy(&options, keys).unwrap();
        store.migrate().await.unwrap();
        let sql = PgPoolOptions::new()
            .max_connections(2)
            .connect_lazy(&url)
            .unwrap();

        let context = WorkerContext::new(Default::default(), Connector::new().unwrap());
        let load = context.load().clone();
        let launcher = WorkerLauncher::new(context, Arc::new(NoCalls));
        let (supervisor, projects) = Supervisor::new(Default::default(), store.feed(), launcher);
        let api = Api::bind("127.0.0.1:0".parse().unwrap(), tls)
            .await
            .unwrap();
        let services = Arc::new(services());
        let (address, calls, drain) = (
            api.address(),
            services.live().clone(),
            CancellationToken::new(),
        );
        let replica = Reporter::starting("replica-1");
        let mut tasks = JoinSet::new();
        let shutdown = Shutdown {
            drain: drain.clone(),
            cut: CancellationToken::new(),
        };
        tasks.spawn(async move {
            supervisor.run(shutdown).await;
        });
        let mut bed = Self {
            store,
            sql,
            postgres: None,
            address,
            projects,
            calls,
            services,
            load,
            drain,
            replica,
            http: client(),
            admin: String::new(),
            limits,
            api_stop: CancellationToken::new(),
            tasks,
        };
        bed.run(api);
        bed.admin = bed.token("root", AccessScope::Admin, None).await;
        bed
    }

    fn run(&mut self, api: Api) {
        let parts = ApiParts {
            replica: self.replica.clone(),
            store: self.store.clone(),
            projects: self.projects.clone(),
            services: Arc::clone(&self.services),
            load: self.load.clone(),
            drain: self.drain.clone(),
            limits: self.limits,
        };
        let stop = self.api_stop.clone();
        self.tasks
            .spawn(async move { api.run(parts, stop).await.unwrap() });
    }

    /// Ends the API, and its connections.
    pub(crate) async fn api_goes_away(&mut self) {
        self.api_stop.cancel();
        // The supervisor goes on: what ends is the API.
        self.tasks.join_next().await.unwrap().unwrap();
    }

    /// Begins it again where it was.
    pub(crate) async fn api_comes_back(&mut self) {
        self.api_stop = CancellationToken::new();
        let api = Api::bind(self.address, None).await.unwrap();
        self.run(api);
    }

    /// A token, made as the command line makes it.
    pub(crate) async fn token(
        &self,
        name: &str,
        scope: AccessScope,
        tenant: Option<TenantId>,
    ) -> String {
        let new = NewToken {
            name: name.to_owned(),
            scope,
            tenant_id: tenant,
            expires_at: None,
            created_by: "cli:test".to_owned(),
        };
        let issued = self.store.add_api_token(new).await.unwrap();
        issued.token.expose_secret().to_owned()
    }

    /// A tenant for whom nobody answers.
    pub(crate) async fn tenant(&self, slug: &str) -> TenantId {
        let key = format!("key-of-{slug}");
        let mut new = NewTenant::new(slug, "ws://127.0.0.1:9", key, SECRETS[0]);
        new.call_config_url = Some("http://127.0.0.1:9/".to_owned());
        new.call_config_bearer = Some(SECRETS[1].into());
        new.provider_api_key = Some(SECRETS[2].into());
        let id = add(&self.store, new).await;
        self.projects
            .wait_until(|all| all.iter().any(|project| project.id == id))
            .await;
        id
    }

    /// A call under way, until what is returned is dropped.
    pub(crate) fn live_call(&self, id: TenantId, slug: &str) -> (CallId, Entered) {
        let fields = TenantFields::new(id, slug, "ws://127.0.0.1:9", "key", SECRETS[0].into());
        let tenant = Tenant::try_from(fields).unwrap();
        let assignment = Assignment {
            call_id: CallId::generate(),
            job_id: "AJ_1".to_owned(),
            room: "call-_+15550001111_x".to_owned(),
            token: SECRETS[3].into(),
            url: "ws://127.0.0.1:9".parse().unwrap(),
        };
        let entered = self.calls.enter(&tenant, &assignment, chrono::Utc::now());
        entered.seen(&sip());
        (assignment.call_id, entered)
    }

    /// A call that is over.
    pub(crate) async fn past_call(&self, tenant: TenantId, at_s: i64, caller: &str) -> CallId {
        let id = CallId::generate();
        self.record_call(id, tenant, at_s, caller).await;
        id
    }

    /// The record of a call.
    pub(crate) async fn record_call(&self, id: CallId, tenant: TenantId, at_s: i64, caller: &str) {
        let at = chrono::DateTime::from_timestamp(1_790_000_000 + at_s, 0).unwrap();
        let mut record = CallRecord::new(
            id,
            tenant,
            "AJ_1",
            &format!("call-_{caller}_x"),
            at,
            CallOutcome::CallerHungUp,
        );
        record.caller = PhoneNumber::new(caller);
        record.direction = Some(CallDirection::Inbound);
        record.times.joined = Some(Duration::from_millis(30));
        record.times.ended = Some(Duration::from_millis(900));
        self.store.record_call(&record, "replica-1").await.unwrap();
    }

    pub(crate) fn request(&self, token: &str, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        self.http.request(method, url).bearer_auth(token)
    }

    /// Sends a request and reads its answer, which must be as it is described.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let request = request.build().unwrap();
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = self.http.execute(request).await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.unwrap();
        for secret in SECRETS {
            assert!(!text.contains(secret), "{method} {path} answered {text}");
        }
        let header = |name: &str| {
            let value = headers.get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        let answer = Answer {
            status,
            json: serde_json::from_str(&text).unwrap_or(Value::Null),
            kind: header("content-type"),
            retry_after: header("retry-after"),
            request_id: header("x-request-id"),
            etag: header("etag"),
        };
        assert!(answer.request_id.is_some());
        assert_eq!(header("access-control-allow-origin"), None);
        description::holds(&method, &path, &answer);
        answer
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        self.send(self.request(token, Method::GET, path)).await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        let request = self.request(token, Method::POST, path);
        self.send(request.json(&body)).await
    }

    pub(crate) async fn delete(&self, token: &str, path: &str) -> Answer {
        self.send(self.request(token, Method::DELETE, path)).await
    }

    /// The audit in the order of time: action, target, outcome, actor.
    pub(crate) async fn audit(&self) -> Vec<[String; 4]> {
        let query =
            "SELECT action, coalesce(target, ''), outcome, actor FROM api_audit ORDER BY id";
        let rows = sqlx::query(AssertSqlSafe(query.to_owned()))
            .fetch_all(&self.sql)
            .await
            .unwrap();
        rows.iter()
            .map(|row| [row.get(0), row.get(1), row.get(2), row.get(3)])
            .collect()
    }

    pub(crate) async fn execute(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&self.sql)
            .await
            .unwrap();
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) json: Value,
    pub(crate) kind: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) etag: Option<String>,
}

impl Answer {
    /// What there is, when it went well.
    pub(crate) fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:#}", self.json);
        self.json
    }

    /// What went wrong: the problem's name and all of it.
    pub(crate) fn problem(self, status: u16) -> (String, Value) {
        assert_eq!(self.status, status, "{:#}", self.json);
        assert_eq!(self.kind.as_deref(), Some("application/problem+json"));
        assert_eq!(self.json["status"], json!(status));
        let kind = self.json["type"].as_str().unwrap();
        let name = kind.strip_prefix("urn:trunkline:problem:").unwrap();
        (name.to_owned(), self.json)
    }
}

/// What the items of a list have under a name.
pub(crate) fn column(list: &Value, name: &str) -> Vec<Value> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item[name].clone()).collect()
}

pub(crate) fn client() -> reqwest::Client {
    trunkline_testbed::install_crypto();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(LIMIT)
        .build()
        .unwrap()
}

pub(crate) fn sip() -> SipParticipant {
    SipParticipant {
        identity: "sip_1".to_owned(),
        caller: PhoneNumber::new("+15550001111"),
        called: PhoneNumber::new("+15550002222"),
        direction: CallDirection::Inbound,
        status: CallStatus::Ringing,
        trunk_id: None,
        sip_call_id: None,
        attributes: Default::default(),
    }
}

pub(crate) fn file(directory: &tempfile::TempDir, name: &str, content: &str) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// With no key for a model but the tenants' own.
fn services() -> Services {
    Services::new(
        Lookup::new(&Default::default()).unwrap(),
        trunkline_realtime::Pool::new(
            trunkline_realtime::Connector::new(Default::default()).unwrap(),
            &Default::default(),
        ),
        DefaultProvider {
            base_url: "http://127.0.0.1:9/v1".parse().unwrap(),
            api_key: None,
        },
        CancellationToken::new(),
    )
}

async fn add(store: &Store, new: NewTenant) -> TenantId {
    let actor = Actor::new("cli:test");
    store.add_tenant(new, &actor).await.unwrap().0
}
