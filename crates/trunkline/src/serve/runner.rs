//! What a worker's desk hands its calls to.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use trunkline_call::{Assignment, JobReporter, Services};
use trunkline_domain::{CallRecord, Tenant, TenantId};
use trunkline_worker::CallRunner;

use crate::records::RecordQueue;
use crate::refusals::RefusalRecorder;

pub(super) struct Runner {
    pub(super) services: Arc<Services>,
    pub(super) records: RecordQueue,
    pub(super) refusals: RefusalRecorder,
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

    fn refused(&self, tenant: TenantId, reason: &'static str) {
        self.refusals.refused(tenant, reason);
    }

    fn shortfall(&self, tenant: &Tenant) -> Option<String> {
        let all = self.services.shortfalls(tenant);
        (!all.is_empty()).then(|| all.join("; "))
    }
}
