//! Group commit for completions: jobs that end while a commit is under way share the next one.
//!
//! A completion is kept until PostgreSQL has taken it; while PostgreSQL is away the bounded line fills
//! and handlers wait. One that is refused because its claim was lost is counted and dropped: another
//! worker has the job.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{JobState, WorkerId};
use sqlx::PgConnection;
use telemetry::metric;
use tokio::sync::{Mutex, mpsc};
use tokio_util::task::TaskTracker;
use tracing::{debug, error, warn};

use super::Told;
use crate::engine::Queue;
use crate::error::is_away;
use crate::events::JobChange;
use crate::ledger::Profile;
use crate::ledger::claim::Claimed;
use crate::ledger::finish::{Completion, Finished, Settled, finish};

const MOST: usize = 1000;
const CONNECTIONS: usize = 2;

/// What only the process needs to know of a finished run.
struct Ran {
    kind: Arc<str>,
    /// None when no handler ran.
    took: Option<Duration>,
    /// It counts against a cap.
    counted: bool,
}

struct Entry {
    worker: WorkerId,
    completion: Completion,
    ran: Ran,
}

/// Handle of the completion batcher.
pub(crate) struct Completer {
    entries: std::sync::Mutex<Option<mpsc::Sender<Entry>>>,
}

impl Completer {
    pub(crate) fn start(queue: &Queue, told: &Told, tasks: &TaskTracker) -> Self {
        let (sender, receiver) = mpsc::channel(4096);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..CONNECTIONS {
            tasks.spawn(run(queue.clone(), told.clone(), receiver.clone()));
        }
        Self { entries: std::sync::Mutex::new(Some(sender)) }
    }

    /// Hands over how a claim ended; waits only when the line is full. `took` is none when no handler ran.
    pub(crate) async fn send(
        &self,
        worker: WorkerId,
        job: &Claimed,
        settled: Settled,
        took: Option<Duration>,
    ) {
        let ran = Ran { kind: job.kind.clone(), took, counted: job.counted };
        let completion = Completion {
            job_id: job.job_id,
            org_id: job.org_id,
            claim_no: job.claim_no,
            lane: job.lane.clone(),
            batch_id: job.batch_id,
            successors: job.successors.clone(),
            settled,
        };
        let sender = self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        if let Some(sender) = sender {
            let _ = sender.send(Entry { worker, completion, ran }).await;
        }
    }

    /// No more completions come; what is in the line is still written.
    pub(crate) fn close(&self) {
        self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    }
}

async fn run(queue: Queue, told: Told, receiver: Arc<Mutex<mpsc::Receiver<Entry>>>) {
    let mut connection: Option<PgConnection> = None;
    let mut entries: Vec<Entry> = Vec::with_capacity(MOST);
    loop {
        entries.clear();
        if receiver.lock().await.recv_many(&mut entries, MOST).await == 0 {
            return;
        }
        // A worker that was declared lost goes on under a new name: nearly always there is one group.
        let mut by_worker: HashMap<WorkerId, (Vec<Completion>, Vec<Ran>)> = HashMap::new();
        for entry in entries.drain(..) {
            let group = by_worker.entry(entry.worker).or_default();
            group.0.push(entry.completion);
            group.1.push(entry.ran);
        }
        for (worker, (group, ran)) in by_worker {
            let started = Instant::now();
            let finished = commit(&queue, &mut connection, worker, &group).await;
            #[allow(clippy::cast_precision_loss)] // at most MOST
            metrics::histogram!(metric::GROUP_COMMIT_SIZE, "stage" => "complete").record(group.len() as f64);
            metrics::histogram!(metric::GROUP_COMMIT_SECONDS, "stage" => "complete")
                .record(started.elapsed().as_secs_f64());
            // Before anything of it is dispatched again.
            told.settle(group.iter().map(|one| (one.job_id, one.claim_no)));
            tell(&queue, &group, &ran, finished).await;
        }
    }
}

/// Writes a group, as often as it takes.
async fn commit(
    queue: &Queue,
    slot: &mut Option<PgConnection>,
    worker: WorkerId,
    group: &[Completion],
) -> Finished {
    let mut pause = Duration::from_millis(20);
    let mut refused: Option<Vec<Completion>> = None;
    loop {
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => match queue.open(Profile::Durable).await {
                Ok(connection) => connection,
                Err(error) => {
                    debug!(error = %error, "completions wait for PostgreSQL");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                    continue;
                }
            },
        };
        match finish(&mut connection, worker, refused.as_deref().unwrap_or(group), &queue.lanes()).await {
            Ok(finished) => {
                *slot = Some(connection);
                return finished;
            }
            Err(error) if is_away(&error) => {
                metrics::counter!(metric::POSTGRES_ERRORS_TOTAL).increment(1);
                warn!(error = %error, jobs = group.len(), "completions wait for PostgreSQL");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
            Err(error) if group.len() > 1 => {
                // One of them carries something the ledger refuses; it must not hold up the others.
                warn!(error = %error, "a group of completions was refused; writing them one by one");
                *slot = Some(connection);
                let mut all = Finished::default();
                for one in group {
                    let finished = Box::pin(commit(queue, slot, worker, std::slice::from_ref(one))).await;
                    all.accepted.extend(finished.accepted);
                    all.ready.extend(finished.ready);
                }
                return all;
            }
            Err(error) => {
                *slot = Some(connection);
                if refused.is_some() {
                    error!(error = %error, "an outcome was refused twice; the job returns when this worker ends");
                    return Finished::default();
                }
                // What it wanted to leave behind can't be stored: a dead letter says so.
                warn!(error = %error, "a completion was refused; the job becomes a dead letter");
                refused = Some(group.iter().map(as_refused).collect());
            }
        }
    }
}

/// The same claim, ended as a dead letter with nothing of its own.
fn as_refused(one: &Completion) -> Completion {
    Completion {
        successors: None,
        settled: Settled::Ended {
            state: JobState::Dead,
            code: "outcome_refused".into(),
            message: "the ledger could not store the outcome of this run".into(),
        },
        ..one.clone()
    }
}

/// Metrics, dispatch of what follows, and the live stream.
async fn tell(queue: &Queue, group: &[Completion], ran: &[Ran], finished: Finished) {
    let mut released = Vec::new();
    let mut changes = Vec::new();
    for (one, ran) in group.iter().zip(ran) {
        if !finished.accepted.contains(&one.job_id.0) {
            metrics::counter!(metric::FENCED_COMPLETIONS_TOTAL, "lane" => one.lane.clone()).increment(1);
            debug!(job = %one.job_id, "completion refused: the claim was lost");
            continue;
        }
        if ran.counted {
            released.push((one.lane.clone(), one.org_id, one.job_id));
        }
        let (state, outcome) = match &one.settled {
            Settled::Succeeded { .. } => (JobState::Succeeded, Some("succeeded")),
            Settled::Ended { state, .. } => (*state, Some(state.as_str())),
            Settled::Retry { .. } => (JobState::Scheduled, None),
            Settled::Parked { .. } => (JobState::Parked, None),
            Settled::Released => (JobState::Queued, None),
        };
        match outcome {
            Some(outcome) => metrics::counter!(metric::JOBS_FINISHED_TOTAL, "kind" => ran.kind.clone(),
                "lane" => one.lane.clone(), "outcome" => outcome)
            .increment(1),
            None if matches!(one.settled, Settled::Retry { .. }) => {
                metrics::counter!(metric::JOB_RETRIES_TOTAL, "kind" => ran.kind.clone(),
                    "lane" => one.lane.clone())
                .increment(1);
            }
            None => {}
        }
        if let Some(took) = ran.took {
            metrics::histogram!(metric::JOB_RUN_SECONDS, "kind" => ran.kind.clone(), "lane" => one.lane.clone())
                .record(took.as_secs_f64());
        }
        if queue.events().is_watched(one.org_id) {
            let (kind, lane) = (ran.kind.clone(), one.lane.clone());
            changes.push((one.org_id, JobChange { job_id: one.job_id, kind, lane, state }));
        }
    }
    // Before a released job is dispatched again: it counts for whoever takes it then.
    if !released.is_empty()
        && let Err(error) = queue.dispatch().release(&released).await
    {
        debug!(error = %error, "capped lanes' counts are corrected by the sweep");
    }
    queue.send(finished.ready);
    queue.events().publish(changes).await;
}
