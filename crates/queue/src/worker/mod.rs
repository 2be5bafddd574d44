//! A worker's engine room: takes ids from the dispatcher, claims them in the ledger, hands them to the
//! lanes' backends, writes down how they ended, and keeps one heartbeat for all of them.
//!
//! Refuses to know what a job does: that runs behind [`crate::backend::LaneBackend`].

mod completer;
mod fetch;
mod fleet;
mod flight;
mod heartbeat;
mod screen;
mod slots;
mod told;

use std::sync::Arc;
use std::time::Duration;

use domain::WorkerId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::backend::LaneBackend;
use crate::engine::Queue;
use crate::error::QueueError;
use crate::kind::KindBook;

pub(crate) use completer::Completer;
pub(crate) use flight::Flights;
pub use flight::{Assignment, StopReason};
pub(crate) use slots::Slots;
pub(crate) use told::Told;

/// How a worker process is set up.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Name shown to people; the host's and process' by default.
    pub name: String,
    /// Lanes to work in; all when empty. A name that is no lane is passed over: check names before.
    pub lanes: Vec<String>,
    /// Overrides every lane's slots (benchmarks, small machines).
    pub concurrency: Option<usize>,
    /// A worker not seen for this long is lost and its jobs are taken back.
    pub lease: Duration,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            name: format!("{}-{}", fleet::hostname(), std::process::id()),
            lanes: Vec::new(),
            concurrency: None,
            lease: Duration::from_secs(6),
        }
    }
}

/// What the worker's tasks share.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) book: Arc<dyn KindBook>,
    pub(crate) config: WorkerConfig,
    pub(crate) identity: fleet::Identity,
    pub(crate) slots: Slots,
    pub(crate) flights: Flights,
    pub(crate) told: Told,
    pub(crate) completer: Completer,
    /// Cancelled when no more jobs are to be taken.
    pub(crate) draining: CancellationToken,
}

/// A running worker.
pub struct Worker {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    completions: TaskTracker,
    stopped: CancellationToken,
}

impl Worker {
    /// Registers in the fleet and starts taking jobs; one backend for each lane comes back, to be run
    /// by an apalis worker.
    ///
    /// # Errors
    /// [`QueueError`] when the ledger is away.
    pub async fn start(
        queue: Queue,
        book: Arc<dyn KindBook>,
        config: WorkerConfig,
    ) -> Result<(Self, Vec<LaneBackend>), QueueError> {
        let table = queue.lanes();
        let lanes: Vec<_> = table
            .lanes
            .iter()
            .filter(|lane| config.lanes.is_empty() || config.lanes.iter().any(|name| **name == *lane.lane))
            .cloned()
            .collect();
        let identity = fleet::Identity::register(&queue, &config, &lanes).await?;
        let slots = Slots::new(&lanes, config.concurrency);
        let completions = TaskTracker::new();
        let told = Told::default();
        let completer = Completer::start(&queue, &told, &completions);
        let shared = Arc::new(Shared {
            queue,
            book,
            config,
            identity,
            slots,
            flights: Flights::default(),
            told,
            completer,
            draining: CancellationToken::new(),
        });
        let mut backends = Vec::with_capacity(lanes.len());
        let mut senders = Vec::with_capacity(lanes.len());
        for lane in &lanes {
            // The slots bound what is in the channel; its own bound never bites.
            let (sender, receiver) = mpsc::channel(20_000);
            senders.push((lane.lane.clone(), sender));
            backends.push(LaneBackend::new(lane.lane.clone(), receiver, shared.clone()));
        }
        let tasks = TaskTracker::new();
        fetch::start(&shared, senders, &tasks);
        let stopped = CancellationToken::new();
        tokio::spawn(heartbeat::run(shared.clone(), stopped.clone()));
        info!(worker = %shared.identity.id(), name = %shared.config.name, lanes = lanes.len(), "worker started");
        Ok((Self { shared, tasks, completions, stopped }, backends))
    }

    /// The worker's present id.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.shared.identity.id()
    }

    /// Jobs in this worker's hands.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.slots.used()
    }

    /// Stops taking jobs; those in hand go on. Call [`Worker::finish`] next.
    pub async fn drain(&self) {
        self.shared.draining.cancel();
        fleet::set_state(&self.shared, "draining").await;
        self.tasks.close();
        self.tasks.wait().await;
        let lanes: Vec<_> = self.shared.queue.lanes().lanes.iter().map(|lane| lane.lane.clone()).collect();
        let _ = self.shared.queue.dispatch().wake(&lanes).await;
    }

    /// Waits for the jobs in hand, at most `deadline`; what is not done by then is stopped and goes back
    /// to its lane with its attempt. Returns when everything is written down.
    pub async fn finish(self, deadline: Duration) {
        let waited = tokio::time::timeout(deadline, self.shared.slots.empty()).await;
        if waited.is_err() {
            info!(jobs = self.in_flight(), "drain deadline reached: the rest goes back to its lanes");
            self.shared.flights.stop_all(StopReason::Drained);
            let _ = tokio::time::timeout(Duration::from_secs(5), self.shared.slots.empty()).await;
        }
        self.shared.completer.close();
        self.completions.close();
        let _ = tokio::time::timeout(Duration::from_secs(10), self.completions.wait()).await;
        self.stopped.cancel();
        fleet::set_state(&self.shared, "stopped").await;
        info!(worker = %self.shared.identity.id(), "worker stopped");
    }
}
