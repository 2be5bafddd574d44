//! Runs a claimed job by its kind's handler: context in, time limit around it, outcome out.

use std::sync::Arc;

use apalis_core::error::BoxDynError;
use jobs::{Ctx, JobInfo, Ports, ProgressSink, Registry};
use queue::KindBook;
use queue::backend::{Success, TimedOut};
use queue::worker::Assignment;
use store::Store;
use tracing::Instrument;

use crate::crew::Run;

/// Runs jobs of the registry's kinds.
pub struct Runner {
    registry: Arc<Registry>,
    ports: Arc<Ports>,
    store: Store,
    progress: Arc<dyn ProgressSink>,
}

impl Runner {
    /// A runner for `registry` with these ports and this tenant data; progress goes to the ledger of `queue`.
    #[must_use]
    pub fn new(registry: Arc<Registry>, ports: Arc<Ports>, store: Store, queue: &queue::Queue) -> Self {
        let progress = Arc::new(crate::progress::LedgerProgress::start(queue.clone()));
        Self { registry, ports, store, progress }
    }
}

impl Run for Runner {
    async fn run(&self, assignment: Assignment) -> Result<Success, BoxDynError> {
        let job = &assignment.job;
        let info = JobInfo {
            job_id: job.job_id,
            org_id: job.org_id,
            workspace_id: job.workspace_id,
            actor_id: job.actor_id,
            private_to: job.private_to,
            kind: job.kind.clone(),
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            claim_no: job.claim_no,
            request_id: job.request_id.clone(),
            created_at: job.created_at,
            deadline_at: job.deadline_at,
        };
        let span = tracing::info_span!("job", job_id = %job.job_id, kind = %job.kind, attempt = job.attempt,
            org_id = %job.org_id, request_id = job.request_id.as_deref());
        let stop = assignment.stop_token();
        let ctx = Ctx::new(info, self.ports.clone(), self.store.clone(), self.progress.clone(), stop);
        let run = self.registry.run(&job.kind, job.kind_version, &job.payload, &ctx).instrument(span);
        let done = match self.registry.policy(&job.kind, job.kind_version).map(|policy| policy.timeout) {
            Some(limit) => tokio::time::timeout(limit, run).await.map_err(|_| TimedOut(limit))?,
            None => run.await,
        }?;
        Ok(Success { result: done.result.map(|result| result.to_string()), next: ctx.take_successors() })
    }
}
