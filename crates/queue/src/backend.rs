//! The apalis backend: one [`LaneBackend`] a lane yields claimed jobs, and its middleware decides and
//! writes down how each run ended.
//!
//! Never yields an error (that would end the worker): everything that can fail is retried behind it.
//! Each run is a task of its own, so that a handler that blocks or panics takes nobody along.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::error::BoxDynError;
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use apalis_core::worker::context::WorkerContext;
use chrono::Utc;
use domain::{JobError, JobState};
use futures::FutureExt;
use telemetry::metric;
use tokio::sync::mpsc;
use tower::{Layer, Service};
use tracing::{debug, error};

use crate::kind::KindPolicy;
use crate::ledger::claim::Claimed;
use crate::ledger::finish::Settled;
use crate::new_job::NewJob;
use crate::worker::{Assignment, Shared, StopReason};

/// Longest error message that is kept, in bytes.
const MESSAGE_BYTES: usize = 8 * 1024;

/// What a handler leaves behind when it went well.
#[derive(Clone, Debug, Default)]
pub struct Success {
    /// JSON text of the result, kept with the job.
    pub result: Option<String>,
    /// Jobs to enqueue in the transaction that completes this one.
    pub next: Vec<NewJob>,
}

/// A run took longer than its kind allows.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the run took longer than {0:?}")]
pub struct TimedOut(pub Duration);

/// Source of one lane's jobs for an apalis worker.
pub struct LaneBackend {
    lane: Arc<str>,
    jobs: mpsc::Receiver<Assignment>,
    shared: Arc<Shared>,
    /// Jobs that were handed on but not started when the worker left.
    returning: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl LaneBackend {
    pub(crate) fn new(lane: Arc<str>, jobs: mpsc::Receiver<Assignment>, shared: Arc<Shared>) -> Self {
        Self { lane, jobs, shared, returning: None }
    }

    /// The lane's name.
    #[must_use]
    pub fn lane(&self) -> &Arc<str> {
        &self.lane
    }
}

impl std::fmt::Debug for LaneBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaneBackend").field("lane", &self.lane).finish_non_exhaustive()
    }
}

impl Backend for LaneBackend {
    type Task = Task<Assignment>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        self.jobs.poll_recv(cx).map(|job| {
            job.map(|assignment| {
                let id = TaskId::from_uuid(assignment.job.job_id.0);
                Ok(TaskBuilder::new(assignment).task_id(id).build())
            })
        })
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        if self.returning.is_none() {
            self.jobs.close();
            let mut waiting = Vec::new();
            while let Ok(assignment) = self.jobs.try_recv() {
                waiting.push(assignment);
            }
            let shared = self.shared.clone();
            self.returning = Some(Box::pin(async move {
                for assignment in waiting {
                    shared.flights.remove(assignment.job.job_id, assignment.job.claim_no);
                    shared.completer.send(assignment.worker, &assignment.job, Settled::Released, None).await;
                }
            }));
        }
        match self.returning.as_mut() {
            Some(returning) => returning.as_mut().poll(cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl BackendConfig for LaneBackend {
    type Args = Assignment;
    type Id = uuid::Uuid;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = SettleLayer;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> SettleLayer {
        SettleLayer { shared: self.shared.clone() }
    }
}

/// Wraps a lane's handler: runs it, decides, writes down.
#[derive(Clone)]
pub struct SettleLayer {
    shared: Arc<Shared>,
}

impl<S> Layer<S> for SettleLayer {
    type Service = SettleService<S>;

    fn layer(&self, inner: S) -> SettleService<S> {
        SettleService { inner, shared: self.shared.clone() }
    }
}

/// See [`SettleLayer`].
#[derive(Clone)]
pub struct SettleService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<Task<Assignment>> for SettleService<S>
where
    S: Service<Task<Assignment>, Response = Success>,
    S::Error: Into<BoxDynError> + Send,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = Pin<Box<dyn Future<Output = Result<(), BoxDynError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut task: Task<Assignment>) -> Self::Future {
        let job = task.args.job.clone();
        let (worker, stop) = (task.args.worker, task.args.stop.clone());
        // The slot is held until the outcome is handed over, not only until the handler returns.
        let slot = task.args.slot.take();
        let run = self.inner.call(task);
        let shared = self.shared.clone();
        let run = tokio::spawn(async move {
            let started = Instant::now();
            if let Some(queued) = job.queued_at {
                let waited = (Utc::now() - queued).to_std().unwrap_or_default();
                metrics::histogram!(metric::JOB_WAIT_SECONDS, "lane" => job.lane.clone())
                    .record(waited.as_secs_f64());
            }
            let outcome = tokio::select! {
                biased;
                outcome = std::panic::AssertUnwindSafe(run).catch_unwind() => Ran::Returned(outcome),
                reason = stop.stopped() => Ran::Stopped(reason),
            };
            // A handler that noticed the stop by itself returns an error of its own: the reason counts.
            let outcome = match (outcome, stop.reason()) {
                (Ran::Returned(Ok(Err(_))), Some(reason)) => Ran::Stopped(reason),
                (outcome, _) => outcome,
            };
            let settled = match outcome {
                Ran::Returned(Ok(Ok(success))) => succeed(&shared, &job, success),
                Ran::Returned(Ok(Err(failure))) => decide(&shared, &job, &failure.into()),
                Ran::Returned(Err(panic)) => {
                    let panicked: BoxDynError = Box::new(Panicked::from_payload(&panic));
                    decide(&shared, &job, &panicked)
                }
                Ran::Stopped(StopReason::Cancelled) => Settled::Ended {
                    state: JobState::Cancelled,
                    code: "cancelled".into(),
                    message: "cancelled while it was running".into(),
                },
                // A lease that was lost: usually another worker has the job and this is refused. One that
                // was claimed after the others were taken back would wait for the next sweep.
                Ran::Stopped(StopReason::Drained | StopReason::LeaseLost) => Settled::Released,
            };
            shared.flights.remove(job.job_id, job.claim_no);
            shared.completer.send(worker, &job, settled, Some(started.elapsed())).await;
            drop(slot);
        });
        Box::pin(async move {
            if let Err(failure) = run.await {
                error!(error = %failure, "settling a job failed; it returns when this worker's lease ends");
            }
            Ok(())
        })
    }
}

enum Ran<T> {
    Returned(T),
    Stopped(StopReason),
}

/// A handler panicked.
#[derive(Debug, thiserror::Error)]
#[error("the handler panicked: {0}")]
pub struct Panicked(String);

impl Panicked {
    /// Reads what a panic carried; for layers that catch panics nearer to the handler.
    #[must_use]
    #[allow(clippy::borrowed_box)] // the signature that apalis's catch-panic layer asks for
    pub fn from_payload(panic: &Box<dyn std::any::Any + Send>) -> Self {
        Self(
            panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".into()),
        )
    }
}

/// Takes what a handler left behind, unless it could never run: then nobody would miss it, so the job is
/// a dead letter that says so. Trying again would do its work twice for the same refusal.
fn succeed(shared: &Shared, job: &Claimed, success: Success) -> Settled {
    let refused = success.next.iter().find_map(|next| {
        shared.queue.check_later(job.org_id, next).err().map(|refusal| format!("{}: {refusal}", next.kind))
    });
    match refused {
        None => Settled::Succeeded { result: success.result, next: success.next },
        Some(message) => Settled::Ended {
            state: JobState::Dead,
            code: "successor_refused".into(),
            message: clean(&message),
        },
    }
}

/// Turns a failure into what happens next, by the kind's policy.
fn decide(shared: &Shared, job: &Claimed, failure: &BoxDynError) -> Settled {
    let stated = failure.downcast_ref::<JobError>().cloned().unwrap_or_else(|| {
        let code = if failure.downcast_ref::<TimedOut>().is_some() {
            "timeout"
        } else if failure.downcast_ref::<Panicked>().is_some() {
            "panic"
        } else {
            "unexpected"
        };
        JobError::retry(code, failure)
    });
    let policy = shared.book.policy(&job.kind, job.kind_version);
    debug!(job = %job.job_id, kind = %job.kind, attempt = job.attempt, outcome = %stated, "run did not succeed");
    settle(policy, job, stated)
}

fn settle(policy: Option<&KindPolicy>, job: &Claimed, stated: JobError) -> Settled {
    match stated {
        JobError::Snooze { reason, until } => {
            Settled::Parked { what: reason.what, key: reason.key, until: Some(until), detail: None }
        }
        JobError::Fail { code, message } => {
            Settled::Ended { state: JobState::Dead, code: clean(&code), message: clean(&message) }
        }
        JobError::Retry { code, message, after } => {
            let mut retry = policy.map_or(domain::RetryPolicy::STANDARD, |policy| policy.retry);
            retry.max_attempts = job.max_attempts;
            match retry.delay(job.attempt, after, &mut rand::rng()) {
                Some(delay) => Settled::Retry { delay, code: clean(&code), message: clean(&message) },
                None => {
                    Settled::Ended { state: JobState::Dead, code: clean(&code), message: clean(&message) }
                }
            }
        }
    }
}

/// Text the ledger can hold: no NUL, bounded.
fn clean(text: &str) -> String {
    let mut text = text.replace('\0', "\u{fffd}");
    if text.len() > MESSAGE_BYTES {
        let mut end = MESSAGE_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}
