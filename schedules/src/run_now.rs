//! Running a schedule's work once, outside its cadence. Its ticks stay where they are, and a paused
//! schedule runs too: somebody asked for it.

use domain::{ActorId, OrgId, ScheduleId, WorkspaceId};
use jobs::Registry;
use queue::{Enqueued, NewJob, Queue};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::ScheduleError;
use crate::table::lock;

/// A job that was enqueued by hand.
#[derive(Clone, Debug)]
pub struct RunNow {
    /// The job's id, and whether it is new.
    pub enqueued: Enqueued,
    /// The schedule's room, and the job's.
    pub workspace_id: Option<WorkspaceId>,
    /// For [`Queue::announce`], after the commit; empty when the job is not new.
    pub announce: Vec<NewJob>,
}

/// Who asks for a run, and how a repeated request is known.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Who asks; the job is theirs.
    pub actor: Option<ActorId>,
    /// The request, for the id chain.
    pub request_id: Option<String>,
    /// The same value again answers the first job instead of making a second; none makes a new one.
    pub run: Option<Uuid>,
}

/// Enqueues one job of the schedule in the caller's transaction, under the key
/// `schedule:<id>@manual:<uuid>`. Once that is committed, hand the answer's jobs to
/// [`Queue::announce`].
///
/// # Errors
/// [`ScheduleError::NotFound`]; [`ScheduleError::Payload`] when the stored payload no longer fits its kind;
/// [`ScheduleError::Enqueue`].
pub async fn run_now(
    queue: &Queue,
    registry: &Registry,
    connection: &mut PgConnection,
    org: OrgId,
    id: ScheduleId,
    asked: Asked,
) -> Result<RunNow, ScheduleError> {
    let schedule = lock(connection, org, id).await?;
    let payload = schedule.payload.ok_or(ScheduleError::NotFound)?;
    let mut job = registry.prepare(org, &schedule.kind, Some(schedule.kind_version), payload)?;
    if let Some(lane) = schedule.lane {
        job.lane = lane.into();
    }
    job.priority = schedule.priority;
    job.workspace_id = schedule.workspace_id;
    job.actor_id = asked.actor;
    job.request_id = asked.request_id;
    let run = asked.run.unwrap_or_else(Uuid::now_v7);
    job.idempotency_key = Some(format!("schedule:{id}@manual:{run}"));
    let enqueued = match queue.enqueue_in(connection, std::slice::from_ref(&job)).await?.first() {
        Some(enqueued) => *enqueued,
        None => Enqueued { job_id: job.job_id, created: true },
    };
    sqlx::query("UPDATE schedule SET last_job_id = $3 WHERE schedule_id = $1 AND org_id = $2")
        .bind(id.0)
        .bind(org.0)
        .bind(enqueued.job_id.0)
        .execute(connection)
        .await?;
    Ok(RunNow {
        enqueued,
        workspace_id: job.workspace_id,
        announce: if enqueued.created { vec![job] } else { Vec::new() },
    })
}
