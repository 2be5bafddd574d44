//! `GET /v1/jobs/{job_id}`: one job with its story, what it waits for and where it leads.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::{JobId, JobState};
use queue::NewJob;
use serde::Serialize;
use serde_json::Value;
use store::Tx;
use store::jobs::{Attempt, Detail};
use utoipa::ToSchema;
use uuid::Uuid;

use super::timeline::{Moment, timeline};
use super::view::JobItem;
use super::waiting::{WaitingOn, waiting_on};
use crate::auth::{Caller, JobsRead};
use crate::input::InPath;
use crate::openapi::ReadsOne;
use crate::problem::Problem;
use crate::state::Api;

/// Everything that is known about a job.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobDetail {
    #[serde(flatten)]
    job: JobItem,
    /// Why it is not running, and until when; none when it runs or has ended.
    waiting_on: Option<WaitingOn>,
    /// What it does it with; hidden values read `••••`.
    payload: Value,
    /// What it left behind.
    result: Option<Value>,
    /// What happened to it, oldest first.
    timeline: Vec<Moment>,
    /// Attempts that did not simply succeed, oldest first.
    attempts: Vec<AttemptItem>,
    /// Jobs that follow when it succeeds.
    then: Vec<Successor>,
    /// The worker that last took it.
    worker_id: Option<Uuid>,
    /// Times it was taken.
    claims: i32,
    /// When it was set aside as a dead letter.
    discarded_at: Option<DateTime<Utc>>,
    /// Why it was set aside.
    discard_reason: Option<String>,
    /// Jobs it caused.
    children: Vec<ChildItem>,
    /// The batch it counts in.
    batch: Option<BatchItem>,
    /// Where its relatives are.
    links: Links,
}

/// One attempt.
#[derive(Serialize, ToSchema)]
pub(crate) struct AttemptItem {
    /// Which taking of the job it was.
    claim: i32,
    /// Attempt number.
    attempt: i16,
    /// Who ran it.
    worker_id: Option<Uuid>,
    /// When it began.
    started_at: Option<DateTime<Utc>>,
    /// When it ended.
    finished_at: DateTime<Utc>,
    /// `retry`, `dead`, `parked`, `lost`, `cancelled` or `expired`.
    outcome: String,
    /// Short cause.
    error_code: Option<String>,
    /// The same for people.
    error_message: Option<String>,
    /// When the next one was to begin.
    retry_at: Option<DateTime<Utc>>,
}

/// A job that follows.
#[derive(Serialize, ToSchema)]
pub(crate) struct Successor {
    /// The id it will have.
    job_id: JobId,
    /// What it will do.
    kind: String,
    /// Its payload's version.
    version: i16,
    /// Where it will wait.
    lane: String,
    /// What it will do it with; hidden values read `••••`.
    payload: Value,
    /// Jobs that follow it in turn.
    #[schema(no_recursion)]
    then: Vec<Successor>,
}

/// A job caused by this one.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChildItem {
    job_id: Uuid,
    kind: String,
    state: JobState,
}

/// A batch's counts.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchItem {
    batch_id: Uuid,
    name: String,
    total: i64,
    succeeded: i64,
    failed: i64,
    completed_at: Option<DateTime<Utc>>,
}

/// Addresses of what belongs to a job.
#[derive(Serialize, ToSchema)]
pub(crate) struct Links {
    /// The job itself.
    #[serde(rename = "self")]
    #[schema(rename = "self")]
    own: String,
    /// The job that caused it.
    parent: Option<String>,
    /// The batch it counts in.
    batch: Option<String>,
    /// Other jobs of the batch.
    batch_jobs: Option<String>,
    /// The jobs it caused.
    children: Vec<String>,
}

/// Show a job
#[utoipa::path(
    get,
    path = "/v1/jobs/{job_id}",
    tag = "jobs",
    operation_id = "showJob",
    security(("token" = ["jobs:read"])),
    params(("job_id" = Uuid, Path, description = "The job.")),
    responses((status = 200, description = "The job.", body = JobDetail), ReadsOne),
)]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller<JobsRead>,
    InPath(job): InPath<Uuid>,
) -> Result<Json<JobDetail>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let detail = store::jobs::detail(&mut tx, JobId(job)).await?;
    drop(tx);
    assemble(&api, detail).map(Json)
}

fn assemble(api: &Api, detail: Detail) -> Result<JobDetail, Problem> {
    let waiting_on = waiting_on(&detail);
    let timeline = timeline(&detail)?;
    let Detail { job, payload, result, successors, attempts, children, batch, .. } = detail;
    let payload = serde_json::from_str(&payload).map_err(Problem::internal)?;
    let payload = api.registry().redact(&job.kind, job.kind_version, &payload);
    let result = result.map(|text| serde_json::from_str(&text)).transpose().map_err(Problem::internal)?;
    let then = match successors {
        Some(text) => {
            let jobs: Vec<NewJob> = serde_json::from_str(&text).map_err(Problem::internal)?;
            jobs.iter().map(|job| successor(api, job)).collect::<Result<_, _>>()?
        }
        None => Vec::new(),
    };
    Ok(JobDetail {
        waiting_on,
        payload,
        result,
        timeline,
        then,
        attempts: attempts.into_iter().map(AttemptItem::from).collect(),
        worker_id: detail.worker_id,
        claims: detail.claim_no,
        discarded_at: job.discarded_at,
        discard_reason: detail.discard_reason,
        links: Links {
            own: format!("/v1/jobs/{}", job.job_id),
            parent: job.parent_job_id.map(|id| format!("/v1/jobs/{id}")),
            batch: job.batch_id.map(|id| format!("/v1/batches/{id}")),
            batch_jobs: job.batch_id.map(|id| format!("/v1/jobs?batch={id}")),
            children: children.iter().map(|child| format!("/v1/jobs/{}", child.job_id)).collect(),
        },
        children: children
            .into_iter()
            .map(|child| ChildItem { job_id: child.job_id, kind: child.kind, state: child.state.0 })
            .collect(),
        batch: batch.map(|batch| BatchItem {
            batch_id: batch.batch_id,
            name: batch.name,
            total: batch.total,
            succeeded: batch.succeeded,
            failed: batch.failed,
            completed_at: batch.completed_at,
        }),
        job: job.into(),
    })
}

fn successor(api: &Api, job: &NewJob) -> Result<Successor, Problem> {
    let payload = serde_json::from_str(job.payload.get()).map_err(Problem::internal)?;
    Ok(Successor {
        job_id: job.job_id,
        kind: job.kind.to_string(),
        version: job.kind_version,
        lane: job.lane.to_string(),
        payload: api.registry().redact(&job.kind, job.kind_version, &payload),
        then: job.successors.iter().map(|next| successor(api, next)).collect::<Result<_, _>>()?,
    })
}

impl From<Attempt> for AttemptItem {
    fn from(attempt: Attempt) -> Self {
        Self {
            claim: attempt.claim_no,
            attempt: attempt.attempt,
            worker_id: attempt.worker_id,
            started_at: attempt.started_at,
            finished_at: attempt.finished_at,
            outcome: attempt.outcome,
            error_code: attempt.error_code,
            error_message: attempt.error_message,
            retry_at: attempt.retry_at,
        }
    }
}
