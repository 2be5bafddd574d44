//! Reading open jobs in bulk: what must be dispatched again, and what a lost worker held.

use domain::{JobId, JobState, OrgId, WorkerId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, Row};
use uuid::Uuid;

use crate::dispatch::Ready;
use crate::events::JobChange;
use crate::new_job::NewJob;

/// A job whose worker died this often while running it is poison: a dead letter.
pub const MAX_RECOVERIES: i16 = 3;

/// Reads `job_id, org_id, lane, priority, run_at` as a dispatchable job.
pub(crate) fn ready(row: &PgRow) -> Result<Ready, sqlx::Error> {
    Ok(Ready {
        job_id: JobId(row.try_get("job_id")?),
        org_id: OrgId(row.try_get("org_id")?),
        lane: row.try_get::<&str, _>("lane")?.into(),
        score: NewJob::score(row.try_get("priority")?, row.try_get("run_at")?),
    })
}

/// The next `limit` queued jobs after `after` in id order that have been ready for at least `age_secs`.
pub(crate) async fn queued_after(
    connection: &mut PgConnection,
    after: Uuid,
    age_secs: f64,
    limit: i64,
) -> Result<Vec<Ready>, sqlx::Error> {
    sqlx::query(
        "SELECT job_id, org_id, lane, priority, run_at FROM job
         WHERE job_id > $1 AND state = 'queued' AND queued_at <= now() - make_interval(secs => $2)
         ORDER BY job_id LIMIT $3",
    )
    .bind(after)
    .bind(age_secs)
    .bind(limit)
    .fetch_all(connection)
    .await?
    .iter()
    .map(ready)
    .collect()
}

/// Those of `ids` that a worker runs.
pub(crate) async fn running_among(
    connection: impl PgExecutor<'_>,
    ids: &[Uuid],
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar("SELECT job_id FROM job WHERE job_id = ANY($1) AND state = 'running'")
        .bind(ids)
        .fetch_all(connection)
        .await
}

/// Running jobs that count against a cap, their organisation's own or the lane's.
pub(crate) async fn running_capped(
    connection: &mut PgConnection,
) -> Result<Vec<(std::sync::Arc<str>, OrgId, JobId)>, sqlx::Error> {
    sqlx::query(
        "SELECT j.lane, j.org_id, j.job_id FROM job j
         JOIN lane l USING (lane) LEFT JOIN lane_org o ON o.lane = j.lane AND o.org_id = j.org_id
         WHERE j.state = 'running' AND (l.org_cap IS NOT NULL OR o.org_cap IS NOT NULL)",
    )
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        let lane = row.try_get::<&str, _>("lane")?.into();
        Ok((lane, OrgId(row.try_get("org_id")?), JobId(row.try_get("job_id")?)))
    })
    .collect()
}

/// Marks workers lost that were not seen for `lease_secs`.
pub(crate) async fn lose_workers(
    connection: &mut PgConnection,
    lease_secs: f64,
) -> Result<Vec<WorkerId>, sqlx::Error> {
    let rows: Vec<Uuid> = sqlx::query_scalar(
        "UPDATE worker SET state = 'lost', stopped_at = now()
         WHERE state IN ('running', 'draining') AND last_seen_at < now() - make_interval(secs => $1)
         RETURNING worker_id",
    )
    .bind(lease_secs)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(WorkerId).collect())
}

/// A running job whose worker is lost or stopped, as it stands now.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) ready: Ready,
    /// Kind name.
    pub(crate) kind: std::sync::Arc<str>,
    /// It was its worker's death once too often and is a dead letter now.
    pub(crate) poison: bool,
}

/// Takes back up to `limit` running jobs of workers that are lost or stopped. A job that killed its
/// worker [`MAX_RECOVERIES`] times becomes a dead letter; the others are queued again, attempt given back.
pub(crate) async fn recover(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<Recovered>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "WITH orphan AS (
             SELECT j.job_id FROM job j
             WHERE j.state = 'running'
               AND NOT EXISTS (SELECT FROM worker w WHERE w.worker_id = j.worker_id
                               AND w.state IN ('running', 'draining'))
             ORDER BY j.job_id LIMIT $1 FOR UPDATE OF j SKIP LOCKED
         ), tried AS (
             INSERT INTO job_attempt (job_id, claim_no, org_id, attempt, worker_id, started_at,
                                      finished_at, outcome, error_code, error_message)
             SELECT j.job_id, j.claim_no, j.org_id, j.attempt, j.worker_id, j.started_at, now(), 'lost',
                    'worker_lost', 'the worker that ran this job stopped answering'
             FROM job j JOIN orphan USING (job_id)
             ON CONFLICT DO NOTHING
         ), poison AS (
             DELETE FROM job j USING orphan o
             WHERE j.job_id = o.job_id AND j.recoveries + 1 >= $2
             RETURNING j.*
         ), buried AS (
             INSERT INTO job_history (state, finished_at, error_code, error_message, ",
        super::finish::moved!(),
        ") SELECT 'dead', now(), 'worker_lost',
                  'the worker died each of the last ' || $2 || ' times it ran this job', ",
        super::finish::moved!(),
        " FROM poison
         ), counted AS (
             UPDATE job_batch b SET failed = b.failed + n.n
             FROM (SELECT batch_id, count(*) AS n FROM poison WHERE batch_id IS NOT NULL GROUP BY 1) n
             WHERE b.batch_id = n.batch_id AND b.completed_at IS NULL
         ), back AS (
             UPDATE job j SET state = 'queued', worker_id = NULL, queued_at = now(),
                    attempt = attempt - 1, recoveries = recoveries + 1
             FROM orphan o WHERE j.job_id = o.job_id AND j.recoveries + 1 < $2
             RETURNING j.job_id, j.org_id, j.lane, j.priority, j.run_at, j.kind
         )
         SELECT job_id, org_id, lane, priority, run_at, kind, false AS poison FROM back
         UNION ALL
         SELECT job_id, org_id, lane, priority, run_at, kind, true FROM poison"
    ))
    .bind(limit)
    .bind(MAX_RECOVERIES)
    .fetch_all(&mut *connection)
    .await?;
    let mut recovered = Vec::with_capacity(rows.len());
    for row in &rows {
        recovered.push(Recovered {
            ready: ready(row)?,
            kind: row.try_get::<&str, _>("kind")?.into(),
            poison: row.try_get("poison")?,
        });
    }
    Ok(recovered)
}

/// Ends open jobs whose deadline has passed and which no worker holds. Answers which.
pub(crate) async fn expire(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<(OrgId, JobChange)>, sqlx::Error> {
    sqlx::query(concat!(
        "WITH late AS (
             SELECT job_id FROM job
             WHERE deadline_at < now() AND state <> 'running'
             ORDER BY deadline_at LIMIT $1 FOR UPDATE SKIP LOCKED
         ), waits AS (
             SELECT job_id FROM job_wait WHERE job_id IN (SELECT job_id FROM late) FOR UPDATE SKIP LOCKED
         ), free AS (
             -- who holds only the wait is about to let the job in: passed by, so that neither waits
             SELECT job_id FROM late l WHERE job_id IN (SELECT job_id FROM waits)
                OR NOT EXISTS (SELECT FROM job_wait w WHERE w.job_id = l.job_id)
         ), gone AS (
             DELETE FROM job j USING free f WHERE j.job_id = f.job_id RETURNING j.*
         ), unwait AS (
             DELETE FROM job_wait w USING free f WHERE w.job_id = f.job_id
         ), freed AS (
             DELETE FROM job_unique u USING gone g
             WHERE g.unique_key IS NOT NULL AND u.org_id = g.org_id AND u.kind = g.kind
               AND u.key = g.unique_key AND u.job_id = g.job_id
         ), counted AS (
             UPDATE job_batch b SET failed = b.failed + n.n
             FROM (SELECT batch_id, count(*) AS n FROM gone WHERE batch_id IS NOT NULL GROUP BY 1) n
             WHERE b.batch_id = n.batch_id AND b.completed_at IS NULL
         )
         INSERT INTO job_history (state, finished_at, error_code, error_message, ",
        super::finish::moved!(),
        ") SELECT 'expired', now(), 'deadline_passed', 'the deadline passed before the job could run', ",
        super::finish::moved!(),
        " FROM gone RETURNING job_id, org_id, kind, lane"
    ))
    .bind(limit)
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        let change = JobChange {
            job_id: JobId(row.try_get(0)?),
            kind: row.try_get::<&str, _>(2)?.into(),
            lane: row.try_get::<&str, _>(3)?.into(),
            state: JobState::Expired,
        };
        Ok((OrgId(row.try_get(1)?), change))
    })
    .collect()
}

/// Open batches whose last job was counted by a sweep rather than by a completion.
pub(crate) async fn full_batches(connection: &mut PgConnection) -> Result<Vec<domain::BatchId>, sqlx::Error> {
    let rows: Vec<Uuid> = sqlx::query_scalar(
        "SELECT batch_id FROM job_batch WHERE completed_at IS NULL AND succeeded + failed >= total LIMIT 100",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(domain::BatchId).collect())
}
