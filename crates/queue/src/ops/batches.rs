//! Batches: jobs that are counted together, with one job to run when none is left.

use chrono::{DateTime, Utc};
use domain::{BatchId, OrgId};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::engine::Queue;
use crate::error::{EnqueueError, OpsError};
use crate::new_job::{Enqueued, NewJob};

/// How a batch stands.
#[derive(Clone, Debug, FromRow)]
pub struct BatchView {
    /// Its id.
    pub batch_id: Uuid,
    /// The room of its jobs, when all belong to one.
    pub workspace_id: Option<Uuid>,
    /// Name for people.
    pub name: String,
    /// Jobs in it.
    pub total: i64,
    /// Of these, ended well.
    pub succeeded: i64,
    /// Of these, dead, cancelled or expired.
    pub failed: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When the last job ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// The job that ran then.
    pub callback_job_id: Option<Uuid>,
}

/// Makes a batch of jobs on the caller's open transaction. Jobs whose idempotency key already has a job
/// don't count in it. Announce the jobs after the commit.
///
/// # Errors
/// [`EnqueueError`]; roll the transaction back then.
pub async fn create(
    queue: &Queue,
    connection: &mut PgConnection,
    org: OrgId,
    name: &str,
    jobs: &mut [NewJob],
    callback: Option<NewJob>,
) -> Result<(BatchId, Vec<Enqueued>), EnqueueError> {
    if jobs.is_empty() {
        return Err(EnqueueError::Invalid { field: "jobs", problem: "a batch has at least one job".into() });
    }
    if name.len() > 200 {
        return Err(EnqueueError::Invalid { field: "name", problem: "must have at most 200 bytes".into() });
    }
    if jobs.iter().any(|job| job.org_id != org) {
        let problem = "a batch's jobs belong to its organisation".into();
        return Err(EnqueueError::Invalid { field: "org_id", problem });
    }
    let batch = BatchId::new();
    for job in jobs.iter_mut() {
        job.batch_id = Some(batch);
    }
    if let Some(callback) = &callback {
        queue.check_later(org, callback)?;
    }
    let callback = callback
        .map(|job| serde_json::to_value(job).map_err(|error| sqlx::Error::Encode(Box::new(error))))
        .transpose()?;
    sqlx::query(
        "INSERT INTO job_batch (batch_id, org_id, name, total, callback, workspace_id, private_to)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(batch.0)
    .bind(org.0)
    .bind(name)
    .bind(i64::try_from(jobs.len()).unwrap_or(i64::MAX))
    .bind(callback)
    .bind(common(jobs, |job| job.workspace_id).map(|room| room.0))
    .bind(common(jobs, |job| job.private_to).map(|actor| actor.0))
    .execute(&mut *connection)
    .await?;
    let enqueued = queue.enqueue_in(connection, jobs).await?;
    let created = enqueued.iter().filter(|job| job.created).count();
    if created < jobs.len() {
        sqlx::query("UPDATE job_batch SET total = $2 WHERE batch_id = $1")
            .bind(batch.0)
            .bind(i64::try_from(created).unwrap_or(i64::MAX))
            .execute(connection)
            .await?;
    }
    Ok((batch, enqueued))
}

/// What all the jobs say, if they say the same.
fn common<T: PartialEq>(jobs: &[NewJob], of: impl Fn(&NewJob) -> Option<T>) -> Option<T> {
    let first = of(jobs.first()?);
    jobs.iter().all(|job| of(job) == first).then_some(first).flatten()
}

/// One batch.
///
/// # Errors
/// [`OpsError::NotFound`].
pub async fn get(connection: &mut PgConnection, org: OrgId, batch: BatchId) -> Result<BatchView, OpsError> {
    sqlx::query_as(
        "SELECT batch_id, workspace_id, name, total, succeeded, failed, created_at, completed_at, callback_job_id
         FROM job_batch WHERE batch_id = $1 AND org_id = $2",
    )
    .bind(batch.0)
    .bind(org.0)
    .fetch_optional(connection)
    .await?
    .ok_or(OpsError::NotFound("batch"))
}
