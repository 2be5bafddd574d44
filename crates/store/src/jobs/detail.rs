//! One job with everything that is known about it.

use chrono::{DateTime, Utc};
use domain::JobId;
use sqlx::FromRow;
use uuid::Uuid;

use super::children::{Child, children};
use super::row::{JobRow, Table, WAIT_COLUMNS};
use crate::{StoreError, Tx};

/// A job and its story. JSON comes as the text that was stored: nothing is hidden yet.
#[derive(Debug)]
pub struct Detail {
    /// The columns lists show.
    pub job: JobRow,
    /// JSON text of the payload.
    pub payload: String,
    /// JSON text of what it left behind.
    pub result: Option<String>,
    /// JSON text of the jobs to enqueue when it succeeds.
    pub successors: Option<String>,
    /// JSON text of what its wait says besides.
    pub wait_detail: Option<String>,
    /// Who last took it.
    pub worker_id: Option<Uuid>,
    /// Times it was taken.
    pub claim_no: i32,
    /// Why a dead letter was set aside.
    pub discard_reason: Option<String>,
    /// Attempts that did not simply succeed, oldest first.
    pub attempts: Vec<Attempt>,
    /// What happened besides its ordinary path, oldest first.
    pub events: Vec<Event>,
    /// The batch it counts in.
    pub batch: Option<BatchCounts>,
    /// Whether its lane is open.
    pub lane_modes: LaneModes,
    /// Jobs it caused.
    pub children: Vec<Child>,
}

/// One attempt.
#[derive(Clone, Debug, FromRow)]
pub struct Attempt {
    /// Which taking of the job it was.
    pub claim_no: i32,
    /// Attempt number; unchanged by takings that used none.
    pub attempt: i16,
    /// Who ran it.
    pub worker_id: Option<Uuid>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// `retry`, `dead`, `parked`, `lost`, `cancelled`, `expired`.
    pub outcome: String,
    /// Short cause.
    pub error_code: Option<String>,
    /// The same for people.
    pub error_message: Option<String>,
    /// When the next one was to begin.
    pub retry_at: Option<DateTime<Utc>>,
}

/// Something that happened to a job.
#[derive(Clone, Debug, FromRow)]
pub struct Event {
    /// When.
    pub at: DateTime<Utc>,
    /// What, in one word.
    pub what: String,
    /// Who did it.
    pub actor_id: Option<Uuid>,
    /// That actor's name.
    pub actor_name: Option<String>,
    /// JSON text of what else is known.
    pub detail: Option<String>,
}

/// A batch's counts.
#[derive(Clone, Debug, FromRow)]
pub struct BatchCounts {
    /// The batch.
    pub batch_id: Uuid,
    /// Its name.
    pub name: String,
    /// Jobs in all.
    pub total: i64,
    /// Ended well.
    pub succeeded: i64,
    /// Ended otherwise.
    pub failed: i64,
    /// When none was left.
    pub completed_at: Option<DateTime<Utc>>,
}

/// What the platform and the organisation say about a lane.
#[derive(Clone, Debug, FromRow)]
pub struct LaneModes {
    /// `open`, `paused` or `draining`, for everybody.
    pub platform: String,
    /// The same for this organisation's share.
    pub org: String,
    /// When the organisation's say last changed.
    pub org_changed_at: Option<DateTime<Utc>>,
    /// Live workers that serve the lane.
    pub workers: i64,
}

#[derive(FromRow)]
struct Head {
    #[sqlx(flatten)]
    job: JobRow,
    payload: String,
    result: Option<String>,
    successors: Option<String>,
    wait_detail: Option<String>,
    worker_id: Option<Uuid>,
    claim_no: i32,
    discard_reason: Option<String>,
}

/// One job of the organisation. Open the transaction with [`Tx::for_reader`]: the parts then come from one
/// moment.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such job here.
pub async fn detail(tx: &mut Tx, job: JobId) -> Result<Detail, StoreError> {
    let head = head(tx, job).await?.ok_or(StoreError::NotFound("job"))?;
    let attempts = sqlx::query_as(
        "SELECT claim_no, attempt, worker_id, started_at, finished_at, outcome, error_code, error_message, retry_at
         FROM job_attempt WHERE job_id = $1 AND org_id = current_org() ORDER BY claim_no LIMIT 1000",
    )
    .bind(job.0)
    .fetch_all(tx.conn())
    .await?;
    let events = sqlx::query_as(
        "SELECT e.at, e.what, e.actor_id, a.name AS actor_name, e.detail::text AS detail
         FROM job_event e LEFT JOIN actor a ON a.actor_id = e.actor_id
         WHERE e.job_id = $1 AND e.org_id = current_org() ORDER BY e.job_event_id LIMIT 1000",
    )
    .bind(job.0)
    .fetch_all(tx.conn())
    .await?;
    let batch = match head.job.batch_id {
        Some(batch) => {
            sqlx::query_as(
                "SELECT batch_id, name, total, succeeded, failed, completed_at
                 FROM job_batch WHERE batch_id = $1 AND org_id = current_org()",
            )
            .bind(batch)
            .fetch_optional(tx.conn())
            .await?
        }
        None => None,
    };
    let lane_modes = sqlx::query_as(
        "SELECT coalesce(l.mode, 'open') AS platform, coalesce(o.mode, 'open') AS org, o.changed_at AS org_changed_at,
                (SELECT count(*) FROM worker w WHERE w.state = 'running' AND wanted.lane = ANY(w.lanes)
                 AND w.last_seen_at > now() - interval '1 minute') AS workers
         FROM (SELECT $1::text AS lane) wanted
         LEFT JOIN lane l USING (lane)
         LEFT JOIN lane_org o ON o.lane = wanted.lane AND o.org_id = current_org()",
    )
    .bind(&head.job.lane)
    .fetch_one(tx.conn())
    .await?;
    let children = children(tx, job.0).await?;
    Ok(Detail {
        job: head.job,
        payload: head.payload,
        result: head.result,
        successors: head.successors,
        wait_detail: head.wait_detail,
        worker_id: head.worker_id,
        claim_no: head.claim_no,
        discard_reason: head.discard_reason,
        attempts,
        events,
        batch,
        lane_modes,
        children,
    })
}

async fn head(tx: &mut Tx, job: JobId) -> Result<Option<Head>, StoreError> {
    let text = format!(
        "SELECT p.*, {WAIT_COLUMNS}, w.detail::text AS wait_detail FROM (
             SELECT {}, j.payload::text AS payload, NULL::text AS result, j.successors::text AS successors,
                    j.worker_id, j.claim_no, NULL::text AS discard_reason
             FROM job j WHERE j.job_id = $1 AND j.org_id = current_org()
             UNION ALL
             SELECT {}, j.payload::text, j.result::text, j.successors::text,
                    j.worker_id, j.claim_no, j.discard_reason
             FROM job_history j WHERE j.job_id = $1 AND j.org_id = current_org()
         ) p LEFT JOIN job_wait w ON w.job_id = p.job_id LIMIT 1",
        Table::Live.columns(),
        Table::History.columns(),
    );
    // Built of constants only; the id is a parameter.
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(job.0).fetch_optional(tx.conn()).await?)
}
