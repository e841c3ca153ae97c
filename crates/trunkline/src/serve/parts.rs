//! The parts of the service, made from the configuration and started.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trunkline_admin::api::{Api, ApiBindError, ApiParts};
use trunkline_admin::{Admin, AdminState, BindError};
use trunkline_call::Services;
use trunkline_callconfig::LookupError;
use trunkline_realtime::Pool;
use trunkline_store::{Reporter, Store};
use trunkline_supervisor::{Shutdown, Supervisor, WorkerLauncher};
use trunkline_worker::{Connector, ConnectorError, WorkerContext};

use super::database::{self, Migration};
use super::runner::Runner;
use super::tasks::Tasks;
use super::{ServeError, Stop};
use crate::config::Config;
use crate::last_known;
use crate::records::{self, StoreSink};
use crate::refusals::{RefusalRecorder, StoreRefusals};
use crate::states;
use crate::telemetry::metrics::{self, MetricsError};
use crate::wiring::{self, OpenError};

/// The part whose end is the end of the service: it waits for the database, and
/// then supervises the projects.
pub(super) const CORE: &str = "supervisor";

/// The service could not be started. Nothing runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database's configuration.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The admin address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The API's address or certificate.
    #[error(transparent)]
    BindApi(#[from] ApiBindError),
    /// TLS towards LiveKit.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// TLS towards the rooms' signalling.
    #[error("TLS towards rooms cannot be set up")]
    Signalling(#[source] rustls::Error),
    /// TLS towards models.
    #[error("TLS towards models cannot be set up")]
    Models(#[source] rustls::Error),
    /// The client for configurations.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

/// What runs.
pub(super) struct Parts {
    pub(super) tasks: Tasks,
    /// Ends everything but the core.
    pub(super) background: CancellationToken,
    pub(super) store: Store,
}

impl Parts {
    pub(super) async fn start(
        config: &Config,
        migration: Migration,
        stop: &Stop,
    ) -> Result<Self, StartError> {
        let recorder = metrics::install(&config.metrics)?;
        let store = wiring::open_store(config).await?;
        let replica = wiring::replica_name(config);
        let sink = StoreSink {
            store: store.clone(),
            replica: replica.clone(),
        };
        let (queue, writer) = records::channel(config.records.max_waiting, sink);
        let refusals = RefusalRecorder::default();
        if config.provider.api_key.is_none() {
            tracing::warn!("{}", wiring::NO_MODEL_KEY);
        }
        trunkline_signalling::install().map_err(StartError::Signalling)?;
        let models = trunkline_realtime::Connector::new(config.realtime.clone())
            .map_err(StartError::Models)?;
        let models = Pool::new(models, &config.realtime);
        let lookup = wiring::lookup(config)?;
        let last_known = lookup.last_known().clone();
        let services = Arc::new(Services::new(
            lookup,
            models.clone(),
            wiring::default_provider(config),
            stop.cut.clone(),
        ));
        let runner = Runner {
            services: Arc::clone(&services),
            records: queue,
            refusals: refusals.clone(),
        };
        let context = WorkerContext::new(config.worker.clone(), Connector::new()?);
        let launcher = WorkerLauncher::new(context.clone(), Arc::new(runner));
        let (supervisor, projects) =
            Supervisor::new(config.supervisor.clone(), store.feed(), launcher);
        let admin = Admin::bind(config.admin.listen).await?;
        let api = Api::bind(config.api.listen, config.api.tls()).await?;
        let reporter = Reporter::starting(&replica);
        let (obstacle, obstacle_read) = watch::channel(None);
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            replica,
            admin = %admin.address(),
            api = %format_args!("{}://{}", api.scheme(), api.address()),
            max_calls = config.worker.max_calls().get(),
            "the service starts"
        );

        if api.scheme() == "http" && !api.address().ip().is_loopback() {
            tracing::warn!(
                "the API's tokens cross the network in clear: set api.tls_certificate_file and \
                 api.tls_key_file, or put something before it that speaks TLS"
            );
        }

        let background = CancellationToken::new();
        let mut tasks = Tasks::default();
        tasks.spawn("admin", {
            let state = AdminState::new(
                replica.clone(),
                projects.clone(),
                obstacle_read,
                recorder.clone(),
            );
            let run = admin.run(state, background.clone());
            async move { run.await.map_err(ServeError::Admin) }
        });
        tasks.spawn("models", endless(models.run(background.clone())));
        tasks.spawn(
            "headroom",
            endless(context.clone().watch_headroom(background.clone())),
        );
        tasks.spawn("api", {
            let parts = ApiParts {
                replica: reporter.clone(),
                store: store.clone(),
                projects: projects.clone(),
                services,
                load: context.load().clone(),
                drain: stop.drain.clone(),
                limits: config.api.limits(),
            };
            let run = api.run(parts, background.clone());
            async move { run.await.map_err(ServeError::Api) }
        });
        tasks.spawn("records", endless(writer.run(background.clone())));
        let sink = StoreRefusals {
            store: store.clone(),
            replica: reporter.clone(),
        };
        tasks.spawn(
            "refusals",
            endless(refusals.write(sink, background.clone())),
        );
        tasks.spawn(
            "metrics",
            endless(metrics::upkeep(
                recorder,
                projects.clone(),
                background.clone(),
            )),
        );
        tasks.spawn("last_known", {
            let projects = projects.clone();
            let tenants = move || projects.projects().iter().map(|p| p.id).collect();
            let run = last_known::run(last_known, store.clone(), tenants, background.clone());
            endless(run)
        });
        let states = states::run(store.clone(), reporter, projects, background.clone());
        tasks.spawn("states", endless(states));
        tasks.spawn(CORE, {
            let store = store.clone();
            let shutdown = Shutdown {
                drain: stop.drain.clone(),
                cut: stop.cut.clone(),
            };
            async move {
                tokio::select! {
                    // Nothing runs yet: there is nothing to drain.
                    () = shutdown.drain.cancelled() => return Ok(()),
                    ready = database::wait(&store, migration, &obstacle) => ready?,
                }
                let ending = supervisor.run(shutdown).await;
                tracing::info!(?ending, "the projects have ended");
                Ok(())
            }
        });
        Ok(Self {
            tasks,
            background,
            store,
        })
    }
}

/// A part that cannot fail.
async fn endless(part: impl Future<Output = ()>) -> Result<(), ServeError> {
    part.await;
    Ok(())
}
