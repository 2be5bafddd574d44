//! What the ledger says, past the engine: the verdict over a scenario, and when jobs started.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use domain::JobId;
use sqlx::PgPool;
use uuid::Uuid;

use crate::load::Acknowledged;
use crate::stage::Stage;

/// A scenario's end.
pub(crate) struct Verdict {
    /// Jobs that were acknowledged, and finished once.
    pub(crate) jobs: usize,
    /// Events that were delivered.
    pub(crate) events: usize,
    /// Deliveries beyond the first of their event.
    pub(crate) repeats: u32,
    /// How long the last jobs took to finish.
    pub(crate) drained_in: Duration,
}

impl Verdict {
    /// For the scenario's line.
    pub(crate) fn line(&self) -> String {
        let Self { jobs, events, repeats, drained_in } = self;
        let drained_in = drained_in.as_secs_f64();
        format!(
            "{jobs} jobs acknowledged, each finished once; {events} events delivered, {repeats} repeats; drained in \
             {drained_in:.1} s"
        )
    }
}

/// Waits until nothing is open, then judges: each acknowledged job has succeeded, in one row; there is no
/// other job; each event of a job came at least once, and none of another.
pub(crate) async fn verdict(stage: &Stage, acknowledged: &[Acknowledged], within: Duration) -> Verdict {
    let began = Instant::now();
    let drained = tokio::time::timeout(within, drained(stage.db.superuser())).await;
    assert!(drained.is_ok(), "not drained after {within:?}: {}", open_jobs(stage.db.superuser()).await);
    let drained_in = began.elapsed();

    let asked: HashSet<JobId> = acknowledged.iter().map(|one| one.job).collect();
    assert_eq!(asked.len(), acknowledged.len(), "two enqueues were answered with one job");
    let rows: Vec<(Uuid, String, String)> =
        sqlx::query_as("SELECT job_id, state::text, kind FROM job_history")
            .fetch_all(stage.db.superuser())
            .await
            .unwrap();
    let ended: HashMap<JobId, &str> =
        rows.iter().map(|(job, state, _)| (JobId(*job), state.as_str())).collect();
    assert_eq!(ended.len(), rows.len(), "a job has two rows in the history");
    let missing: Vec<_> =
        asked.iter().filter(|job| ended.get(job).copied() != Some("succeeded")).take(5).collect();
    assert!(missing.is_empty(), "acknowledged but not succeeded: {missing:?}");
    let surplus: Vec<_> = ended.keys().filter(|job| !asked.contains(job)).take(5).collect();
    assert!(surplus.is_empty(), "in the ledger but never acknowledged: {surplus:?}");

    let delivered = stage.receiver.delivered();
    let expected: HashSet<JobId> =
        acknowledged.iter().filter(|one| one.delivers).map(|one| one.job).collect();
    let came: HashSet<JobId> = delivered.keys().copied().collect();
    assert_eq!(came, expected, "events delivered are not those of the jobs");
    let deliveries: u32 = delivered.values().map(|event| event.count).sum();
    let repeats = deliveries - u32::try_from(came.len()).unwrap();
    Verdict { jobs: asked.len(), events: came.len(), repeats, drained_in }
}

async fn drained(pool: &PgPool) {
    while count(pool, "SELECT count(*) FROM job").await > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn open_jobs(pool: &PgPool) -> String {
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT state::text, lane, count(*) FROM job GROUP BY 1, 2")
            .fetch_all(pool)
            .await
            .unwrap();
    format!("{rows:?}")
}

/// A number from a query without parameters.
pub(crate) async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

/// The database's clock, by which the ledger's times are told.
pub(crate) async fn now(pool: &PgPool) -> DateTime<Utc> {
    sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(pool).await.unwrap()
}

/// What a worker has in hand, by its name.
pub(crate) async fn in_hand(pool: &PgPool, worker: &str) -> Vec<Uuid> {
    sqlx::query_scalar(
        "SELECT job_id FROM job JOIN worker USING (worker_id) WHERE worker.name = $1 AND job.state = 'running'",
    )
    .bind(worker)
    .fetch_all(pool)
    .await
    .unwrap()
}

/// When each of these jobs was last started: job, time, the worker's name. Those never started are left out.
pub(crate) async fn starts(pool: &PgPool, jobs: &[Uuid]) -> Vec<(Uuid, DateTime<Utc>, String)> {
    sqlx::query_as(
        "SELECT s.job_id, s.started_at, w.name
         FROM (SELECT job_id, started_at, worker_id FROM job WHERE state = 'running'
               UNION ALL SELECT job_id, started_at, worker_id FROM job_history) s
         JOIN worker w USING (worker_id)
         WHERE s.job_id = ANY($1) AND s.started_at IS NOT NULL",
    )
    .bind(jobs)
    .fetch_all(pool)
    .await
    .unwrap()
}

/// From each call to the claim of its job; the jobs have ended, with one claim each.
pub(crate) async fn pick_ups(pool: &PgPool, acknowledged: &[Acknowledged]) -> Vec<Duration> {
    let ids: Vec<Uuid> = acknowledged.iter().map(|one| one.job.0).collect();
    let rows: Vec<(Uuid, DateTime<Utc>)> =
        sqlx::query_as("SELECT job_id, started_at FROM job_history WHERE job_id = ANY($1)")
            .bind(&ids)
            .fetch_all(pool)
            .await
            .unwrap();
    let started: HashMap<Uuid, DateTime<Utc>> = rows.into_iter().collect();
    let waited = acknowledged.iter().map(|one| started[&one.job.0] - one.asked_at);
    // Two clocks' rounding may make a very short wait negative.
    waited.map(|wait| wait.to_std().unwrap_or_default()).collect()
}
