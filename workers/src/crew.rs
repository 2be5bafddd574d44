//! A worker process' crew: an apalis worker for each lane, and how all of them leave.
//!
//! Each lane's worker is a task of its own, not one of a monitor's: a monitor polls all of them in a
//! single task, so that a busy lane would hold up the others, and it restarts workers that end with an
//! error, which ours never do.

use std::sync::Arc;
use std::time::Duration;

use apalis::layers::catch_panic::CatchPanicLayer;
use apalis_core::error::BoxDynError;
use apalis_core::task::data::Data;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use queue::backend::{LaneBackend, Panicked, Success};
use queue::kind::KindBook;
use queue::worker::{Assignment, Worker, WorkerConfig};
use queue::{Queue, QueueError};
use tokio::task::JoinSet;
use tracing::{error, info};

/// A running crew.
pub struct Crew {
    worker: Worker,
    lanes: JoinSet<()>,
    contexts: Vec<WorkerContext>,
}

impl Crew {
    /// Registers the process in the fleet and starts working. `run` is called for every job.
    ///
    /// # Errors
    /// [`QueueError`] when the ledger is away.
    pub async fn start<R>(
        queue: Queue,
        book: Arc<dyn KindBook>,
        run: Arc<R>,
        config: WorkerConfig,
    ) -> Result<Self, QueueError>
    where
        R: Run,
    {
        let (worker, backends) = Worker::start(queue, book, config).await?;
        let mut lanes = JoinSet::new();
        let mut contexts = Vec::with_capacity(backends.len());
        for backend in backends {
            let (context, work) = lane_worker(backend, run.clone());
            contexts.push(context);
            lanes.spawn(work);
        }
        Ok(Self { worker, lanes, contexts })
    }

    /// Jobs in hand.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.worker.in_flight()
    }

    /// Takes no more jobs, lets those in hand end for at most `deadline`, gives the rest back, and writes
    /// everything down before it returns.
    pub async fn leave(mut self, deadline: Duration) {
        info!(in_flight = self.in_flight(), ?deadline, "leaving: no more jobs are taken");
        self.worker.drain().await;
        for context in &self.contexts {
            // Jobs that were handed on but not started go back when their lane's worker stops.
            let _ = context.stop();
        }
        self.worker.finish(deadline).await;
        while self.lanes.join_next().await.is_some() {}
    }
}

/// Runs jobs of any kind. Implemented by [`crate::Runner`]; benchmarks and tests bring their own.
pub trait Run: Send + Sync + 'static {
    /// Runs one job to its end.
    fn run(&self, assignment: Assignment) -> impl Future<Output = Result<Success, BoxDynError>> + Send;
}

/// One lane's worker, ready to be driven, and the context that stops it.
pub fn lane_worker<R: Run>(
    backend: LaneBackend,
    run: Arc<R>,
) -> (WorkerContext, impl Future<Output = ()> + Send + 'static) {
    let lane = backend.lane().clone();
    let context = WorkerContext::new(&lane);
    let worker = WorkerBuilder::new(context.clone())
        .backend(backend)
        .data(run)
        .layer(CatchPanicLayer::with_panic_handler(Panicked::from_payload))
        .build(handle::<R>);
    let work = async move {
        if let Err(failure) = worker.run().await {
            error!(%lane, error = %failure, "a lane's worker ended");
        }
    };
    (context, work)
}

async fn handle<R: Run>(assignment: Assignment, run: Data<Arc<R>>) -> Result<Success, BoxDynError> {
    run.run(assignment).await
}
