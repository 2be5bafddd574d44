//! Cancelling a job, and running a waiting one now.

use domain::{ActorId, BatchId, JobId, JobState, OrgId};
use serde_json::json;
use sqlx::{PgConnection, Row};

use super::{After, note, one, reach};
use crate::error::OpsError;
use crate::events::JobChange;
use crate::ledger::finish::{count_batch, moved};
use crate::ledger::insert::insert;
use crate::ledger::open_rows::ready;

/// What a cancellation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// The job will not run.
    Cancelled,
    /// It is running: its worker stops it within some seconds, unless it ends first.
    Asked,
}

/// Calls a job off.
///
/// # Errors
/// [`OpsError::NotFound`], or [`OpsError::Conflict`] when it has ended.
pub async fn cancel(
    connection: &mut PgConnection,
    org: OrgId,
    job: JobId,
    actor: Option<ActorId>,
    reason: Option<&str>,
) -> Result<(CancelOutcome, After), OpsError> {
    let row = sqlx::query(concat!(
        "WITH gone AS (
             DELETE FROM job WHERE job_id = $1 AND org_id = $2 AND state <> 'running' RETURNING *
         ), unwait AS (
             DELETE FROM job_wait w USING gone g WHERE w.job_id = g.job_id
         ), freed AS (
             DELETE FROM job_unique u USING gone g
             WHERE g.unique_key IS NOT NULL AND u.org_id = g.org_id AND u.kind = g.kind
               AND u.key = g.unique_key AND u.job_id = g.job_id
         )
         INSERT INTO job_history (state, finished_at, error_code, error_message, ",
        moved!(),
        ") SELECT 'cancelled', now(), 'cancelled', $3, ",
        moved!(),
        " FROM gone RETURNING kind, lane, batch_id"
    ))
    .bind(job.0)
    .bind(org.0)
    .bind(reason.unwrap_or("cancelled before it ran"))
    .fetch_optional(&mut *connection)
    .await?;
    let detail = Some(json!({ "reason": reason }));
    let Some(row) = row else {
        let asked = sqlx::query(
            "UPDATE job SET cancel_asked = true WHERE job_id = $1 AND org_id = $2 AND state = 'running'",
        )
        .bind(job.0)
        .bind(org.0)
        .execute(&mut *connection)
        .await?;
        if asked.rows_affected() == 1 {
            note(connection, org, &one(job), "cancel_asked", actor, detail).await?;
            return Ok((CancelOutcome::Asked, After::default()));
        }
        return Err(ended_or_missing(connection, org, job, "cancelled").await?);
    };
    note(connection, org, &one(job), "cancelled", actor, detail).await?;
    let mut after = After::default();
    after.changes.push((
        org,
        JobChange {
            job_id: job,
            kind: row.try_get::<&str, _>(0)?.into(),
            lane: row.try_get::<&str, _>(1)?.into(),
            state: JobState::Cancelled,
        },
    ));
    if let Some(batch) = row.try_get::<Option<uuid::Uuid>, _>(2)? {
        let view = reach::widen(connection).await?;
        if let Some(callback) = count_batch(connection, BatchId(batch), 0, 1).await? {
            reach::on_behalf_of(connection, callback.private_to.map(|actor| actor.0)).await?;
            insert(connection, &[(&callback, JobState::Queued)]).await?;
            after.ready.push(crate::dispatch::Ready {
                job_id: callback.job_id,
                org_id: callback.org_id,
                lane: callback.lane.clone(),
                score: crate::NewJob::score(callback.priority, chrono::Utc::now()),
            });
        }
        reach::narrow(connection, view).await?;
    }
    Ok((CancelOutcome::Cancelled, after))
}

/// Lets a scheduled or parked job into its lane now.
///
/// # Errors
/// [`OpsError::NotFound`], or [`OpsError::Conflict`] when it does not wait.
pub async fn retry_now(
    connection: &mut PgConnection,
    org: OrgId,
    job: JobId,
    actor: Option<ActorId>,
) -> Result<After, OpsError> {
    let row = sqlx::query(
        "WITH unwait AS (DELETE FROM job_wait WHERE job_id = $1 AND org_id = $2)
         UPDATE job SET state = 'queued', queued_at = now(), run_at = now(), permit = false
         WHERE job_id = $1 AND org_id = $2 AND state IN ('scheduled', 'parked')
         RETURNING job_id, org_id, lane, priority, run_at, kind",
    )
    .bind(job.0)
    .bind(org.0)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else {
        return Err(ended_or_missing(connection, org, job, "run now").await?);
    };
    note(connection, org, &one(job), "run_now", actor, None).await?;
    let job = ready(&row)?;
    let change = JobChange {
        job_id: job.job_id,
        kind: row.try_get::<&str, _>("kind")?.into(),
        lane: job.lane.clone(),
        state: JobState::Queued,
    };
    Ok(After { ready: vec![job], changes: vec![(org, change)], ..After::default() })
}

async fn ended_or_missing(
    connection: &mut PgConnection,
    org: OrgId,
    job: JobId,
    action: &str,
) -> Result<OpsError, sqlx::Error> {
    let state: Option<String> = sqlx::query_scalar(
        "SELECT state::text FROM job WHERE job_id = $1 AND org_id = $2
         UNION ALL SELECT state::text FROM job_history WHERE job_id = $1 AND org_id = $2",
    )
    .bind(job.0)
    .bind(org.0)
    .fetch_optional(connection)
    .await?;
    Ok(match state.as_deref() {
        None => OpsError::NotFound("job"),
        Some("dead") => OpsError::Conflict(format!(
            "the job is a dead letter and can't be {action}; replay or discard it instead"
        )),
        Some(state) => OpsError::Conflict(format!("the job is {state} and can't be {action}")),
    })
}
