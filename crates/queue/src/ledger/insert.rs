//! Enqueue: many jobs in one statement and one commit.
//!
//! Idempotency and unique keys are settled by the database: the job that wins the key's row is
//! inserted, the others learn who won. Rows are offered in key order, so that two statements with the
//! same keys wait for each other instead of deadlocking.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{JobId, JobState};
use sqlx::{Acquire, PgConnection, Row};
use uuid::Uuid;

use crate::new_job::NewJob;

/// Tries before others are held up.
const PATIENT_ROUNDS: u64 = 3;
/// Tries before the caller is told that others were always quicker.
const ROUNDS: u64 = 8;

/// What became of one job of an insert, in the order they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It is in the ledger now, in this state.
    Created(JobState),
    /// Its key belongs to this job, with the same payload.
    Existing(JobId),
    /// Its key belongs to this job, with another payload.
    Conflict(JobId),
}

/// A job and the state it starts in (`Queued`, `Scheduled`, or `Parked` when its lane is draining).
pub(crate) type Entry<'a> = (&'a NewJob, JobState);

/// Inserts all jobs or none. The caller commits if `connection` is in a transaction.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    entries: &[Entry<'_>],
) -> Result<Vec<Inserted>, sqlx::Error> {
    if entries.iter().all(|(job, state)| is_plain(job, *state)) {
        insert_plain(connection, entries).await?;
        return Ok(vec![Inserted::Created(JobState::Queued); entries.len()]);
    }
    for round in 1.. {
        // More than one statement may be needed, so this is a transaction (a savepoint inside the caller's).
        let mut tx = connection.begin().await?;
        match insert_rich(&mut tx, entries, round > PATIENT_ROUNDS).await {
            Ok(Some(inserted)) => {
                tx.commit().await?;
                return Ok(inserted);
            }
            Ok(None) if round < ROUNDS => tx.rollback().await?,
            Err(error) if round < ROUNDS && is_collision(&error) => tx.rollback().await?,
            Ok(None) => break,
            Err(error) => return Err(error),
        }
        tokio::time::sleep(Duration::from_millis(2 * round)).await;
    }
    Err(sqlx::Error::Protocol("somebody else was quicker each time; try again".into()))
}

/// PostgreSQL chose this statement to give way to another; everything it did is undone.
fn is_collision(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "40P01" || code == "40001")
}

fn is_plain(job: &NewJob, state: JobState) -> bool {
    state == JobState::Queued
        && job.idempotency_key.is_none()
        && job.unique_key.is_none()
        && job.deadline_at.is_none()
        && job.parent_job_id.is_none()
        && job.batch_id.is_none()
        && job.workspace_id.is_none()
        && job.private_to.is_none()
        && job.run_at.is_none()
        && job.successors.is_empty()
}

/// The common case carries half the columns and no keys.
async fn insert_plain(connection: &mut PgConnection, entries: &[Entry<'_>]) -> Result<(), sqlx::Error> {
    let jobs = || entries.iter().map(|(job, _)| *job);
    sqlx::query(
        "INSERT INTO job (job_id, org_id, created_at, run_at, queued_at, state, priority, kind_version,
                          max_attempts, kind, lane, actor_id, request_id, payload)
         SELECT t.job_id, t.org_id, now(), now(), now(), 'queued', t.priority, t.kind_version,
                t.max_attempts, t.kind, t.lane, t.actor_id, t.request_id, t.payload::json
         FROM unnest($1::uuid[], $2::uuid[], $3::int2[], $4::int2[], $5::int2[], $6::text[], $7::text[],
                     $8::uuid[], $9::text[], $10::text[])
              AS t(job_id, org_id, priority, kind_version, max_attempts, kind, lane, actor_id,
                   request_id, payload)",
    )
    .bind(jobs().map(|job| job.job_id.0).collect::<Vec<_>>())
    .bind(jobs().map(|job| job.org_id.0).collect::<Vec<_>>())
    .bind(jobs().map(|job| job.priority).collect::<Vec<_>>())
    .bind(jobs().map(|job| job.kind_version).collect::<Vec<_>>())
    .bind(jobs().map(|job| job.max_attempts).collect::<Vec<_>>())
    .bind(jobs().map(|job| &*job.kind).collect::<Vec<_>>())
    .bind(jobs().map(|job| &*job.lane).collect::<Vec<_>>())
    .bind(jobs().map(|job| job.actor_id.map(|id| id.0)).collect::<Vec<Option<Uuid>>>())
    .bind(jobs().map(|job| job.request_id.as_deref()).collect::<Vec<_>>())
    .bind(jobs().map(|job| job.payload.get()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// The one statement of an insert; `taken` says what to do about unique keys that somebody holds.
macro_rules! insert_rich {
    ($taken:literal) => {
        concat!(
            "WITH input AS MATERIALIZED (
             SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::int2[],
                 $6::int2[], $7::int2[], $8::text[], $9::text[], $10::uuid[], $11::uuid[], $12::uuid[],
                 $13::uuid[], $14::timestamptz[], $15::text[], $16::text[], $17::text[], $18::text[],
                 $19::bytea[], $20::text[], $21::uuid[])
             AS t(job_id, org_id, run_at, state, priority, kind_version, max_attempts, kind, lane,
                  workspace_id, actor_id, parent_job_id, batch_id, deadline_at, idempotency_key,
                  unique_key, request_id, successors, payload_hash, payload, private_to)
         ), keyed AS (
             INSERT INTO job_key (org_id, kind, key, job_id, payload_hash)
             SELECT org_id, kind, idempotency_key, job_id, payload_hash FROM input
             WHERE idempotency_key IS NOT NULL
             ORDER BY org_id, kind, idempotency_key, job_id
             ON CONFLICT DO NOTHING RETURNING job_id
         ), uniq AS (
             INSERT INTO job_unique (org_id, kind, key, job_id)
             SELECT DISTINCT ON (org_id, kind, unique_key) org_id, kind, unique_key, job_id FROM input
             WHERE unique_key IS NOT NULL
               AND (idempotency_key IS NULL OR job_id IN (SELECT job_id FROM keyed))
             ORDER BY org_id, kind, unique_key, job_id
             ON CONFLICT ",
            $taken,
            " RETURNING job_unique.job_id
         ), fresh AS (
             SELECT * FROM input
             WHERE (idempotency_key IS NULL OR job_id IN (SELECT job_id FROM keyed))
               AND (unique_key IS NULL OR job_id IN (SELECT job_id FROM uniq))
         ), waiting AS (
             INSERT INTO job_wait (job_id, org_id, due_at, priority, lane, what, key)
             SELECT job_id, org_id, CASE state WHEN 'scheduled' THEN run_at END, priority, lane,
                    CASE state WHEN 'scheduled' THEN 'time' ELSE 'lane' END,
                    CASE state WHEN 'scheduled' THEN 'run_at' ELSE lane END
             FROM fresh WHERE state <> 'queued'
         ), made AS (
             INSERT INTO job (job_id, org_id, created_at, run_at, queued_at, state, priority, kind_version,
                              max_attempts, kind, lane, workspace_id, actor_id, parent_job_id, batch_id,
                              deadline_at, idempotency_key, unique_key, request_id, successors, payload,
                              private_to)
             SELECT job_id, org_id, now(), coalesce(run_at, now()),
                    CASE state WHEN 'queued' THEN now() END, state::job_state, priority, kind_version,
                    max_attempts, kind, lane, workspace_id, actor_id, parent_job_id, batch_id, deadline_at,
                    idempotency_key, unique_key, request_id, successors::json, payload::json, private_to
             FROM fresh RETURNING job_id
         )
         SELECT i.job_id, k.job_id, k.payload_hash, u.job_id FROM input i
         LEFT JOIN job_key k ON k.org_id = i.org_id AND k.kind = i.kind AND k.key = i.idempotency_key
         LEFT JOIN job_unique u ON u.org_id = i.org_id AND u.kind = i.kind AND u.key = i.unique_key
         WHERE i.job_id NOT IN (SELECT job_id FROM made)"
        )
    };
}

/// None when the holder of a key started between two looks: rolled back and tried again, the key is free.
/// Under a storm of enqueues and starts that may go on; `insist` makes holders wait with starting.
async fn insert_rich(
    connection: &mut PgConnection,
    entries: &[Entry<'_>],
    insist: bool,
) -> Result<Option<Vec<Inserted>>, sqlx::Error> {
    let jobs = || entries.iter().map(|(job, _)| *job);
    let hashes: Vec<Vec<u8>> = jobs()
        .map(|job| if job.idempotency_key.is_some() { job.payload_hash().to_vec() } else { Vec::new() })
        .collect();
    let successors: Vec<Option<String>> = jobs()
        .map(|job| {
            (!job.successors.is_empty())
                .then(|| serde_json::to_string(&job.successors))
                .transpose()
                .map_err(|error| sqlx::Error::Encode(Box::new(error)))
        })
        .collect::<Result<_, _>>()?;
    let statement = if insist {
        insert_rich!("(org_id, kind, key) DO UPDATE SET job_id = job_unique.job_id")
    } else {
        insert_rich!("DO NOTHING")
    };
    let rows = sqlx::query(statement)
        .bind(jobs().map(|job| job.job_id.0).collect::<Vec<_>>())
        .bind(jobs().map(|job| job.org_id.0).collect::<Vec<_>>())
        .bind(jobs().map(|job| job.run_at).collect::<Vec<Option<DateTime<Utc>>>>())
        .bind(entries.iter().map(|(_, state)| state.as_str()).collect::<Vec<_>>())
        .bind(jobs().map(|job| job.priority).collect::<Vec<_>>())
        .bind(jobs().map(|job| job.kind_version).collect::<Vec<_>>())
        .bind(jobs().map(|job| job.max_attempts).collect::<Vec<_>>())
        .bind(jobs().map(|job| &*job.kind).collect::<Vec<_>>())
        .bind(jobs().map(|job| &*job.lane).collect::<Vec<_>>())
        .bind(jobs().map(|job| job.workspace_id.map(|id| id.0)).collect::<Vec<Option<Uuid>>>())
        .bind(jobs().map(|job| job.actor_id.map(|id| id.0)).collect::<Vec<Option<Uuid>>>())
        .bind(jobs().map(|job| job.parent_job_id.map(|id| id.0)).collect::<Vec<Option<Uuid>>>())
        .bind(jobs().map(|job| job.batch_id.map(|id| id.0)).collect::<Vec<Option<Uuid>>>())
        .bind(jobs().map(|job| job.deadline_at).collect::<Vec<Option<DateTime<Utc>>>>())
        .bind(jobs().map(|job| job.idempotency_key.as_deref()).collect::<Vec<_>>())
        .bind(jobs().map(|job| job.unique_key.as_deref()).collect::<Vec<_>>())
        .bind(jobs().map(|job| job.request_id.as_deref()).collect::<Vec<_>>())
        .bind(&successors)
        .bind(&hashes)
        .bind(jobs().map(|job| job.payload.get()).collect::<Vec<_>>())
        .bind(jobs().map(|job| job.private_to.map(|id| id.0)).collect::<Vec<Option<Uuid>>>())
        .fetch_all(&mut *connection)
        .await?;

    let mut kept_out = HashMap::with_capacity(rows.len());
    for row in &rows {
        let key = row.try_get::<Option<Uuid>, _>(1)?.zip(row.try_get(2)?);
        kept_out.insert(row.try_get::<Uuid, _>(0)?, Holders { key, unique: row.try_get(3)? });
    }
    let mut outcome = Vec::with_capacity(entries.len());
    for (at, (job, state)) in entries.iter().enumerate() {
        outcome.push(if let Some(holders) = kept_out.remove(&job.job_id.0) {
            let hash = hashes.get(at).map_or(&[][..], Vec::as_slice);
            let Some(holder) = settle_loser(connection, job, hash, holders).await? else { return Ok(None) };
            holder
        } else {
            Inserted::Created(*state)
        });
    }
    Ok(Some(outcome))
}

/// Who held a job's keys when its insert began. None: nobody, or the job itself, or somebody who came at
/// the same moment.
struct Holders {
    key: Option<(Uuid, Vec<u8>)>,
    unique: Option<Uuid>,
}

/// Finds who holds the key that kept a job out; none when nobody does any more. Who held it when the insert
/// began is as good an answer as who does now: under load he is often at work by the time one asks.
async fn settle_loser(
    connection: &mut PgConnection,
    job: &NewJob,
    hash: &[u8],
    then: Holders,
) -> Result<Option<Inserted>, sqlx::Error> {
    if let Some(key) = &job.idempotency_key {
        let held =
            match then.key {
                Some(held) => Some(held),
                None => sqlx::query_as(
                    "SELECT job_id, payload_hash FROM job_key WHERE org_id = $1 AND kind = $2 AND key = $3",
                )
                .bind(job.org_id.0)
                .bind(&*job.kind)
                .bind(key)
                .fetch_optional(&mut *connection)
                .await?,
            };
        if let Some((holder, held)) = held
            && holder != job.job_id.0
        {
            let holder = JobId(holder);
            let same = held == hash;
            return Ok(Some(if same { Inserted::Existing(holder) } else { Inserted::Conflict(holder) }));
        }
    }
    if let Some(unique) = &job.unique_key {
        let holder: Option<Uuid> = match then.unique {
            Some(holder) => Some(holder),
            None => {
                sqlx::query_scalar(
                    "SELECT job_id FROM job_unique WHERE org_id = $1 AND kind = $2 AND key = $3",
                )
                .bind(job.org_id.0)
                .bind(&*job.kind)
                .bind(unique)
                .fetch_optional(&mut *connection)
                .await?
            }
        };
        if let Some(holder) = holder {
            // The idempotency key was won for a job that is not to be: it speaks for the holder now.
            sqlx::query(
                "UPDATE job_key SET job_id = $1 WHERE org_id = $2 AND kind = $3 AND key = $4 AND job_id = $5",
            )
            .bind(holder)
            .bind(job.org_id.0)
            .bind(&*job.kind)
            .bind(job.idempotency_key.as_deref().unwrap_or_default())
            .bind(job.job_id.0)
            .execute(&mut *connection)
            .await?;
            return Ok(Some(Inserted::Existing(JobId(holder))));
        }
    }
    Ok(None)
}
