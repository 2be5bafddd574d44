//! Retention: finished jobs past their kind's days go away in small batches, with what belongs to them.
//!
//! Dead letters that nobody discarded are kept until somebody does: they wait for a person.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::sweep::{try_lock, unlock};
use crate::engine::Queue;
use crate::error::QueueError;
use crate::kind::KindBook;
use crate::ledger::Profile;

/// Rows removed in one statement; short enough that nobody waits for its locks.
const BATCH: i64 = 1_000;
const PAUSE: Duration = Duration::from_millis(20);
/// Finished jobs of kinds that this version does not know.
const UNKNOWN_KIND_DAYS: i32 = 90;
const FLEET_DAYS: i32 = 7;

pub(super) async fn run(queue: Queue, book: Arc<dyn KindBook>, every: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        if let Err(error) = prune(&queue, &*book, &stop).await {
            debug!(error = %error, "pruning waits");
        }
    }
}

async fn prune(queue: &Queue, book: &dyn KindBook, stop: &CancellationToken) -> Result<(), QueueError> {
    let mut connection = queue.open(Profile::Volatile).await?;
    if !try_lock(&mut connection, 1).await? {
        return Ok(());
    }
    let mut kinds: Vec<(String, i32)> = Vec::new();
    for policy in book.all() {
        let days = i32::from(policy.retention_days);
        match kinds.iter_mut().find(|(kind, _)| kind == policy.kind) {
            Some((_, longest)) => *longest = days.max(*longest),
            None => kinds.push((policy.kind.to_owned(), days)),
        }
    }
    let (names, days): (Vec<_>, Vec<_>) = kinds.into_iter().unzip();
    let mut removed = 0;
    while !stop.is_cancelled() {
        let count = prune_batch(&mut connection, &names, &days).await?;
        removed += count;
        if count == 0 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    // A batch outlives its jobs by nobody's need.
    let batch_days = days.iter().copied().fold(UNKNOWN_KIND_DAYS, i32::max);
    while !stop.is_cancelled() && prune_batches(&mut connection, batch_days).await? > 0 {
        tokio::time::sleep(PAUSE).await;
    }
    sqlx::query("DELETE FROM worker WHERE state IN ('stopped', 'lost') AND stopped_at < now() - make_interval(days => $1)")
        .bind(FLEET_DAYS)
        .execute(&mut connection)
        .await?;
    unlock(&mut connection, 1).await?;
    if removed > 0 {
        info!(jobs = removed, "pruned finished jobs past their retention");
    }
    Ok(())
}

/// Removes some of the job batches that were complete before the longest retention; answers how many.
async fn prune_batches(connection: &mut PgConnection, days: i32) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "DELETE FROM job_batch WHERE batch_id = ANY (ARRAY(
             SELECT batch_id FROM job_batch WHERE completed_at < now() - make_interval(days => $1) LIMIT $2))",
    )
    .bind(days)
    .bind(BATCH)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Removes one batch of finished jobs; answers how many jobs it held.
pub(crate) async fn prune_batch(
    connection: &mut PgConnection,
    kinds: &[String],
    days: &[i32],
) -> Result<u64, sqlx::Error> {
    let count: i64 = sqlx::query_scalar(
        "WITH kept AS (SELECT * FROM unnest($1::text[], $2::int4[]) AS k(kind, days)),
         bounds AS (SELECT least((SELECT min(days) FROM kept), $3) AS shortest),
         old AS (
             SELECT h.job_id FROM job_history h LEFT JOIN kept k ON k.kind = h.kind
             WHERE h.finished_at < now() - make_interval(days => (SELECT shortest FROM bounds))
               AND h.finished_at < now() - make_interval(days => coalesce(k.days, $3))
               AND (h.state <> 'dead' OR h.discarded_at IS NOT NULL)
             LIMIT $4
         ), gone AS (
             DELETE FROM job_history h USING old o WHERE h.job_id = o.job_id
             RETURNING h.job_id, h.org_id, h.kind, h.idempotency_key
         ), attempts AS (
             DELETE FROM job_attempt a USING gone g WHERE a.job_id = g.job_id
         ), events AS (
             DELETE FROM job_event e USING gone g WHERE e.job_id = g.job_id
         ), keys AS (
             DELETE FROM job_key k USING gone g
             WHERE g.idempotency_key IS NOT NULL AND k.org_id = g.org_id AND k.kind = g.kind
               AND k.key = g.idempotency_key AND k.job_id = g.job_id
         )
         SELECT count(*) FROM gone",
    )
    .bind(kinds)
    .bind(days)
    .bind(UNKNOWN_KIND_DAYS)
    .bind(BATCH)
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(count).unwrap_or_default())
}
