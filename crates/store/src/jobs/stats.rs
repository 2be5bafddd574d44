//! Counts: what is open now, and how what ended lately went.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::row::StateText;
use crate::{StoreError, Tx};

/// Ended jobs that are looked at, newest first; beyond that the figures are of a part.
const FINISHED_BUDGET: i64 = 100_000;

/// The counts of one organisation.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Open jobs by lane, kind and state.
    pub live: Vec<LiveStats>,
    /// Jobs that ended inside the window, by lane, kind and state.
    pub finished: Vec<FinishedStats>,
    /// Start of the window.
    pub since: DateTime<Utc>,
    /// True when more ended in the window than were looked at: the figures are of the newest part.
    pub partial: bool,
}

/// Open jobs of one lane, kind and state.
#[derive(Clone, Debug, FromRow)]
pub struct LiveStats {
    /// Lane.
    pub lane: String,
    /// Kind.
    pub kind: String,
    /// State.
    #[sqlx(try_from = "String")]
    pub state: StateText,
    /// How many.
    pub count: i64,
    /// Since when the oldest of them is due.
    pub oldest_due_at: Option<DateTime<Utc>>,
}

/// Ended jobs of one lane, kind and state.
#[derive(Clone, Debug, FromRow)]
pub struct FinishedStats {
    /// Lane.
    pub lane: String,
    /// Kind.
    pub kind: String,
    /// State.
    #[sqlx(try_from = "String")]
    pub state: StateText,
    /// How many.
    pub count: i64,
    /// Median seconds from queued to taken.
    pub wait_p50_s: Option<f64>,
    /// 95th percentile of the same.
    pub wait_p95_s: Option<f64>,
    /// Median seconds from taken to ended.
    pub run_p50_s: Option<f64>,
    /// 95th percentile of the same.
    pub run_p95_s: Option<f64>,
}

/// Counts with a window for what ended.
///
/// # Errors
/// [`StoreError::TooSlow`] when the ledger is too large to count in time.
pub async fn stats(tx: &mut Tx, since: DateTime<Utc>) -> Result<Stats, StoreError> {
    let live = sqlx::query_as(
        "SELECT lane, kind, state::text AS state, count(*) AS count,
                min(greatest(run_at, queued_at)) FILTER (WHERE state = 'queued') AS oldest_due_at
         FROM job WHERE org_id = current_org()
         GROUP BY lane, kind, state ORDER BY lane, kind, state",
    )
    .fetch_all(tx.conn())
    .await?;
    let finished: Vec<FinishedStats> = sqlx::query_as(
        "WITH ended AS MATERIALIZED (
             SELECT lane, kind, state, queued_at, started_at, finished_at
             FROM job_history WHERE org_id = current_org() AND finished_at >= $1
             ORDER BY job_id DESC LIMIT $2
         )
         SELECT lane, kind, state::text AS state, count(*) AS count,
                percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - queued_at)::float8) AS wait_p50_s,
                percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - queued_at)::float8) AS wait_p95_s,
                percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)::float8) AS run_p50_s,
                percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)::float8) AS run_p95_s
         FROM ended GROUP BY lane, kind, state ORDER BY lane, kind, state",
    )
    .bind(since)
    .bind(FINISHED_BUDGET)
    .fetch_all(tx.conn())
    .await?;
    let counted: i64 = finished.iter().map(|row| row.count).sum();
    Ok(Stats { live, finished, since, partial: counted >= FINISHED_BUDGET })
}
