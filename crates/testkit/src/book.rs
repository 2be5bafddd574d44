//! Job kinds made of closures, and a diary of every run they had.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::{EffectClass, JobError, JobId, LimitUse, OrgId, RetryPolicy};
use futures::future::BoxFuture;
use queue::backend::{Success, TimedOut};
use queue::ledger::claim::Claimed;
use queue::worker::Assignment;
use queue::{KindBook, KindPolicy};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use workers::Run;

/// What a handler answers.
pub type Handled = Result<Success, JobError>;

/// It went well, with nothing to leave behind.
///
/// # Errors
/// Never; the type is that of a handler.
pub fn ok() -> Handled {
    Ok(Success::default())
}

/// What a handler is given.
#[derive(Debug)]
pub struct Running {
    /// The job as it was claimed.
    pub job: Claimed,
    /// Cancelled when the job shall stop.
    pub stop: CancellationToken,
}

impl Running {
    /// The payload.
    #[must_use]
    pub fn payload<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(self.job.payload.get()).expect("a payload of the kind's shape")
    }
}

/// One run that began.
#[derive(Clone, Debug)]
pub struct Start {
    /// Which job.
    pub job: JobId,
    /// Whose.
    pub org: OrgId,
    /// Of which kind.
    pub kind: Arc<str>,
    /// Which attempt.
    pub attempt: i16,
    /// Under which claim.
    pub claim_no: i32,
    /// When.
    pub at: Instant,
}

type Handler = Arc<dyn Fn(Running) -> BoxFuture<'static, Handled> + Send + Sync>;
type Limits = Arc<dyn Fn(&RawValue) -> Vec<LimitUse> + Send + Sync>;

/// One kind: a policy and a closure.
pub struct Kind {
    policy: KindPolicy,
    limits: Limits,
    handler: Handler,
}

/// A kind in lane `default` that retries within milliseconds and does nothing; change what the test is about.
#[must_use]
pub fn kind(name: &'static str) -> Kind {
    Kind {
        policy: KindPolicy {
            kind: name,
            version: 1,
            lane: "default",
            effect: EffectClass::Write,
            retry: RetryPolicy {
                max_attempts: 8,
                base: Duration::from_millis(10),
                factor: 1.5,
                cap: Duration::from_millis(50),
            },
            timeout: Duration::from_secs(60),
            retention_days: 30,
        },
        limits: Arc::new(|_| Vec::new()),
        handler: Arc::new(|_| Box::pin(async { ok() })),
    }
}

impl Kind {
    /// Changes the policy.
    #[must_use]
    pub fn policy(mut self, change: impl FnOnce(&mut KindPolicy)) -> Self {
        change(&mut self.policy);
        self
    }

    /// Longest run of one attempt.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.policy(|policy| policy.timeout = timeout)
    }

    /// The limits a job draws on, by its payload.
    #[must_use]
    pub fn limits(mut self, limits: impl Fn(&RawValue) -> Vec<LimitUse> + Send + Sync + 'static) -> Self {
        self.limits = Arc::new(limits);
        self
    }

    /// What its jobs do.
    #[must_use]
    pub fn run<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Running) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Handled> + Send + 'static,
    {
        self.handler = Arc::new(move |running| Box::pin(handler(running)));
        self
    }
}

/// Every kind of one test. Give the same book to all workers: the diary is theirs together.
pub struct Book {
    kinds: HashMap<(&'static str, i16), Kind>,
    diary: Mutex<Vec<Start>>,
}

impl Book {
    /// A book of these kinds.
    pub fn of(kinds: impl IntoIterator<Item = Kind>) -> Arc<Self> {
        let kinds = kinds.into_iter().map(|kind| ((kind.policy.kind, kind.policy.version), kind)).collect();
        Arc::new(Self { kinds, diary: Mutex::default() })
    }

    /// Every run that began, in order.
    #[must_use]
    pub fn starts(&self) -> Vec<Start> {
        self.diary.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many runs began.
    #[must_use]
    pub fn started(&self) -> usize {
        self.diary.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Runs of one job that began.
    #[must_use]
    pub fn runs_of(&self, job: JobId) -> usize {
        self.starts().iter().filter(|start| start.job == job).count()
    }

    fn find(&self, kind: &str, version: i16) -> Option<&Kind> {
        self.kinds.iter().find(|((name, of), _)| *name == kind && *of == version).map(|(_, kind)| kind)
    }
}

impl KindBook for Book {
    fn policy(&self, kind: &str, version: i16) -> Option<&KindPolicy> {
        self.find(kind, version).map(|kind| &kind.policy)
    }

    fn limits(&self, kind: &str, version: i16, payload: &RawValue) -> Vec<LimitUse> {
        self.find(kind, version).map(|kind| (kind.limits)(payload)).unwrap_or_default()
    }

    fn all(&self) -> Vec<&KindPolicy> {
        self.kinds.values().map(|kind| &kind.policy).collect()
    }
}

impl Run for Book {
    async fn run(&self, assignment: Assignment) -> Result<Success, Box<dyn std::error::Error + Send + Sync>> {
        let stop = assignment.stop_token();
        let job = assignment.job.clone();
        self.diary.lock().unwrap_or_else(PoisonError::into_inner).push(Start {
            job: job.job_id,
            org: job.org_id,
            kind: job.kind.clone(),
            attempt: job.attempt,
            claim_no: job.claim_no,
            at: Instant::now(),
        });
        let Some(kind) = self.find(&job.kind, job.kind_version) else {
            return Err(JobError::fail("unknown_kind", "no such kind in this test").into());
        };
        let limit = kind.policy.timeout;
        let run = (kind.handler)(Running { job, stop });
        Ok(tokio::time::timeout(limit, run).await.map_err(|_| TimedOut(limit))??)
    }
}
