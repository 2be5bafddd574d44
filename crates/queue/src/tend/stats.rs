//! Depth and age of the lanes, counted in the ledger, for metrics and screens.

use sqlx::{PgConnection, Row};
use telemetry::metric;

use crate::engine::Queue;
use crate::error::QueueError;
use crate::ops::lanes::LaneMode;

/// One lane's open jobs.
#[derive(Clone, Debug, Default)]
pub struct LaneStats {
    /// Lane name.
    pub lane: String,
    /// Waiting for their time.
    pub scheduled: i64,
    /// Ready.
    pub queued: i64,
    /// In a worker's hands.
    pub running: i64,
    /// Waiting for a reason.
    pub parked: i64,
    /// Age of the oldest ready job in seconds; 0 when there is none.
    pub oldest_age_secs: f64,
}

/// Counts the open jobs of every lane: one pass over the open jobs, so ask for it seldom.
///
/// # Errors
/// What PostgreSQL said.
pub async fn lane_stats(connection: &mut PgConnection) -> Result<Vec<LaneStats>, sqlx::Error> {
    sqlx::query(
        "SELECT l.lane,
                count(j.*) FILTER (WHERE j.state = 'scheduled'),
                count(j.*) FILTER (WHERE j.state = 'queued'),
                count(j.*) FILTER (WHERE j.state = 'running'),
                count(j.*) FILTER (WHERE j.state = 'parked'),
                coalesce(extract(epoch FROM now() - min(j.queued_at) FILTER (WHERE j.state = 'queued')), 0)::float8
         FROM lane l
         LEFT JOIN (SELECT lane, state, queued_at FROM job) j ON j.lane = l.lane
         GROUP BY l.lane, l.position ORDER BY l.position",
    )
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        Ok(LaneStats {
            lane: row.try_get(0)?,
            scheduled: row.try_get(1)?,
            queued: row.try_get(2)?,
            running: row.try_get(3)?,
            parked: row.try_get(4)?,
            oldest_age_secs: row.try_get(5)?,
        })
    })
    .collect()
}

/// Sets the whole-queue gauges. Called when /metrics is read, at most every few seconds.
///
/// # Errors
/// [`QueueError`] when the ledger is away.
pub async fn publish_stats(queue: &Queue) -> Result<(), QueueError> {
    let mut connection = queue.pool().acquire().await?;
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    for lane in lane_stats(&mut connection).await? {
        for (state, count) in [
            ("scheduled", lane.scheduled),
            ("queued", lane.queued),
            ("running", lane.running),
            ("parked", lane.parked),
        ] {
            metrics::gauge!(metric::QUEUE_DEPTH, "lane" => lane.lane.clone(), "state" => state)
                .set(count as f64);
        }
        metrics::gauge!(metric::QUEUE_OLDEST_AGE_SECONDS, "lane" => lane.lane.clone())
            .set(lane.oldest_age_secs);
        let paused = queue.lanes().get(&lane.lane).is_some_and(|lane| lane.mode == LaneMode::Paused);
        metrics::gauge!(metric::LANE_PAUSED, "lane" => lane.lane).set(f64::from(u8::from(paused)));
    }
    let dead: Vec<(String, i64)> = sqlx::query_as(
        "SELECT l.lane, count(h.job_id) FROM lane l
         LEFT JOIN job_history h ON h.lane = l.lane AND h.state = 'dead' AND h.discarded_at IS NULL
         GROUP BY l.lane",
    )
    .fetch_all(&mut *connection)
    .await?;
    #[allow(clippy::cast_precision_loss)]
    for (lane, count) in dead {
        metrics::gauge!(metric::DEAD_LETTERS, "lane" => lane).set(count as f64);
    }
    let alive: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM worker WHERE state IN ('running', 'draining') AND last_seen_at > now() - interval '10 s'",
    )
    .fetch_one(&mut *connection)
    .await?;
    #[allow(clippy::cast_precision_loss)]
    metrics::gauge!(metric::WORKERS_ALIVE).set(alive as f64);
    Ok(())
}
