//! A call on a real livekit-server, without the product around it: what only a
//! fault of ours can bring about.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use trunkline_call::{Assignment, DefaultProvider, JobReporter, JobStatus, Services};
use trunkline_callconfig::Lookup;
use trunkline_domain::{CallId, Tenant, TenantFields, TenantId};
use trunkline_realtime::{Connector, Pool};
use trunkline_testbed::caller::{Caller, CallerOptions};
use trunkline_testbed::livekit::{LiveKitOptions, LiveKitServer};

/// A bound for what takes milliseconds.
const SOON: Duration = Duration::from_secs(20);

/// A fault of ours: the first report panics, in the call's task.
struct Broken;

impl JobReporter for Broken {
    fn report(&self, _job_id: &str, _status: JobStatus) {
        panic!("a fault of ours")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_crashes_does_not_leave_its_caller_in_silence() -> anyhow::Result<()> {
    trunkline_testbed::install_crypto();
    let livekit = LiveKitServer::start(LiveKitOptions::default()).await?;
    let caller = Caller::ring(CallerOptions::to(&livekit, "+15550001000")).await?;
    let services = Services::new(
        Lookup::new(&Default::default())?,
        Pool::new(Connector::new(Default::default())?, &Default::default()),
        DefaultProvider {
            base_url: "http://127.0.0.1:9".parse()?,
            api_key: None,
        },
        CancellationToken::new(),
    );
    let assignment = Assignment {
        call_id: CallId::generate(),
        job_id: "AJ_test".to_owned(),
        room: caller.room().to_owned(),
        token: "unused".into(),
        url: livekit.url().parse()?,
    };
    let tenant = Arc::new(tenant(&livekit)?);
    let stop = CancellationToken::new();
    let mut calls = JoinSet::new();
    calls.spawn(trunkline_call::run(
        services.into(),
        tenant,
        assignment,
        Arc::new(Broken),
        stop,
    ));

    let exit = calls.join_next().await.expect("one call");
    assert!(
        exit.is_err_and(|error| error.is_panic()),
        "the fault is passed on"
    );
    caller.wait_ended(SOON).await?;
    Ok(())
}

fn tenant(livekit: &LiveKitServer) -> anyhow::Result<Tenant> {
    Ok(Tenant::try_from(TenantFields::new(
        TenantId(uuid::Uuid::nil()),
        "acme",
        &livekit.url(),
        livekit.api_key(),
        livekit.api_secret().clone(),
    ))?)
}
