//! Completion: what became of claimed jobs, many in one commit, fenced by worker and claim number.
//!
//! A job that another worker took meanwhile is left alone. Successors and a batch's callback enter the
//! ledger in the same transaction as the completion that causes them.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use domain::{BatchId, JobId, JobState, OrgId, WorkerId};
use serde_json::value::RawValue;
use sqlx::{Acquire, PgConnection, Row};
use tracing::warn;
use uuid::Uuid;

use super::insert::{Inserted, insert};
use crate::dispatch::Ready;
use crate::engine::LaneTable;
use crate::new_job::NewJob;

/// How one claim ended.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    /// It went well.
    Succeeded { result: Option<String>, next: Vec<NewJob> },
    /// It ended otherwise: dead, cancelled or expired.
    Ended { state: JobState, code: String, message: String },
    /// It will be tried again.
    Retry { delay: std::time::Duration, code: String, message: String },
    /// It waits for something nameable; the attempt is given back.
    Parked { what: String, key: String, until: Option<DateTime<Utc>>, detail: Option<String> },
    /// It goes back to its lane untouched (drain); the attempt is given back.
    Released,
}

/// One claim and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Completion {
    pub(crate) job_id: JobId,
    pub(crate) org_id: OrgId,
    pub(crate) claim_no: i32,
    pub(crate) lane: std::sync::Arc<str>,
    pub(crate) batch_id: Option<BatchId>,
    pub(crate) successors: Option<Box<RawValue>>,
    pub(crate) settled: Settled,
}

impl Completion {
    fn is_plain(&self) -> bool {
        self.batch_id.is_none()
            && self.successors.is_none()
            && matches!(&self.settled, Settled::Succeeded { result: None, next } if next.is_empty())
    }
}

/// What a group of completions did.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// Jobs whose completion counted.
    pub(crate) accepted: HashSet<Uuid>,
    /// Jobs to dispatch now: successors, callbacks, released ones.
    pub(crate) ready: Vec<Ready>,
}

/// The columns that move from `job` to `job_history`, in one order for both sides.
macro_rules! moved {
    () => {
        "job_id, org_id, created_at, run_at, queued_at, started_at, claim_no, priority, kind_version, \
         attempt, max_attempts, recoveries, kind, lane, worker_id, workspace_id, actor_id, \
         parent_job_id, batch_id, deadline_at, progress_done, progress_total, idempotency_key, \
         request_id, successors, private_to, payload"
    };
}
pub(crate) use moved;

/// Writes a group of completions, durably.
pub(crate) async fn finish(
    connection: &mut PgConnection,
    worker: WorkerId,
    group: &[Completion],
    lanes: &LaneTable,
) -> Result<Finished, sqlx::Error> {
    if group.iter().all(Completion::is_plain) {
        let accepted = finish_plain(connection, worker, group.iter()).await?;
        return Ok(Finished { accepted, ready: Vec::new() });
    }
    let mut tx = connection.begin().await?;
    let mut done = Finished::default();
    let plain = || group.iter().filter(|one| one.is_plain());
    if plain().next().is_some() {
        done.accepted = finish_plain(&mut tx, worker, plain()).await?;
    }
    finish_ended(&mut tx, worker, group, &mut done).await?;
    finish_waiting(&mut tx, worker, group, &mut done).await?;
    release(&mut tx, worker, group, &mut done).await?;
    follow_up(&mut tx, group, lanes, &mut done).await?;
    tx.commit().await?;
    Ok(done)
}

async fn finish_plain(
    connection: &mut PgConnection,
    worker: WorkerId,
    group: impl Iterator<Item = &Completion> + Clone,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = group.clone().map(|one| one.job_id.0).collect();
    let claims: Vec<i32> = group.map(|one| one.claim_no).collect();
    let rows = sqlx::query(concat!(
        "WITH gone AS (
             DELETE FROM job j USING unnest($2::uuid[], $3::int4[]) AS d(job_id, claim_no)
             WHERE j.job_id = d.job_id AND j.claim_no = d.claim_no AND j.worker_id = $1
               AND j.state = 'running'
             RETURNING j.*
         )
         INSERT INTO job_history (state, finished_at, ",
        moved!(),
        ") SELECT 'succeeded', now(), ",
        moved!(),
        " FROM gone RETURNING job_id"
    ))
    .bind(worker.0)
    .bind(ids)
    .bind(claims)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

async fn finish_ended(
    connection: &mut PgConnection,
    worker: WorkerId,
    group: &[Completion],
    done: &mut Finished,
) -> Result<(), sqlx::Error> {
    let mut ids = Vec::new();
    let mut claims = Vec::new();
    let mut states = Vec::new();
    let mut codes: Vec<Option<&str>> = Vec::new();
    let mut messages: Vec<Option<&str>> = Vec::new();
    let mut results: Vec<Option<&str>> = Vec::new();
    for one in group.iter().filter(|one| !one.is_plain()) {
        let (state, code, message, result) = match &one.settled {
            Settled::Succeeded { result, .. } => (JobState::Succeeded, None, None, result.as_deref()),
            Settled::Ended { state, code, message } => {
                (*state, Some(code.as_str()), Some(message.as_str()), None)
            }
            Settled::Retry { .. } | Settled::Parked { .. } | Settled::Released => continue,
        };
        ids.push(one.job_id.0);
        claims.push(one.claim_no);
        states.push(state.as_str());
        codes.push(code);
        messages.push(message);
        results.push(result);
    }
    if ids.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(concat!(
        "WITH d AS (
             SELECT * FROM unnest($2::uuid[], $3::int4[], $4::text[], $5::text[], $6::text[], $7::text[])
                 AS d(id, fence, ended, error_code, error_message, result)
         ), gone AS (
             DELETE FROM job j USING d
             WHERE j.job_id = d.id AND j.claim_no = d.fence AND j.worker_id = $1 AND j.state = 'running'
             RETURNING j.*, d.*
         ), tried AS (
             INSERT INTO job_attempt (job_id, claim_no, org_id, attempt, worker_id, started_at,
                                      finished_at, outcome, error_code, error_message)
             SELECT job_id, claim_no, org_id, attempt, worker_id, started_at, now(), ended, error_code,
                    error_message
             FROM gone WHERE ended <> 'succeeded'
         )
         INSERT INTO job_history (state, finished_at, error_code, error_message, result, ",
        moved!(),
        ") SELECT ended::job_state, now(), error_code, error_message, result::json, ",
        moved!(),
        " FROM gone RETURNING job_id"
    ))
    .bind(worker.0)
    .bind(ids)
    .bind(claims)
    .bind(states)
    .bind(codes)
    .bind(messages)
    .bind(results)
    .fetch_all(connection)
    .await?;
    for row in rows {
        done.accepted.insert(row.try_get(0)?);
    }
    Ok(())
}

async fn finish_waiting(
    connection: &mut PgConnection,
    worker: WorkerId,
    group: &[Completion],
    done: &mut Finished,
) -> Result<(), sqlx::Error> {
    let mut ids = Vec::new();
    let mut claims = Vec::new();
    let mut states = Vec::new();
    let mut delays: Vec<Option<f64>> = Vec::new();
    let mut untils: Vec<Option<DateTime<Utc>>> = Vec::new();
    let mut whats: Vec<&str> = Vec::new();
    let mut keys: Vec<&str> = Vec::new();
    let mut messages: Vec<Option<&str>> = Vec::new();
    let mut details: Vec<Option<&str>> = Vec::new();
    for one in group {
        match &one.settled {
            Settled::Retry { delay, code, message } => {
                states.push("scheduled");
                delays.push(Some(delay.as_secs_f64()));
                untils.push(None);
                whats.push("retry");
                keys.push(code);
                messages.push(Some(message));
                details.push(None);
            }
            Settled::Parked { what, key, until, detail } => {
                states.push("parked");
                delays.push(None);
                untils.push(*until);
                whats.push(what);
                keys.push(key);
                messages.push(None);
                details.push(detail.as_deref());
            }
            Settled::Succeeded { .. } | Settled::Ended { .. } | Settled::Released => continue,
        }
        ids.push(one.job_id.0);
        claims.push(one.claim_no);
    }
    if ids.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(
        "WITH d AS (
             SELECT *, coalesce(until, now() + make_interval(secs => delay)) AS due
             FROM unnest($2::uuid[], $3::int4[], $4::text[], $5::float8[], $6::timestamptz[], $7::text[],
                         $8::text[], $9::text[], $10::text[])
                 AS d(id, fence, next_state, delay, until, what, key, message, detail)
         ), held AS (
             UPDATE job j SET state = d.next_state::job_state, worker_id = NULL, queued_at = NULL,
                    permit = false,
                    attempt = CASE d.next_state WHEN 'parked' THEN attempt - 1 ELSE attempt END,
                    run_at = CASE d.next_state WHEN 'scheduled' THEN d.due ELSE run_at END
             FROM d
             WHERE j.job_id = d.id AND j.claim_no = d.fence AND j.worker_id = $1 AND j.state = 'running'
             RETURNING j.job_id, j.org_id, j.priority, j.lane, j.attempt, j.started_at, d.*
         ), tried AS (
             INSERT INTO job_attempt (job_id, claim_no, org_id, attempt, worker_id, started_at,
                                      finished_at, outcome, error_code, error_message, retry_at)
             SELECT job_id, fence, org_id, attempt, $1, started_at, now(), 'retry', key, message, due
             FROM held WHERE next_state = 'scheduled'
         ), waits AS (
             INSERT INTO job_wait (job_id, org_id, due_at, priority, lane, what, key, detail)
             SELECT job_id, org_id, due, priority, lane, what, key, detail::json FROM held
             ON CONFLICT (job_id) DO UPDATE
                 SET due_at = excluded.due_at, what = excluded.what, key = excluded.key,
                     detail = excluded.detail
         )
         SELECT job_id FROM held",
    )
    .bind(worker.0)
    .bind(ids)
    .bind(claims)
    .bind(states)
    .bind(delays)
    .bind(untils)
    .bind(whats)
    .bind(keys)
    .bind(messages)
    .bind(details)
    .fetch_all(connection)
    .await?;
    for row in rows {
        done.accepted.insert(row.try_get(0)?);
    }
    Ok(())
}

async fn release(
    connection: &mut PgConnection,
    worker: WorkerId,
    group: &[Completion],
    done: &mut Finished,
) -> Result<(), sqlx::Error> {
    let released = || group.iter().filter(|one| matches!(one.settled, Settled::Released));
    let ids: Vec<Uuid> = released().map(|one| one.job_id.0).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let claims: Vec<i32> = released().map(|one| one.claim_no).collect();
    let rows = sqlx::query(
        "UPDATE job j SET state = 'queued', worker_id = NULL, attempt = attempt - 1
         FROM unnest($2::uuid[], $3::int4[]) AS d(id, fence)
         WHERE j.job_id = d.id AND j.claim_no = d.fence AND j.worker_id = $1 AND j.state = 'running'
         RETURNING j.job_id, j.org_id, j.lane, j.priority, j.run_at",
    )
    .bind(worker.0)
    .bind(ids)
    .bind(claims)
    .fetch_all(connection)
    .await?;
    for row in rows {
        let job = super::open_rows::ready(&row)?;
        done.accepted.insert(job.job_id.0);
        done.ready.push(job);
    }
    Ok(())
}

/// Successors and batch counts of the completions that counted.
async fn follow_up(
    connection: &mut PgConnection,
    group: &[Completion],
    lanes: &LaneTable,
    done: &mut Finished,
) -> Result<(), sqlx::Error> {
    let mut next: Vec<NewJob> = Vec::new();
    let mut batches: BTreeMap<BatchId, (i64, i64)> = BTreeMap::new();
    for one in group.iter().filter(|one| done.accepted.contains(&one.job_id.0)) {
        let (good, bad) = match &one.settled {
            Settled::Succeeded { next: more, .. } => {
                next.extend(more.iter().cloned());
                if let Some(successors) = &one.successors {
                    next.extend(successors_of(one.job_id, successors)?);
                }
                (1, 0)
            }
            Settled::Ended { .. } => (0, 1),
            Settled::Retry { .. } | Settled::Parked { .. } | Settled::Released => continue,
        };
        if let Some(batch) = one.batch_id {
            let counts = batches.entry(batch).or_default();
            *counts = (counts.0 + good, counts.1 + bad);
        }
    }
    for (batch, (good, bad)) in batches {
        next.extend(count_batch(connection, batch, good, bad).await?);
    }
    if next.is_empty() {
        return Ok(());
    }
    let now = Utc::now();
    let entries: Vec<_> =
        next.iter().map(|job| (job, lanes.first_state(job, now).unwrap_or(JobState::Queued))).collect();
    for (job, inserted) in next.iter().zip(insert(connection, &entries).await?) {
        if inserted == Inserted::Created(JobState::Queued) {
            done.ready.push(Ready {
                job_id: job.job_id,
                org_id: job.org_id,
                lane: job.lane.clone(),
                score: NewJob::score(job.priority, now),
            });
        }
    }
    Ok(())
}

/// Reads a job's stored successors; each gets its parent.
fn successors_of(parent: JobId, text: &RawValue) -> Result<Vec<NewJob>, sqlx::Error> {
    let mut jobs: Vec<NewJob> =
        serde_json::from_str(text.get()).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    for job in &mut jobs {
        job.parent_job_id = Some(parent);
    }
    Ok(jobs)
}

/// Counts ended jobs of a batch; answers its callback when none is left.
pub(crate) async fn count_batch(
    connection: &mut PgConnection,
    batch: BatchId,
    good: i64,
    bad: i64,
) -> Result<Option<NewJob>, sqlx::Error> {
    let row = sqlx::query(
        "UPDATE job_batch SET succeeded = succeeded + $2, failed = failed + $3,
                completed_at = CASE WHEN succeeded + failed + $2 + $3 >= total THEN now() END
         WHERE batch_id = $1 AND completed_at IS NULL
         RETURNING completed_at IS NOT NULL, callback::text,
                   completed_at IS NOT NULL AND needs_approval(org_id, callback ->> 'kind')",
    )
    .bind(batch.0)
    .bind(good)
    .bind(bad)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (complete, callback): (bool, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
    let Some(callback) = callback.filter(|_| complete) else {
        return Ok(None);
    };
    if row.try_get::<Option<bool>, _>(2)? == Some(true) {
        // A rule came after the batch was made. The ledger would refuse the callback, and with it the
        // completion of the batch's last job, which did nothing wrong.
        warn!(%batch, "a complete batch's callback needs an approval by now: it was not enqueued");
        return Ok(None);
    }
    let callback: NewJob =
        serde_json::from_str(&callback).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    sqlx::query("UPDATE job_batch SET callback_job_id = $2 WHERE batch_id = $1")
        .bind(batch.0)
        .bind(callback.job_id.0)
        .execute(&mut *connection)
        .await?;
    Ok(Some(callback))
}
