//! Progress on its way to the ledger: the newest report of each job, a few times a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use domain::JobId;
use jobs::{JobInfo, ProgressSink};
use queue::Queue;
use tokio::sync::Notify;
use tracing::debug;

const EVERY: Duration = Duration::from_millis(250);

type Reports = Mutex<HashMap<(JobId, i32), (u64, Option<u64>)>>;

/// Keeps the newest report of each running job and writes them down in turn.
pub(crate) struct LedgerProgress {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    reports: Reports,
    news: Notify,
}

impl LedgerProgress {
    /// Starts the task that writes; it ends with this value.
    pub(crate) fn start(queue: Queue) -> Self {
        let shared = Arc::new(Shared::default());
        tokio::spawn(write(queue, Arc::downgrade(&shared)));
        Self { shared }
    }
}

impl Drop for LedgerProgress {
    fn drop(&mut self) {
        self.shared.news.notify_one();
    }
}

impl ProgressSink for LedgerProgress {
    fn progress(&self, job: &JobInfo, done: u64, total: Option<u64>) {
        let mut reports = self.shared.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.insert((job.job_id, job.claim_no), (done, total));
        drop(reports);
        self.shared.news.notify_one();
    }
}

async fn write(queue: Queue, shared: Weak<Shared>) {
    loop {
        let Some(held) = shared.upgrade() else { return };
        // Waiting holds the state only weakly enough to end: the drop of the sink rings once more.
        let news = async {
            held.news.notified().await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), news).await;
        let reports = std::mem::take(&mut *held.reports.lock().unwrap_or_else(PoisonError::into_inner));
        drop(held);
        for ((job, claim_no), (done, total)) in reports {
            if let Err(error) = queue.progress(job, claim_no, done, total).await {
                debug!(%job, error = %error, "a progress report was lost");
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}
