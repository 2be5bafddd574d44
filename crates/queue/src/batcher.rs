//! Group commit for enqueues: callers that arrive while a commit is under way share the next one.
//!
//! Nothing waits when the line is idle: a lone job pays one round trip. Two connections take turns, so
//! that one statement is being planned while the other waits for the disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::JobState;
use sqlx::PgConnection;
use telemetry::metric;
use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::warn;

use crate::error::{EnqueueError, QueueError, is_away, refusal};
use crate::ledger::insert::{Inserted, insert};
use crate::ledger::{Ledger, Profile};
use crate::new_job::NewJob;

/// Most jobs in one commit.
const MOST: usize = 1000;
const CONNECTIONS: usize = 2;
/// A connection that was not used for this long is tried before it is trusted.
const QUIET: Duration = Duration::from_secs(2);

type Answer = Result<Inserted, EnqueueError>;

struct Call {
    job: NewJob,
    state: JobState,
    answer: oneshot::Sender<(NewJob, Answer)>,
}

/// Handle of the enqueue batcher.
#[derive(Clone)]
pub(crate) struct Batcher {
    calls: mpsc::Sender<Call>,
}

impl Batcher {
    pub(crate) fn start(ledger: &Ledger) -> Self {
        // Bounded: when PostgreSQL can't keep up, callers wait here instead of filling the memory.
        let (calls, receiver) = mpsc::channel(16 * 1024);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..CONNECTIONS {
            tokio::spawn(run(ledger.clone(), receiver.clone()));
        }
        Self { calls }
    }

    /// Commits one job together with whoever else is waiting; gives the job back with its outcome.
    pub(crate) async fn insert(&self, job: NewJob, state: JobState) -> Result<(NewJob, Answer), QueueError> {
        let (answer, answered) = oneshot::channel();
        self.calls.send(Call { job, state, answer }).await.map_err(|_| QueueError::Closed)?;
        answered.await.map_err(|_| QueueError::Closed)
    }
}

async fn run(ledger: Ledger, receiver: Arc<Mutex<mpsc::Receiver<Call>>>) {
    let mut connection: Option<PgConnection> = None;
    let mut used = Instant::now();
    let mut calls: Vec<Call> = Vec::with_capacity(MOST);
    loop {
        calls.clear();
        if receiver.lock().await.recv_many(&mut calls, MOST).await == 0 {
            return;
        }
        if used.elapsed() > QUIET
            && let Some(open) = connection.as_mut()
            && sqlx::Connection::ping(open).await.is_err()
        {
            // PostgreSQL was restarted while nobody enqueued: that need not cost anybody an error.
            connection = None;
        }
        let started = Instant::now();
        used = started;
        #[allow(clippy::cast_precision_loss)] // at most MOST
        metrics::histogram!(metric::GROUP_COMMIT_SIZE, "stage" => "enqueue").record(calls.len() as f64);
        let outcome = commit(&ledger, &mut connection, &calls).await;
        metrics::histogram!(metric::GROUP_COMMIT_SECONDS, "stage" => "enqueue")
            .record(started.elapsed().as_secs_f64());
        match outcome {
            Ok(inserted) => {
                for (call, inserted) in calls.drain(..).zip(inserted) {
                    let _ = call.answer.send((call.job, Ok(inserted)));
                }
            }
            Err(error) if calls.len() > 1 && !is_away(&error) => {
                // One of them carries something the database refuses: it must not take the others along.
                for call in calls.drain(..) {
                    let alone = commit(&ledger, &mut connection, std::slice::from_ref(&call)).await;
                    let answer = alone.map_err(EnqueueError::from).map(|mut done| done.remove(0));
                    let _ = call.answer.send((call.job, answer));
                }
            }
            Err(error) if calls.len() == 1 && refusal(&error).is_some() => {
                // The ledger's own rules keep it out, in words for its caller.
                if let Some(call) = calls.pop() {
                    let _ = call.answer.send((call.job, Err(error.into())));
                }
            }
            Err(error) => {
                metrics::counter!(metric::POSTGRES_ERRORS_TOTAL).increment(1);
                warn!(error = %error, jobs = calls.len(), "enqueue failed; the callers were told");
                let away = is_away(&error);
                for call in calls.drain(..) {
                    let error = if away {
                        QueueError::DatabaseAway(sqlx::Error::WorkerCrashed)
                    } else {
                        QueueError::Database(sqlx::Error::Protocol(error.to_string()))
                    };
                    let _ = call.answer.send((call.job, Err(error.into())));
                }
            }
        }
    }
}

/// One group in one commit. A connection that turns out to be dead is replaced; deadlocks and lost
/// races are tried again.
async fn commit(
    ledger: &Ledger,
    slot: &mut Option<PgConnection>,
    calls: &[Call],
) -> Result<Vec<Inserted>, sqlx::Error> {
    let entries: Vec<_> = calls.iter().map(|call| (&call.job, call.state)).collect();
    let mut tries = 0;
    loop {
        tries += 1;
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => ledger.open(Profile::Durable).await.map_err(|error| match error {
                QueueError::DatabaseAway(error) | QueueError::Database(error) => error,
                QueueError::DispatchAway(_) | QueueError::Closed => sqlx::Error::PoolClosed,
            })?,
        };
        match insert(&mut connection, &entries).await {
            Ok(inserted) => {
                *slot = Some(connection);
                return Ok(inserted);
            }
            Err(error) if tries < 4 && is_worth_repeating(&error) => {
                if !broken(&error) {
                    *slot = Some(connection);
                }
                tokio::time::sleep(Duration::from_millis(5 * tries)).await;
            }
            Err(error) => {
                if !broken(&error) && !is_away(&error) {
                    *slot = Some(connection);
                }
                return Err(error);
            }
        }
    }
}

/// The connection is of no more use.
fn broken(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed)
}

/// Rolled back, so that the same statement may well pass now. A connection that broke is not among
/// them: its statement may have been committed, and a repeat could make a second job.
fn is_worth_repeating(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == "40P01" || code == "40001"),
        _ => false,
    }
}
