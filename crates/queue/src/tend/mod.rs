//! Tending: what keeps the queue moving besides the workers' own loops. Promotes what is due, takes
//! back what lost workers held, sends again what the dispatcher lost, expires, prunes.
//!
//! Any number of processes may tend at once: rows are locked with SKIP LOCKED, or an advisory lock lets
//! one do the sweep. There is no leader to lose.

mod late;
mod promote;
mod prune;
mod stats;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

use crate::engine::Queue;
use crate::kind::KindBook;

pub use stats::{LaneStats, lane_stats, publish_stats};

/// How often and how patiently.
#[derive(Clone, Copy, Debug)]
pub struct TendConfig {
    /// A worker not seen for this long is lost.
    pub lease: Duration,
    /// How often workers and the generation marker are looked at.
    pub watch_every: Duration,
    /// How often everything queued is checked against the dispatcher.
    pub sweep_every: Duration,
    /// How often finished jobs past their retention are pruned.
    pub prune_every: Duration,
}

impl Default for TendConfig {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(6),
            watch_every: Duration::from_secs(1),
            sweep_every: Duration::from_secs(30),
            prune_every: Duration::from_secs(600),
        }
    }
}

/// A running tender.
pub struct Tender {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Tender {
    /// Starts tending.
    #[must_use]
    pub fn start(queue: &Queue, book: Arc<dyn KindBook>, config: TendConfig) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (q, s) = (queue.clone(), stop.clone());
        keep(&tasks, &stop, "promotion", move || promote::run(q.clone(), s.clone()));
        let (q, s) = (queue.clone(), stop.clone());
        keep(&tasks, &stop, "late release", move || late::run(q.clone(), s.clone()));
        let (q, s) = (queue.clone(), stop.clone());
        keep(&tasks, &stop, "sweep", move || sweep::run(q.clone(), config, s.clone()));
        let (q, s) = (queue.clone(), stop.clone());
        keep(&tasks, &stop, "pruning", move || {
            prune::run(q.clone(), book.clone(), config.prune_every, s.clone())
        });
        Self { stop, tasks }
    }

    /// Stops after the work in hand.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(5), self.tasks.wait()).await;
    }
}

/// Keeps one of the loops going: a panic in it is a fault of ours, and must not leave a process that
/// looks alive and tends nothing.
fn keep<F, R>(tasks: &TaskTracker, stop: &CancellationToken, what: &'static str, start: F)
where
    F: Fn() -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let stop = stop.clone();
    tasks.spawn(async move {
        while let Err(failure) = tokio::spawn(start()).await {
            error!(error = %failure, what, "a tending loop broke off; starting it again");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    });
}
