//! One look at the due schedules: lock some, enqueue their jobs, move them on, all in one transaction.
//! If it does not commit, nothing happened and the ticks are still due.
//!
//! The ordinary way is three statements for the whole batch. Only when the ledger refuses one of the
//! jobs is each schedule tried by itself, so that one that is wrong does not stop the others.

use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::{DateTime, Utc};
use domain::{ActorId, OrgId, ScheduleId, WorkspaceId};
use jobs::Registry;
use queue::{EnqueueError, Enqueued, NewJob, Queue, QueueError};
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Row};
use tracing::warn;

use super::TickerConfig;
use super::plan::{Due, Plan, plan};

/// A round takes no further schedule once it has this many jobs …
const MOST_JOBS: usize = 256;
/// … or this many bytes of payload: they are held in memory until the commit.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Schedules it moved on or held.
    pub schedules: usize,
    /// Ticks that became jobs.
    pub enqueued: u64,
    /// Ticks whose job was there already.
    pub duplicates: u64,
    /// Ticks given up by a catch-up policy.
    pub skipped: u64,
    /// Schedules whose due ticks can't fire; each has its problem recorded.
    pub failed: u64,
}

/// A schedule whose ticks are enqueued.
struct Fired {
    due: Due,
    plan: Plan,
    outcomes: Vec<Enqueued>,
}

/// A schedule whose ticks can't fire, and why.
struct Failed {
    due: Due,
    problem: String,
}

pub(super) async fn round(
    queue: &Queue,
    registry: &Registry,
    now: DateTime<Utc>,
    config: &TickerConfig,
) -> Result<Round, QueueError> {
    let mut tx = queue.pool().begin().await?;
    let (planned, mut failed) = decide(lock_due(&mut tx, now, config.batch).await?, registry, now, config);
    let fired = match enqueue_all(&mut tx, queue, &planned).await {
        Ok(outcomes) => with_outcomes(planned, outcomes),
        Err(error) => {
            give_up_if_away(error)?;
            enqueue_each(&mut tx, queue, planned, &mut failed).await?
        }
    };
    if !fired.is_empty() {
        move_on(&mut tx, &fired).await?;
    }
    if !failed.is_empty() {
        hold(&mut tx, &failed, now, now + config.hold).await?;
    }
    tx.commit().await?;

    let mut done = Round { schedules: fired.len() + failed.len(), ..Round::default() };
    done.failed = u64::try_from(failed.len()).unwrap_or(u64::MAX);
    let mut announce = Vec::new();
    for schedule in fired {
        done.skipped += u64::try_from(schedule.plan.skipped).unwrap_or(0);
        for (job, outcome) in schedule.plan.jobs.into_iter().zip(schedule.outcomes) {
            if outcome.created {
                done.enqueued += 1;
                announce.push(job);
            } else {
                done.duplicates += 1;
            }
        }
    }
    queue.announce(&announce);
    Ok(done)
}

/// When the oldest open ticks are due; they may have passed.
#[derive(sqlx::FromRow)]
pub(super) struct Next {
    /// Of the schedules that may be looked at.
    pub(super) any: Option<DateTime<Utc>>,
    /// Of those that have no problem of their own: how late these are is how late the ticker is.
    pub(super) sound: Option<DateTime<Utc>>,
}

pub(super) async fn next_due(queue: &Queue, now: DateTime<Utc>) -> Result<Next, QueueError> {
    Ok(sqlx::query_as(
        r#"SELECT (SELECT next_tick_at FROM schedule
                   WHERE NOT paused AND next_tick_at IS NOT NULL AND (held_until IS NULL OR held_until <= $1)
                   ORDER BY next_tick_at LIMIT 1) AS "any",
                  (SELECT next_tick_at FROM schedule
                   WHERE NOT paused AND next_tick_at IS NOT NULL AND last_error IS NULL
                   ORDER BY next_tick_at LIMIT 1) AS sound"#,
    )
    .bind(now)
    .fetch_one(queue.pool())
    .await?)
}

async fn lock_due(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    batch: i64,
) -> Result<Vec<Due>, sqlx::Error> {
    sqlx::query(
        "SELECT schedule_id, org_id, workspace_id, actor_id, kind, kind_version, payload::text AS payload, lane,
                priority, expression, zone, catch_up, jitter_ms, next_tick_at
         FROM schedule
         WHERE NOT paused AND next_tick_at <= $1 AND (held_until IS NULL OR held_until <= $1)
         ORDER BY next_tick_at LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(now)
    .bind(batch)
    .fetch_all(connection)
    .await?
    .iter()
    .map(read)
    .collect()
}

fn read(row: &PgRow) -> Result<Due, sqlx::Error> {
    Ok(Due {
        schedule_id: ScheduleId(row.try_get("schedule_id")?),
        org_id: OrgId(row.try_get("org_id")?),
        workspace_id: row.try_get::<Option<_>, _>("workspace_id")?.map(WorkspaceId),
        actor_id: row.try_get::<Option<_>, _>("actor_id")?.map(ActorId),
        kind: row.try_get("kind")?,
        kind_version: row.try_get("kind_version")?,
        payload: row.try_get("payload")?,
        lane: row.try_get("lane")?,
        priority: row.try_get("priority")?,
        expression: row.try_get("expression")?,
        zone: row.try_get("zone")?,
        catch_up: row.try_get("catch_up")?,
        jitter_ms: row.try_get("jitter_ms")?,
        next_tick_at: row.try_get("next_tick_at")?,
    })
}

fn decide(
    due: Vec<Due>,
    registry: &Registry,
    now: DateTime<Utc>,
    config: &TickerConfig,
) -> (Vec<(Due, Plan)>, Vec<Failed>) {
    let (mut planned, mut failed) = (Vec::new(), Vec::new());
    let (mut jobs, mut bytes) = (0, 0);
    for due in due {
        if jobs >= MOST_JOBS || bytes >= MOST_BYTES {
            break; // the rest stays due; the next round follows at once
        }
        // Upgrades and payload checks are the kinds' own code: a panic there is that schedule's problem.
        let decided = catch_unwind(AssertUnwindSafe(|| plan(&due, registry, now, config.grace)));
        match decided {
            Ok(Ok(plan)) => {
                jobs += plan.jobs.len();
                bytes += plan.jobs.len() * due.payload.len();
                planned.push((due, plan));
            }
            Ok(Err(problem)) => failed.push(Failed { due, problem }),
            Err(_) => {
                let problem =
                    "the kind failed while it checked the payload; see the scheduler's log".to_owned();
                failed.push(Failed { due, problem });
            }
        }
    }
    (planned, failed)
}

async fn enqueue_all(
    connection: &mut PgConnection,
    queue: &Queue,
    planned: &[(Due, Plan)],
) -> Result<Vec<Enqueued>, EnqueueError> {
    let jobs: Vec<NewJob> = planned.iter().flat_map(|(_, plan)| plan.jobs.iter().cloned()).collect();
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let mut savepoint = connection.begin().await?;
    let outcomes = queue.enqueue_in(&mut savepoint, &jobs).await?;
    savepoint.commit().await?;
    Ok(outcomes)
}

fn with_outcomes(planned: Vec<(Due, Plan)>, outcomes: Vec<Enqueued>) -> Vec<Fired> {
    let mut outcomes = outcomes.into_iter();
    planned
        .into_iter()
        .map(|(due, plan)| {
            let outcomes = outcomes.by_ref().take(plan.jobs.len()).collect();
            Fired { due, plan, outcomes }
        })
        .collect()
}

async fn enqueue_each(
    connection: &mut PgConnection,
    queue: &Queue,
    planned: Vec<(Due, Plan)>,
    failed: &mut Vec<Failed>,
) -> Result<Vec<Fired>, QueueError> {
    let mut fired = Vec::with_capacity(planned.len());
    for (due, plan) in planned {
        let mut savepoint = connection.begin().await?;
        match enqueue_one_by_one(&mut savepoint, queue, &plan.jobs).await {
            Ok(outcomes) => {
                savepoint.commit().await?;
                fired.push(Fired { due, plan, outcomes });
            }
            Err(error) => {
                let problem = error.to_string();
                savepoint.rollback().await?;
                give_up_if_away(error)?;
                failed.push(Failed { due, problem });
            }
        }
    }
    Ok(fired)
}

async fn enqueue_one_by_one(
    connection: &mut PgConnection,
    queue: &Queue,
    jobs: &[NewJob],
) -> Result<Vec<Enqueued>, EnqueueError> {
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        match queue.enqueue_in(connection, std::slice::from_ref(job)).await {
            Ok(done) => outcomes.extend(done),
            // The tick fired before, with the payload the schedule had then.
            Err(EnqueueError::KeyReused { existing }) => {
                outcomes.push(Enqueued { job_id: existing, created: false });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(outcomes)
}

/// Trouble with the server is nobody's schedule's problem.
fn give_up_if_away(error: EnqueueError) -> Result<(), QueueError> {
    match error {
        EnqueueError::Queue(error @ (QueueError::DatabaseAway(_) | QueueError::Closed)) => Err(error),
        _ => Ok(()),
    }
}

async fn move_on(connection: &mut PgConnection, fired: &[Fired]) -> Result<(), sqlx::Error> {
    let newest = |one: &Fired| one.outcomes.last().map(|outcome| outcome.job_id.0);
    sqlx::query(
        "UPDATE schedule s
         SET next_tick_at = t.next_tick_at, last_tick_at = coalesce(t.last_tick_at, s.last_tick_at),
             last_job_id = coalesce(t.last_job_id, s.last_job_id),
             skipped_total = s.skipped_total + t.skipped,
             last_skipped_at = coalesce(t.last_skipped_at, s.last_skipped_at),
             last_error = NULL, last_error_at = NULL, held_until = NULL
         FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::uuid[], $5::int8[], $6::timestamptz[])
              AS t(schedule_id, next_tick_at, last_tick_at, last_job_id, skipped, last_skipped_at)
         WHERE s.schedule_id = t.schedule_id",
    )
    .bind(fired.iter().map(|one| one.due.schedule_id.0).collect::<Vec<_>>())
    .bind(fired.iter().map(|one| one.plan.next).collect::<Vec<_>>())
    .bind(fired.iter().map(|one| one.plan.last_fired).collect::<Vec<_>>())
    .bind(fired.iter().map(newest).collect::<Vec<_>>())
    .bind(fired.iter().map(|one| one.plan.skipped).collect::<Vec<_>>())
    .bind(fired.iter().map(|one| one.plan.last_skipped).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// The ticks stay due, so that a payload that is mended or a newer program still fires them.
async fn hold(
    connection: &mut PgConnection,
    failed: &[Failed],
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    for Failed { due, problem } in failed {
        warn!(schedule_id = %due.schedule_id, org_id = %due.org_id, kind = %due.kind, problem, "a schedule can't fire");
    }
    sqlx::query(
        "UPDATE schedule s SET last_error = t.problem, last_error_at = $3, held_until = $4
         FROM unnest($1::uuid[], $2::text[]) AS t(schedule_id, problem) WHERE s.schedule_id = t.schedule_id",
    )
    .bind(failed.iter().map(|one| one.due.schedule_id.0).collect::<Vec<_>>())
    .bind(failed.iter().map(|one| one.problem.as_str()).collect::<Vec<_>>())
    .bind(now)
    .bind(until)
    .execute(connection)
    .await?;
    Ok(())
}
