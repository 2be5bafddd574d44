//! Claiming: a worker makes jobs its own before running them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{ActorId, BatchId, JobId, OrgId, WorkerId, WorkspaceId};
use serde_json::value::RawValue;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// A job in a worker's hands.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The job.
    pub job_id: JobId,
    /// Whose it is.
    pub org_id: OrgId,
    /// Kind name.
    pub kind: Arc<str>,
    /// Payload version.
    pub kind_version: i16,
    /// Lane it came from.
    pub lane: Arc<str>,
    /// Priority, -100 … 100.
    pub priority: i16,
    /// Fencing token of this claim.
    pub claim_no: i32,
    /// Which attempt this is; the first is 1.
    pub attempt: i16,
    /// Attempts in all.
    pub max_attempts: i16,
    /// Its limits were paid for when it was let out of the wait.
    pub permit: bool,
    /// It was called off while a worker ran it that did not get to hear of it.
    pub cancel_asked: bool,
    /// It counts against its organisation's cap in the dispatcher until it is released.
    pub(crate) counted: bool,
    /// Expires unrun after this.
    pub deadline_at: Option<DateTime<Utc>>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it last became ready.
    pub queued_at: Option<DateTime<Utc>>,
    /// When this claim was made, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// Room it belongs to.
    pub workspace_id: Option<WorkspaceId>,
    /// Who asked for it.
    pub actor_id: Option<ActorId>,
    /// Only this actor may see it.
    pub private_to: Option<ActorId>,
    /// Batch it counts in.
    pub batch_id: Option<BatchId>,
    /// The request that caused it.
    pub request_id: Option<String>,
    /// JSON text of what to enqueue when it succeeds.
    pub successors: Option<Box<RawValue>>,
    /// JSON text of the payload.
    pub payload: Box<RawValue>,
}

macro_rules! claim_where {
    ($condition:literal, $attempt:literal) => {
        concat!(
            "WITH claimed AS (
                 UPDATE job SET state = 'running', worker_id = $1, started_at = now(),
                                claim_no = claim_no + 1, attempt = ",
            $attempt,
            "
                 WHERE job_id = ANY($2) AND ",
            $condition,
            "
                 RETURNING job_id, org_id, kind, kind_version, lane, priority, claim_no, attempt,
                           max_attempts, permit, deadline_at, created_at, queued_at, started_at,
                           workspace_id, actor_id, batch_id, request_id, successors::text AS successors,
                           payload::text AS payload, cancel_asked, private_to, unique_key
             ), freed AS (
                 -- in the order in which enqueues take them, so that neither waits for the other
                 DELETE FROM job_unique u USING (
                     SELECT k.org_id, k.kind, k.key, k.job_id
                     FROM claimed c JOIN job_unique k ON k.org_id = c.org_id AND k.kind = c.kind
                          AND k.key = c.unique_key AND k.job_id = c.job_id
                     WHERE c.unique_key IS NOT NULL
                     ORDER BY k.org_id, k.kind, k.key FOR UPDATE OF k
                 ) mine
                 WHERE u.org_id = mine.org_id AND u.kind = mine.kind AND u.key = mine.key
                   AND u.job_id = mine.job_id
             )
             SELECT * FROM claimed"
        )
    };
}

/// Claims those of `ids` that are queued. Ids that are not (taken by another, ended, unknown) are left
/// out. Unique keys are given up here: they hold only while a job waits.
///
/// `again` is for repeating a claim whose answer was lost: it also claims what `worker` holds already by a later
/// claim than the one given for each id, the newest that this process was told of.
pub(crate) async fn claim(
    connection: &mut PgConnection,
    worker: WorkerId,
    ids: &[Uuid],
    again: Option<Vec<i32>>,
) -> Result<Vec<Claimed>, sqlx::Error> {
    let statement = if again.is_some() {
        // What the first try did claim has its attempt counted already.
        claim_where!(
            "(state = 'queued' OR (state = 'running' AND worker_id = $1
                                   AND claim_no > ($3::int4[])[array_position($2::uuid[], job_id)]))",
            "attempt + CASE state WHEN 'queued' THEN 1 ELSE 0 END"
        )
    } else {
        claim_where!("state = 'queued'", "attempt + 1")
    };
    let query = sqlx::query(statement).bind(worker.0).bind(ids);
    let query = match again {
        Some(known) => query.bind(known),
        None => query,
    };
    let rows = query.fetch_all(connection).await?;
    // Kinds and lanes repeat: each name is allocated once a batch.
    let mut names: Vec<Arc<str>> = Vec::new();
    let mut name = |text: &str| -> Arc<str> {
        if let Some(known) = names.iter().find(|known| &***known == text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        names.push(new.clone());
        new
    };
    rows.iter()
        .map(|row| {
            Ok(Claimed {
                job_id: JobId(row.try_get(0)?),
                org_id: OrgId(row.try_get(1)?),
                kind: name(row.try_get(2)?),
                kind_version: row.try_get(3)?,
                lane: name(row.try_get(4)?),
                priority: row.try_get(5)?,
                claim_no: row.try_get(6)?,
                attempt: row.try_get(7)?,
                max_attempts: row.try_get(8)?,
                permit: row.try_get(9)?,
                deadline_at: row.try_get(10)?,
                created_at: row.try_get(11)?,
                queued_at: row.try_get(12)?,
                started_at: row.try_get(13)?,
                workspace_id: row.try_get::<Option<Uuid>, _>(14)?.map(WorkspaceId),
                actor_id: row.try_get::<Option<Uuid>, _>(15)?.map(ActorId),
                batch_id: row.try_get::<Option<Uuid>, _>(16)?.map(BatchId),
                request_id: row.try_get(17)?,
                successors: row.try_get::<Option<String>, _>(18)?.map(raw).transpose()?,
                payload: raw(row.try_get(19)?)?,
                cancel_asked: row.try_get(20)?,
                private_to: row.try_get::<Option<Uuid>, _>(21)?.map(ActorId),
                counted: false,
            })
        })
        .collect()
}

fn raw(text: String) -> Result<Box<RawValue>, sqlx::Error> {
    RawValue::from_string(text).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
