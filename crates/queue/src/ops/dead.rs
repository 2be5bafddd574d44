//! Dead letters: looking at them by cause, replaying one or many, discarding with a reason.

use chrono::{DateTime, Utc};
use domain::{ActorId, JobId, JobState, OrgId};
use serde_json::json;
use serde_json::value::RawValue;
use sqlx::{FromRow, PgConnection, Row};

use super::{After, note, reach};
use crate::error::OpsError;
use crate::events::JobChange;
use crate::ledger::open_rows::ready;

/// Dead letters with the same cause.
#[derive(Clone, Debug, FromRow)]
pub struct DeadGroup {
    /// Kind of the jobs.
    pub kind: String,
    /// Lane of the jobs.
    pub lane: String,
    /// Their common error code.
    pub error_code: String,
    /// How many.
    pub count: i64,
    /// When the first of them died.
    pub first_at: DateTime<Utc>,
    /// When the last of them died.
    pub last_at: DateTime<Utc>,
    /// The newest one's error message.
    pub sample_message: Option<String>,
    /// The newest one.
    pub sample_job_id: uuid::Uuid,
}

/// Which dead letters are meant; an empty filter means all.
#[derive(Clone, Debug, Default)]
pub struct DeadFilter {
    /// Only this kind.
    pub kind: Option<String>,
    /// Only this error code.
    pub error_code: Option<String>,
    /// Only this lane.
    pub lane: Option<String>,
    /// Died at or after.
    pub from: Option<DateTime<Utc>>,
    /// Died before.
    pub until: Option<DateTime<Utc>>,
}

/// The condition every statement here shares; parameters 1 to 6.
macro_rules! dead {
    () => {
        "org_id = $1 AND state = 'dead' AND discarded_at IS NULL
         AND ($2::text IS NULL OR kind = $2) AND ($3::text IS NULL OR error_code = $3)
         AND ($4::text IS NULL OR lane = $4) AND ($5::timestamptz IS NULL OR finished_at >= $5)
         AND ($6::timestamptz IS NULL OR finished_at < $6)"
    };
}
/// Groups an organisation's dead letters by kind, lane and error code, largest first; at most 200 groups.
///
/// # Errors
/// [`OpsError::Queue`].
pub async fn groups(connection: &mut PgConnection, org: OrgId) -> Result<Vec<DeadGroup>, OpsError> {
    Ok(sqlx::query_as(
        // Ids are collected, not messages: those of a flood of dead letters would not fit into memory.
        "SELECT g.kind, g.lane, g.error_code, g.count, g.first_at, g.last_at,
                h.error_message AS sample_message, g.sample_job_id
         FROM (SELECT kind, lane, coalesce(error_code, 'unknown') AS error_code, count(*) AS count,
                      min(finished_at) AS first_at, max(finished_at) AS last_at,
                      (array_agg(job_id ORDER BY finished_at DESC))[1] AS sample_job_id
               FROM job_history WHERE org_id = $1 AND state = 'dead' AND discarded_at IS NULL
               GROUP BY kind, lane, coalesce(error_code, 'unknown') ORDER BY count(*) DESC LIMIT 200) g
         JOIN job_history h ON h.job_id = g.sample_job_id ORDER BY g.count DESC",
    )
    .bind(org.0)
    .fetch_all(connection)
    .await?)
}

/// Counts by kind what a filter would touch: the dry run.
///
/// # Errors
/// [`OpsError::Queue`].
pub async fn count(
    connection: &mut PgConnection,
    org: OrgId,
    filter: &DeadFilter,
) -> Result<Vec<(String, i64)>, OpsError> {
    Ok(bind(
        sqlx::query_as(concat!(
            "SELECT kind, count(*) FROM job_history WHERE ",
            dead!(),
            " GROUP BY kind ORDER BY kind"
        )),
        org,
        filter,
    )
    .fetch_all(connection)
    .await?)
}

fn bind<'q, O>(
    query: sqlx::query::QueryAs<'q, sqlx::Postgres, O, sqlx::postgres::PgArguments>,
    org: OrgId,
    filter: &'q DeadFilter,
) -> sqlx::query::QueryAs<'q, sqlx::Postgres, O, sqlx::postgres::PgArguments> {
    query
        .bind(org.0)
        .bind(filter.kind.as_deref())
        .bind(filter.error_code.as_deref())
        .bind(filter.lane.as_deref())
        .bind(filter.from)
        .bind(filter.until)
}

/// Runs one dead letter again, with fresh attempts, perhaps with another payload.
///
/// # Errors
/// [`OpsError::NotFound`], or [`OpsError::Conflict`] when the job is no dead letter.
pub async fn replay(
    connection: &mut PgConnection,
    org: OrgId,
    job: JobId,
    actor: Option<ActorId>,
    edited_payload: Option<&RawValue>,
) -> Result<After, OpsError> {
    let after = revive(connection, org, &[job.0], edited_payload).await?;
    if after.ready.is_empty() {
        let state: Option<String> = sqlx::query_scalar(
            "SELECT state::text FROM job WHERE job_id = $1 AND org_id = $2
             UNION ALL SELECT CASE WHEN discarded_at IS NULL THEN state::text ELSE 'discarded' END
             FROM job_history WHERE job_id = $1 AND org_id = $2",
        )
        .bind(job.0)
        .bind(org.0)
        .fetch_optional(connection)
        .await?;
        return Err(match state {
            None => OpsError::NotFound("job"),
            Some(state) => OpsError::Conflict(format!(
                "the job is {state}, not a dead letter: there is nothing to replay"
            )),
        });
    }
    let detail = json!({ "edited": edited_payload.is_some() });
    note(connection, org, &[job.0], "replayed", actor, Some(detail)).await?;
    Ok(after)
}

/// Runs dead letters that fit the filter again, at most `limit`, oldest first. Call until it answers 0.
///
/// # Errors
/// [`OpsError::Queue`].
pub async fn replay_where(
    connection: &mut PgConnection,
    org: OrgId,
    filter: &DeadFilter,
    actor: Option<ActorId>,
    limit: i64,
) -> Result<(u64, After), OpsError> {
    let ids = ids_where(connection, org, filter, limit).await?;
    let after = revive(connection, org, &ids, None).await?;
    let revived: Vec<uuid::Uuid> = after.ready.iter().map(|job| job.job_id.0).collect();
    note(connection, org, &revived, "replayed", actor, Some(json!({ "bulk": true }))).await?;
    Ok((revived.len() as u64, after))
}

async fn ids_where(
    connection: &mut PgConnection,
    org: OrgId,
    filter: &DeadFilter,
    limit: i64,
) -> Result<Vec<uuid::Uuid>, OpsError> {
    let rows: Vec<(uuid::Uuid,)> = bind(
        sqlx::query_as(concat!(
            "SELECT job_id FROM job_history WHERE ",
            dead!(),
            " ORDER BY job_id LIMIT $7 FOR UPDATE SKIP LOCKED"
        )),
        org,
        filter,
    )
    .bind(limit)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

/// Moves dead letters back among the open jobs.
async fn revive(
    connection: &mut PgConnection,
    org: OrgId,
    ids: &[uuid::Uuid],
    edited_payload: Option<&RawValue>,
) -> Result<After, OpsError> {
    if ids.is_empty() {
        return Ok(After::default());
    }
    let rows = sqlx::query(
        "WITH gone AS (
             DELETE FROM job_history
             WHERE job_id = ANY($1) AND org_id = $2 AND state = 'dead' AND discarded_at IS NULL
             RETURNING *
         )
         INSERT INTO job (job_id, org_id, created_at, run_at, queued_at, claim_no, state, priority,
                          kind_version, attempt, max_attempts, recoveries, kind, lane, workspace_id,
                          actor_id, parent_job_id, batch_id, idempotency_key, request_id, successors, private_to,
                          payload)
         SELECT job_id, org_id, created_at, now(), now(), claim_no, 'queued', priority, kind_version, 0,
                max_attempts, 0, kind, lane, workspace_id, actor_id, parent_job_id, batch_id,
                idempotency_key, request_id, successors, private_to, coalesce($3::text::json, payload)
         FROM gone RETURNING job_id, org_id, lane, priority, run_at, kind, batch_id",
    )
    .bind(ids)
    .bind(org.0)
    .bind(edited_payload.map(RawValue::get))
    .fetch_all(&mut *connection)
    .await?;
    let batches: Vec<uuid::Uuid> = rows
        .iter()
        .filter_map(|row| row.try_get::<Option<_>, _>("batch_id").transpose())
        .collect::<Result<_, _>>()?;
    if !batches.is_empty() {
        uncount(connection, &batches).await?;
    }
    let mut after = After::default();
    for row in &rows {
        let job = ready(row)?;
        after.changes.push((
            org,
            JobChange {
                job_id: job.job_id,
                kind: row.try_get::<&str, _>("kind")?.into(),
                lane: job.lane.clone(),
                state: JobState::Queued,
            },
        ));
        after.ready.push(job);
    }
    Ok(after)
}

/// Takes revived jobs out of their batches' counts; a batch is named once for each of them.
async fn uncount(connection: &mut PgConnection, batches: &[uuid::Uuid]) -> Result<(), sqlx::Error> {
    let view = reach::widen(connection).await?;
    sqlx::query(
        "UPDATE job_batch b SET failed = b.failed - n.n
         FROM (SELECT id, count(*) AS n FROM unnest($1::uuid[]) AS id GROUP BY 1) n
         WHERE b.batch_id = n.id AND b.completed_at IS NULL",
    )
    .bind(batches)
    .execute(&mut *connection)
    .await?;
    reach::narrow(connection, view).await
}

/// Puts one dead letter aside for good, saying why. It stays in history until its retention ends.
///
/// # Errors
/// [`OpsError::NotFound`] when there is no such dead letter, [`OpsError::Invalid`] without a reason.
pub async fn discard(
    connection: &mut PgConnection,
    org: OrgId,
    job: JobId,
    actor: Option<ActorId>,
    reason: &str,
) -> Result<(), OpsError> {
    if discard_ids(connection, org, &[job.0], actor, reason).await? == 0 {
        return Err(OpsError::NotFound("dead letter"));
    }
    Ok(())
}

/// Puts dead letters that fit the filter aside, at most `limit`. Call until it answers 0.
///
/// # Errors
/// [`OpsError::Invalid`] without a reason.
pub async fn discard_where(
    connection: &mut PgConnection,
    org: OrgId,
    filter: &DeadFilter,
    actor: Option<ActorId>,
    reason: &str,
    limit: i64,
) -> Result<u64, OpsError> {
    let ids = ids_where(connection, org, filter, limit).await?;
    discard_ids(connection, org, &ids, actor, reason).await
}

async fn discard_ids(
    connection: &mut PgConnection,
    org: OrgId,
    ids: &[uuid::Uuid],
    actor: Option<ActorId>,
    reason: &str,
) -> Result<u64, OpsError> {
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > 1000 {
        return Err(OpsError::Invalid {
            field: "reason",
            problem: "say in 1 to 1000 bytes why these dead letters are discarded".into(),
        });
    }
    let discarded: Vec<uuid::Uuid> = sqlx::query_scalar(
        "UPDATE job_history SET discarded_at = now(), discard_reason = $3
         WHERE job_id = ANY($1) AND org_id = $2 AND state = 'dead' AND discarded_at IS NULL
         RETURNING job_id",
    )
    .bind(ids)
    .bind(org.0)
    .bind(reason)
    .fetch_all(&mut *connection)
    .await?;
    note(connection, org, &discarded, "discarded", actor, Some(json!({ "reason": reason }))).await?;
    Ok(discarded.len() as u64)
}
