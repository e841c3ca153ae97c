//! What a worker's desk hands its calls to.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use trunkline_call::{Assignment, JobReporter, Services};
use trunkline_domain::{CallRecord, Tenant};
use trunkline_worker::CallRunner;

use crate::records::RecordQueue;

pub(super) struct Runner {
    pub(super) services: Arc<Services>,
    pub(super) records: RecordQueue,
}

impl CallRunner for Runner {
    fn run(
        &self,
        tenant: Arc<Tenant>,
        assignment: Assignment,
        jobs: Arc<dyn JobReporter>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, CallRecord> {
        let services = Arc::clone(&self.services);
        trunkline_call::run(services, tenant, assignment, jobs, stop).boxed()
    }

    fn finished(&self, record: CallRecord) {
        self.records.push(record);
    }
}
