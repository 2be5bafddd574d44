//! `POST /v1/jobs/batch`: up to a thousand jobs, all or none, counted together when they have a name or
//! something to run at their end.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{BatchId, JobId, OrgId};
use http::{HeaderMap, StatusCode};
use jobs::FieldError;
use queue::{NewJob, ops};
use serde::{Deserialize, Serialize};
use store::{Actor, StoreError, Tx, Workspaces};
use utoipa::ToSchema;

use super::enqueue::{Accepted, header_key};
use super::request::{Asker, JobRequest};
use super::room;
use crate::auth::{Caller, JobsWrite};
use crate::input::{Json, LARGE_BODY};
use crate::openapi::Takes;
use crate::problem::{Code, Problem};
use crate::state::Api;

/// Most jobs in one request.
const MOST: usize = 1000;

/// Most field errors told at once.
const MOST_ERRORS: usize = 50;

/// Jobs to be enqueued together.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchRequest {
    /// Makes them a batch that is counted: `GET /v1/batches/{batch_id}`.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// The jobs.
    #[schema(min_items = 1, max_items = 1000)]
    jobs: Vec<JobRequest>,
    /// A job to enqueue when none of them is left, in the transaction that completes the last one.
    on_complete: Option<JobRequest>,
}

/// Jobs that are in the ledger.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchAccepted {
    /// The batch, when a name or `on_complete` made one.
    batch_id: Option<BatchId>,
    /// In the order of the request.
    jobs: Vec<Accepted>,
}

/// Enqueue many jobs at once
///
/// All are checked first: if one is wrong, nothing is enqueued and `errors` names every wrong field, such as
/// `/jobs/3/payload/url`. They are committed together. With a header `Idempotency-Key`, job number n gets the
/// key `{key}:{n}` unless it has one of its own, so the whole request can be repeated.
#[utoipa::path(
    post,
    path = "/v1/jobs/batch",
    tag = "jobs",
    operation_id = "enqueueJobs",
    security(("token" = ["jobs:write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 250 visible characters.")),
    request_body = BatchRequest,
    responses((status = 202, description = "All jobs are committed.", body = BatchAccepted), Takes),
)]
pub(crate) async fn enqueue_batch(
    State(api): State<Api>,
    caller: Caller<JobsWrite>,
    headers: HeaderMap,
    Json(request): Json<BatchRequest, LARGE_BODY>,
) -> Result<Response, Problem> {
    let key = header_key(&headers)?;
    if !(1..=MOST).contains(&request.jobs.len()) {
        return Err(Problem::field(
            "/jobs",
            format!("must hold 1 to {MOST} jobs, not {}", request.jobs.len()),
        ));
    }
    if request.name.as_ref().is_some_and(|name| name.is_empty() || name.len() > 200 || name.contains('\0')) {
        return Err(Problem::field("/name", "must have 1 to 200 bytes and no U+0000"));
    }
    let actor = caller.actor.clone();
    let jobs = request.jobs.iter().enumerate().map(|(at, job)| (format!("/jobs/{at}"), job));
    let end = request.on_complete.iter().map(|job| ("/on_complete".to_owned(), job));
    room::check_named(&api, &actor, jobs.chain(end)).await?;
    // Up to 64 MiB of payloads are checked here: other requests shall not wait for that.
    let checking = {
        let (api, actor) = (api.clone(), actor.clone());
        tokio::task::spawn_blocking(move || {
            let asker = Asker { api: &api, actor: &actor, request_id: &caller.request_id };
            prepare(asker, request, key.as_deref())
        })
    };
    let prepared = checking.await.map_err(Problem::internal)??;
    let accepted = commit(&api, &actor, prepared).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(accepted)).into_response())
}

struct Prepared {
    name: Option<String>,
    jobs: Vec<NewJob>,
    on_complete: Option<NewJob>,
}

/// Every job checked; every wrong field of every job told.
fn prepare(asker: Asker<'_>, request: BatchRequest, key: Option<&str>) -> Result<Prepared, Problem> {
    let mut wrong = Wrong::default();
    let mut jobs = Vec::with_capacity(request.jobs.len());
    for (at, mut job) in request.jobs.into_iter().enumerate() {
        if job.idempotency_key.is_none() {
            job.idempotency_key = key.map(|key| format!("{key}:{at}"));
        }
        match asker.prepare(job) {
            Ok(job) => jobs.push(job),
            Err(problem) => wrong.add(problem, format!("/jobs/{at}")),
        }
    }
    let on_complete = request.on_complete.and_then(|job| {
        asker.prepare(job).map_err(|problem| wrong.add(problem, "/on_complete".to_owned())).ok()
    });
    wrong.none()?;
    let counted = request.name.is_some() || on_complete.is_some();
    if counted && asker.actor.workspaces != Workspaces::All && spans_rooms(&jobs) {
        return Err(Problem::field(
            "/jobs",
            "must all belong to one workspace to be counted together; send a batch for each workspace",
        ));
    }
    Ok(Prepared { name: request.name, jobs, on_complete })
}

/// A batch over several rooms belongs to none, so only who sees the whole organisation could see it.
fn spans_rooms(jobs: &[NewJob]) -> bool {
    jobs.windows(2).any(|pair| pair[0].workspace_id != pair[1].workspace_id)
}

/// What is wrong with the jobs so far.
#[derive(Default)]
struct Wrong {
    first: Option<Code>,
    mixed: bool,
    jobs: usize,
    errors: Vec<FieldError>,
}

impl Wrong {
    fn add(&mut self, problem: Problem, prefix: String) {
        self.jobs += 1;
        self.mixed |= self.first.is_some_and(|first| first != problem.code());
        self.first.get_or_insert(problem.code());
        if self.errors.len() >= MOST_ERRORS {
            return;
        }
        if problem.errors().is_empty() {
            self.errors.push(FieldError { pointer: prefix, message: problem.detail().to_owned() });
        } else {
            self.errors.extend(problem.below(&prefix).errors().iter().cloned());
            self.errors.truncate(MOST_ERRORS);
        }
    }

    /// One kind of mistake keeps its own code; several are an invalid request.
    fn none(self) -> Result<(), Problem> {
        let Some(first) = self.first else { return Ok(()) };
        let code = if self.mixed { Code::InvalidRequest } else { first };
        let detail = format!("{} of the jobs can't be taken, so none was enqueued: see errors", self.jobs);
        Err(Problem::new(code, detail).with_errors(self.errors))
    }
}

async fn commit(api: &Api, actor: &Actor, prepared: Prepared) -> Result<BatchAccepted, Problem> {
    let Prepared { name, mut jobs, on_complete } = prepared;
    let mut tx = Tx::for_actor(api.store(), actor).await?;
    let (mut batch_id, enqueued) = if name.is_some() || on_complete.is_some() {
        let name = name.as_deref().unwrap_or("batch");
        let org: OrgId = actor.org_id;
        let (batch, enqueued) =
            ops::batches::create(api.queue(), tx.conn(), org, name, &mut jobs, on_complete).await?;
        (Some(batch), enqueued)
    } else {
        (None, api.queue().enqueue_in(tx.conn(), &jobs).await?)
    };
    if enqueued.iter().any(|job| job.created) {
        tx.commit_unrecorded("the ledger records who enqueued what").await?;
        let created: Vec<NewJob> = jobs
            .into_iter()
            .zip(&enqueued)
            .filter(|(_, outcome)| outcome.created)
            .map(|(job, _)| job)
            .collect();
        api.queue().announce(&created);
    } else if batch_id.is_some() {
        // A repeat of an earlier request: its batch is the one that counts these jobs, not an empty new one.
        drop(tx);
        batch_id = first_batch(api, actor, enqueued[0].job_id).await?;
    }
    Ok(BatchAccepted { batch_id, jobs: enqueued.into_iter().map(Accepted::from).collect() })
}

async fn first_batch(api: &Api, actor: &Actor, job: JobId) -> Result<Option<BatchId>, Problem> {
    let mut tx = Tx::for_reader(api.store(), actor).await?;
    match store::jobs::detail(&mut tx, job).await {
        Ok(detail) => Ok(detail.job.batch_id.map(BatchId)),
        // The key's first job belongs to a room the caller doesn't see.
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
