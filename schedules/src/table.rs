//! The schedule table: making, changing and finding schedules inside the caller's transaction.
//!
//! Every function takes the open transaction of whoever acts and the organisation it is for; the
//! transaction's row-level security holds all the same. Time comes in as `now`.
//!
//! Refuses to fire anything (that is the ticker's part and [`crate::run_now()`]'s) and to judge payloads: work
//! comes as a job that `jobs::Registry::prepare` made. Of that job only kind, version and payload count.

use chrono::{DateTime, Utc};
use domain::{ActorId, OrgId, ScheduleId};
use queue::NewJob;
use sqlx::PgConnection;

use crate::error::ScheduleError;
use crate::schedule::Schedule;
use crate::spec::{Patch, Spec};

/// Most schedules of one organisation: what fits on one page and in one look of the ticker.
pub const MAX_PER_ORG: i64 = 1000;

/// Which schedules to list; what is none does not filter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only those that are paused, or only those that are not.
    pub paused: Option<bool>,
    /// Only those whose due ticks can't fire, or only the others.
    pub failing: Option<bool>,
    /// Only those with this text in name or kind, in any case.
    pub text: Option<String>,
}

macro_rules! select {
    ($payload:literal, $rest:literal) => {
        concat!(
            "SELECT s.schedule_id, s.org_id, s.workspace_id, s.name, s.kind, s.kind_version, ",
            $payload,
            " AS payload, s.lane, s.priority, s.expression, s.zone, s.catch_up, s.jitter_ms, s.paused,
              s.last_tick_at, s.next_tick_at, s.last_job_id, s.skipped_total, s.last_skipped_at,
              s.last_error, s.last_error_at, s.held_until, s.actor_id, s.created_at, s.changed_at,
              coalesce(j.state, h.state)::text AS last_job_state
             FROM schedule s
             LEFT JOIN job j ON j.job_id = s.last_job_id AND j.org_id = s.org_id
             LEFT JOIN job_history h ON h.job_id = s.last_job_id AND h.org_id = s.org_id ",
            $rest
        )
    };
}

/// Makes a schedule. Its first tick is the first after `now`.
///
/// # Errors
/// [`ScheduleError::Invalid`] naming fields, [`ScheduleError::NameTaken`], [`ScheduleError::TooMany`].
pub async fn create(
    connection: &mut PgConnection,
    org: OrgId,
    actor: Option<ActorId>,
    spec: &Spec,
    work: &NewJob,
    now: DateTime<Utc>,
) -> Result<Schedule, ScheduleError> {
    let cadence = spec.check()?;
    check_lane(connection, spec).await?;
    let held: i64 = sqlx::query_scalar("SELECT count(*) FROM schedule WHERE org_id = $1")
        .bind(org.0)
        .fetch_one(&mut *connection)
        .await?;
    if held >= MAX_PER_ORG {
        return Err(ScheduleError::TooMany { limit: MAX_PER_ORG });
    }
    let id = ScheduleId::new();
    sqlx::query(
        "INSERT INTO schedule (schedule_id, org_id, workspace_id, name, kind, kind_version, payload, lane,
                               priority, expression, zone, catch_up, jitter_ms, paused, next_tick_at,
                               actor_id, created_at, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7::text::json, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17)",
    )
    .bind(id.0)
    .bind(org.0)
    .bind(spec.workspace_id.map(|room| room.0))
    .bind(&spec.name)
    .bind(&*work.kind)
    .bind(work.kind_version)
    .bind(work.payload.get())
    .bind(&spec.lane)
    .bind(spec.priority)
    .bind(cadence.expression().source())
    .bind(cadence.zone().name())
    .bind(&spec.catch_up)
    .bind(spec.jitter_ms)
    .bind(spec.paused)
    .bind(if spec.paused { None } else { cadence.next_tick(now) })
    .bind(actor.map(|actor| actor.0))
    .bind(now)
    .execute(&mut *connection)
    .await
    .map_err(|error| explain(error, spec))?;
    get(connection, org, id).await
}

/// Changes a schedule. A changed cadence starts anew at `now`; any change lets a held schedule be tried
/// again at once.
///
/// # Errors
/// As [`create`], and [`ScheduleError::NotFound`].
pub async fn update(
    connection: &mut PgConnection,
    org: OrgId,
    id: ScheduleId,
    patch: Patch,
    now: DateTime<Utc>,
) -> Result<Schedule, ScheduleError> {
    let before = lock(connection, org, id).await?;
    let mut spec = before.spec();
    let work = patch.apply(&mut spec);
    let cadence = spec.check()?;
    check_lane(connection, &spec).await?;
    let same = before.cadence().is_ok_and(|old| old == cadence);
    let next = match before.next_tick_at {
        _ if before.paused => None,
        next @ Some(_) if same => next,
        // A scheduler whose clock runs ahead may have fired past `now`: that tick must not come again.
        _ => cadence.next_tick(before.last_tick_at.map_or(now, |last| last.max(now))),
    };
    sqlx::query(
        "UPDATE schedule SET workspace_id = $3, name = $4, lane = $5, priority = $6, expression = $7, zone = $8,
                catch_up = $9, jitter_ms = $10, next_tick_at = $11, kind = coalesce($12, kind),
                kind_version = coalesce($13, kind_version), payload = coalesce($14::text::json, payload),
                last_error = NULL, last_error_at = NULL, held_until = NULL, changed_at = $15
         WHERE schedule_id = $1 AND org_id = $2",
    )
    .bind(id.0)
    .bind(org.0)
    .bind(spec.workspace_id.map(|room| room.0))
    .bind(&spec.name)
    .bind(&spec.lane)
    .bind(spec.priority)
    .bind(cadence.expression().source())
    .bind(cadence.zone().name())
    .bind(&spec.catch_up)
    .bind(spec.jitter_ms)
    .bind(next)
    .bind(work.as_ref().map(|work| &*work.kind))
    .bind(work.as_ref().map(|work| work.kind_version))
    .bind(work.as_ref().map(|work| work.payload.get()))
    .bind(now)
    .execute(&mut *connection)
    .await
    .map_err(|error| explain(error, &spec))?;
    get(connection, org, id).await
}

/// Removes a schedule. Jobs it has already enqueued stay; answers it as it was.
///
/// # Errors
/// [`ScheduleError::NotFound`].
pub async fn delete(
    connection: &mut PgConnection,
    org: OrgId,
    id: ScheduleId,
) -> Result<Schedule, ScheduleError> {
    let gone = lock(connection, org, id).await?;
    sqlx::query("DELETE FROM schedule WHERE schedule_id = $1 AND org_id = $2")
        .bind(id.0)
        .bind(org.0)
        .execute(connection)
        .await?;
    Ok(gone)
}

/// Lets a schedule rest; one that rests already stays as it is. Ticks that are due and not fired are
/// given up, like those that pass until it is resumed.
///
/// # Errors
/// [`ScheduleError::NotFound`].
pub async fn pause(
    connection: &mut PgConnection,
    org: OrgId,
    id: ScheduleId,
    now: DateTime<Utc>,
) -> Result<Schedule, ScheduleError> {
    let before = lock(connection, org, id).await?;
    if before.paused {
        return Ok(before);
    }
    sqlx::query(
        "UPDATE schedule SET paused = true, next_tick_at = NULL, held_until = NULL, changed_at = $3
         WHERE schedule_id = $1 AND org_id = $2",
    )
    .bind(id.0)
    .bind(org.0)
    .bind(now)
    .execute(&mut *connection)
    .await?;
    get(connection, org, id).await
}

/// Wakes a schedule; its next tick is the first after `now`. One that does not rest stays as it is.
///
/// # Errors
/// [`ScheduleError::NotFound`]; [`ScheduleError::Invalid`] when its cadence can no longer be read.
pub async fn resume(
    connection: &mut PgConnection,
    org: OrgId,
    id: ScheduleId,
    now: DateTime<Utc>,
) -> Result<Schedule, ScheduleError> {
    let before = lock(connection, org, id).await?;
    if !before.paused {
        return Ok(before);
    }
    let cadence = before.spec().check()?;
    sqlx::query(
        "UPDATE schedule SET paused = false, next_tick_at = $3, last_error = NULL, last_error_at = NULL,
                held_until = NULL, changed_at = $4
         WHERE schedule_id = $1 AND org_id = $2",
    )
    .bind(id.0)
    .bind(org.0)
    .bind(cadence.next_tick(before.last_tick_at.map_or(now, |last| last.max(now))))
    .bind(now)
    .execute(&mut *connection)
    .await?;
    get(connection, org, id).await
}

/// One schedule.
///
/// # Errors
/// [`ScheduleError::NotFound`].
pub async fn get(
    connection: &mut PgConnection,
    org: OrgId,
    id: ScheduleId,
) -> Result<Schedule, ScheduleError> {
    sqlx::query_as(select!("s.payload::text", "WHERE s.schedule_id = $1 AND s.org_id = $2"))
        .bind(id.0)
        .bind(org.0)
        .fetch_optional(connection)
        .await?
        .ok_or(ScheduleError::NotFound)
}

/// The organisation's schedules by name, without their payloads; at most [`MAX_PER_ORG`], which is all.
///
/// # Errors
/// [`ScheduleError::Queue`].
pub async fn list(
    connection: &mut PgConnection,
    org: OrgId,
    filter: &Filter,
) -> Result<Vec<Schedule>, ScheduleError> {
    Ok(sqlx::query_as(select!(
        "NULL::text",
        "WHERE s.org_id = $1 AND ($2::text IS NULL OR s.kind = $2) AND ($3::bool IS NULL OR s.paused = $3)
           AND ($4::bool IS NULL OR (s.last_error IS NOT NULL) = $4)
           AND ($5::text IS NULL OR strpos(lower(s.name), lower($5)) > 0
                                 OR strpos(lower(s.kind), lower($5)) > 0)
         ORDER BY s.name, s.schedule_id LIMIT $6"
    ))
    .bind(org.0)
    .bind(&filter.kind)
    .bind(filter.paused)
    .bind(filter.failing)
    .bind(&filter.text)
    .bind(MAX_PER_ORG)
    .fetch_all(connection)
    .await?)
}

/// One schedule, held against the ticker and other changes until the transaction ends.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    org: OrgId,
    id: ScheduleId,
) -> Result<Schedule, ScheduleError> {
    // Apart from the reading: a lock can't reach through the outer joins, and a statement that waited for
    // the ticker still sees the joined rows as they were before.
    sqlx::query("SELECT FROM schedule WHERE schedule_id = $1 AND org_id = $2 FOR UPDATE")
        .bind(id.0)
        .bind(org.0)
        .fetch_optional(&mut *connection)
        .await?
        .ok_or(ScheduleError::NotFound)?;
    get(connection, org, id).await
}

async fn check_lane(connection: &mut PgConnection, spec: &Spec) -> Result<(), ScheduleError> {
    let Some(lane) = &spec.lane else { return Ok(()) };
    let known: Vec<String> =
        sqlx::query_scalar("SELECT lane FROM lane ORDER BY position, lane").fetch_all(connection).await?;
    if known.contains(lane) {
        return Ok(());
    }
    Err(ScheduleError::invalid("lane", format!("there is no such lane; use one of {}", known.join(", "))))
}

fn explain(error: sqlx::Error, spec: &Spec) -> ScheduleError {
    match error.as_database_error().and_then(|error| error.constraint()) {
        Some("schedule_name_unique") => ScheduleError::NameTaken(spec.name.clone()),
        Some("schedule_workspace") => {
            ScheduleError::invalid("workspace_id", "there is no such workspace here")
        }
        _ => error.into(),
    }
}
