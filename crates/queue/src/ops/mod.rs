//! Operators' actions on jobs, dead letters, lanes, limits, batches and the fleet.
//!
//! Each takes the open transaction of whoever acts, does its rows there, and answers an [`After`] that
//! is handed to [`crate::Queue::after`] once the transaction is committed. Whether the actor may do it was
//! decided before; the transaction's row-level security holds all the same.

pub mod batches;
pub mod dead;
pub mod jobs;
pub mod lanes;
pub mod limits;
mod reach;
pub mod workers;

pub use crate::engine::After;

use domain::{ActorId, JobId, OrgId};
use serde_json::Value;
use sqlx::PgConnection;

/// Adds a line to a job's timeline.
pub(crate) async fn note(
    connection: &mut PgConnection,
    org: OrgId,
    jobs: &[uuid::Uuid],
    what: &str,
    actor: Option<ActorId>,
    detail: Option<Value>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO job_event (job_id, org_id, what, actor_id, detail)
         SELECT id, $2, $3, $4, $5 FROM unnest($1::uuid[]) AS id",
    )
    .bind(jobs)
    .bind(org.0)
    .bind(what)
    .bind(actor.map(|actor| actor.0))
    .bind(detail)
    .execute(connection)
    .await?;
    Ok(())
}

/// One job's id as the array that statements take.
pub(crate) fn one(job: JobId) -> [uuid::Uuid; 1] {
    [job.0]
}
