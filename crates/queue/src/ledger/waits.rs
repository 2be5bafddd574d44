//! Waiting jobs: letting them back into their lanes when their time has come or their reason is gone.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use domain::OrgId;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::open_rows::ready;
use crate::dispatch::Ready;

/// One waiting job whose time has come.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) job_id: Uuid,
    pub(crate) org_id: OrgId,
    pub(crate) what: String,
    pub(crate) key: String,
    pub(crate) detail: Option<String>,
}

/// Locks up to `limit` waiting jobs that are due, earliest first; others' locks are passed by.
pub(crate) async fn lock_due(connection: &mut PgConnection, limit: i64) -> Result<Vec<Due>, sqlx::Error> {
    sqlx::query(
        "SELECT job_id, org_id, what, key, detail::text FROM job_wait
         WHERE due_at <= now() ORDER BY due_at, job_id LIMIT $1 FOR UPDATE SKIP LOCKED",
    )
    .bind(limit)
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        Ok(Due {
            job_id: row.try_get(0)?,
            org_id: OrgId(row.try_get(1)?),
            what: row.try_get(2)?,
            key: row.try_get(3)?,
            detail: row.try_get(4)?,
        })
    })
    .collect()
}

/// Locks the jobs of locked waits as well. Whoever holds a job's row (an operator calling it off, an expiry)
/// may be waiting for its wait: such a job is left out here instead of waited for, and comes next time.
pub(crate) async fn lock_jobs(
    connection: &mut PgConnection,
    mut due: Vec<Due>,
) -> Result<Vec<Due>, sqlx::Error> {
    let ids: Vec<Uuid> = due.iter().map(|job| job.job_id).collect();
    let mut ours: HashSet<Uuid> =
        sqlx::query_scalar("SELECT job_id FROM job WHERE job_id = ANY($1) FOR UPDATE SKIP LOCKED")
            .bind(&ids)
            .fetch_all(&mut *connection)
            .await?
            .into_iter()
            .collect();
    if ours.len() < ids.len() {
        // A wait without a job is ours, too: admitting it clears it away.
        let orphans: Vec<Uuid> = sqlx::query_scalar(
            "SELECT id FROM unnest($1::uuid[]) AS id WHERE NOT EXISTS (SELECT FROM job WHERE job_id = id)",
        )
        .bind(&ids)
        .fetch_all(connection)
        .await?;
        ours.extend(orphans);
        due.retain(|job| ours.contains(&job.job_id));
    }
    Ok(due)
}

/// Seconds until the next waiting job is due (0 or less when one is), or none when none waits for a time.
pub(crate) async fn next_due_in(connection: &mut PgConnection) -> Result<Option<f64>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT extract(epoch FROM min(due_at) - now())::float8 FROM job_wait
         WHERE due_at IS NOT NULL",
    )
    .fetch_one(connection)
    .await
}

/// Lets waiting jobs into their lanes. `permits` says, job by job, whether its limits are paid for.
pub(crate) async fn admit(
    connection: &mut PgConnection,
    ids: &[Uuid],
    permits: &[bool],
) -> Result<Vec<Ready>, sqlx::Error> {
    sqlx::query(
        "WITH d AS (SELECT * FROM unnest($1::uuid[], $2::bool[]) AS d(id, paid)),
         unwait AS (DELETE FROM job_wait w USING d WHERE w.job_id = d.id)
         UPDATE job j SET state = 'queued', queued_at = now(), permit = d.paid
         FROM d WHERE j.job_id = d.id AND j.state IN ('scheduled', 'parked')
         RETURNING j.job_id, j.org_id, j.lane, j.priority, j.run_at",
    )
    .bind(ids)
    .bind(permits)
    .fetch_all(connection)
    .await?
    .iter()
    .map(ready)
    .collect()
}

/// A waiting job that waits on.
#[derive(Debug)]
pub(crate) struct Later {
    pub(crate) job_id: Uuid,
    pub(crate) until: DateTime<Utc>,
    pub(crate) key: String,
    /// It has a place in its line as the line is drawn now.
    pub(crate) placed: bool,
}

/// Moves waiting jobs to new times.
pub(crate) async fn postpone(connection: &mut PgConnection, jobs: &[Later]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE job_wait w SET due_at = d.until, key = d.key,
                detail = CASE WHEN d.placed AND json_typeof(detail) = 'object' THEN detail -> 'draws'
                         ELSE detail END
         FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::bool[]) AS d(id, until, key, placed)
         WHERE w.job_id = d.id",
    )
    .bind(jobs.iter().map(|job| job.job_id).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.until).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| &*job.key).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.placed).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
