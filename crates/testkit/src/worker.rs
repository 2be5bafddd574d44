//! Workers for tests: in the test's own runtime, or apart in a thread of their own that can be paused
//! (as SIGSTOP would) and killed (as SIGKILL would).

use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::Duration;

use domain::WorkerId;
use queue::tend::{TendConfig, Tender};
use queue::worker::WorkerConfig;
use queue::{Queue, QueueConfig};
use tokio::sync::oneshot;
use workers::Crew;

use crate::book::Book;

/// Starts a worker in the caller's runtime: real apalis workers over the queue's backend.
pub async fn start(queue: &Queue, book: &Arc<Book>, config: WorkerConfig) -> Crew {
    Crew::start(queue.clone(), book.clone(), book.clone(), config).await.expect("start a worker")
}

/// A worker for every lane, with so many slots in each and a short lease.
#[must_use]
pub fn slots(concurrency: usize) -> WorkerConfig {
    WorkerConfig { concurrency: Some(concurrency), lease: LEASE, ..WorkerConfig::default() }
}

/// The short lease of tests.
pub const LEASE: Duration = Duration::from_millis(1500);

/// Tending in a hurry: what takes half a minute in production takes half a second.
#[must_use]
pub fn hasty() -> TendConfig {
    TendConfig {
        lease: LEASE,
        watch_every: Duration::from_millis(100),
        sweep_every: Duration::from_millis(500),
        prune_every: Duration::from_millis(300),
    }
}

/// Starts tending in a hurry.
#[must_use]
pub fn tend(queue: &Queue, book: &Arc<Book>) -> Tender {
    Tender::start(queue, book.clone(), hasty())
}

/// A worker apart: own thread, own runtime, own connections.
pub struct Apart {
    orders: tokio::sync::mpsc::UnboundedSender<Order>,
    paused: Option<blocking::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

enum Order {
    Pause(blocking::Receiver<()>, oneshot::Sender<()>),
    Leave(Duration, oneshot::Sender<()>),
    Die,
}

impl Apart {
    /// Starts one and waits until it is registered.
    pub async fn start(queue: QueueConfig, book: &Arc<Book>, config: WorkerConfig) -> Self {
        let (orders, received) = tokio::sync::mpsc::unbounded_channel();
        let (ready, started) = oneshot::channel();
        let book = book.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(live(queue, book, config, received, ready));
            // Whatever still runs ends here, at its next await, without a word to anybody.
            runtime.shutdown_background();
        });
        started.await.expect("the worker apart did not start");
        Self { orders, paused: None, thread: Some(thread) }
    }

    /// Stops its thread in the middle of everything, until [`Apart::resume`].
    pub async fn pause(&mut self) {
        let (resume, blocked) = blocking::channel();
        let (stands, still) = oneshot::channel();
        self.order(Order::Pause(blocked, stands));
        still.await.expect("the worker apart is gone");
        self.paused = Some(resume);
    }

    /// Lets it go on as if nothing had happened.
    pub fn resume(&mut self) {
        self.paused = None;
    }

    /// Ends it at once: no goodbye, nothing written down.
    pub fn kill(mut self) {
        self.end();
    }

    /// Lets it leave in order, with so much time for the jobs in hand.
    pub async fn leave(self, deadline: Duration) {
        let (left, gone) = oneshot::channel();
        self.order(Order::Leave(deadline, left));
        gone.await.expect("the worker apart is gone");
    }

    fn order(&self, order: Order) {
        assert!(self.orders.send(order).is_ok(), "the worker apart is gone");
    }

    fn end(&mut self) {
        self.paused = None;
        let _ = self.orders.send(Order::Die);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.end();
    }
}

async fn live(
    queue: QueueConfig,
    book: Arc<Book>,
    config: WorkerConfig,
    mut orders: tokio::sync::mpsc::UnboundedReceiver<Order>,
    ready: oneshot::Sender<()>,
) {
    let queue = Queue::connect(queue).await.expect("connect the queue");
    let crew = start(&queue, &book, config).await;
    let _ = ready.send(());
    loop {
        match orders.recv().await {
            Some(Order::Pause(blocked, stands)) => {
                let _ = stands.send(());
                // Blocks the only thread there is: no job moves and no heartbeat is sent.
                let _ = blocked.recv();
            }
            Some(Order::Leave(deadline, left)) => {
                crew.leave(deadline).await;
                let _ = left.send(());
                return;
            }
            Some(Order::Die) | None => return,
        }
    }
}

/// Ids of the workers that the fleet holds for alive.
pub async fn alive(queue: &Queue) -> Vec<WorkerId> {
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT worker_id FROM worker WHERE state IN ('running', 'draining')")
            .fetch_all(queue.pool())
            .await
            .expect("read the fleet");
    ids.into_iter().map(WorkerId).collect()
}
