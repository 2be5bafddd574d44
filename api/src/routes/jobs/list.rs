//! `GET /v1/jobs`: open and ended jobs together, filtered and searched.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::{BatchId, JobState, WorkspaceId};
use serde::Deserialize;
use serde_json::Value;
use store::Tx;
use store::jobs::{Candidate, Filter, PageAsk};
use uuid::Uuid;

use super::view::JobList;
use crate::auth::{Caller, JobsRead};
use crate::input::Params;
use crate::openapi::Reads;
use crate::problem::{Code, Problem};
use crate::state::Api;

/// What to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// States, separated by commas: scheduled, queued, running, parked, succeeded, dead, cancelled, expired.
    #[param(example = "queued,running")]
    state: Option<String>,
    /// Exactly this kind.
    kind: Option<String>,
    /// Exactly this lane.
    lane: Option<String>,
    /// Counts in this batch.
    batch: Option<Uuid>,
    /// Belongs to this workspace.
    workspace: Option<Uuid>,
    /// Carries exactly this idempotency key, as long as keys are remembered.
    idempotency_key: Option<String>,
    /// Ended with this error code.
    error_code: Option<String>,
    /// Made at or after this moment.
    created_from: Option<DateTime<Utc>>,
    /// Made before this moment.
    created_to: Option<DateTime<Utc>>,
    /// An exact job id, an exact idempotency key, or text in kind, key, error or the visible payload.
    #[param(min_length = 1, max_length = 200)]
    q: Option<String>,
    /// The `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
    /// Jobs wanted; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// List and search jobs
///
/// Newest first. A filtered or searched page looks at a bounded stretch of jobs; when it stops before the
/// end it says how far it looked (`searched_back_to`) and goes on from there with `next_cursor`.
#[utoipa::path(
    get,
    path = "/v1/jobs",
    tag = "jobs",
    operation_id = "listJobs",
    security(("token" = ["jobs:read"])),
    params(ListParams),
    responses((status = 200, description = "A page of jobs.", body = JobList), Reads),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller<JobsRead>,
    Params(params): Params<ListParams>,
) -> Result<Json<JobList>, Problem> {
    let filter = Filter {
        states: states(params.state.as_deref())?,
        kind: params.kind,
        lane: params.lane,
        batch: params.batch.map(BatchId),
        workspace: params.workspace.map(WorkspaceId),
        error_code: params.error_code,
        idempotency_key: params.idempotency_key,
        created_from: params.created_from,
        created_to: params.created_to,
    };
    let ask = page_ask(params.cursor, params.limit)?;
    for text in [&filter.kind, &filter.lane, &filter.error_code, &filter.idempotency_key, &params.q] {
        no_nul(text.as_deref())?;
    }
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let page = match &params.q {
        None => store::jobs::list(&mut tx, &filter, &ask).await?,
        Some(q) => {
            let wanted = q.to_lowercase();
            let shows = |candidate: &Candidate| shows(&api, candidate, &wanted);
            store::jobs::search(&mut tx, &filter, q, &ask, &shows).await?
        }
    };
    Ok(Json(page.into()))
}

/// Whether the text is in what the caller may see of a job.
fn shows(api: &Api, candidate: &Candidate, wanted: &str) -> bool {
    let job = &candidate.job;
    let has = |text: &str| text.to_lowercase().contains(wanted);
    let open =
        [Some(&job.kind), job.idempotency_key.as_ref(), job.error_code.as_ref(), job.error_message.as_ref()];
    if open.into_iter().flatten().any(|text| has(text)) {
        return true;
    }
    let Ok(payload) = serde_json::from_str::<Value>(&candidate.payload) else { return false };
    let visible = api.registry().redact(&job.kind, job.kind_version, &payload);
    // Nothing hidden: the text as it was stored is what the caller wrote and will see.
    has(&visible.to_string()) || (visible == payload && has(&candidate.payload))
}

/// The page's size and place; both lists of jobs take them alike.
pub(crate) fn page_ask(cursor: Option<String>, limit: Option<u16>) -> Result<PageAsk, Problem> {
    let limit = limit.unwrap_or(50);
    if !(1..=store::jobs::MAX_PAGE).contains(&limit) {
        return Err(Problem::new(Code::BadQuery, "limit: must lie between 1 and 200"));
    }
    Ok(PageAsk { cursor, limit })
}

/// PostgreSQL's text can't hold U+0000, so nothing can equal a text that does.
pub(crate) fn no_nul(text: Option<&str>) -> Result<(), Problem> {
    match text {
        Some(text) if text.contains('\0') => {
            Err(Problem::new(Code::BadQuery, "a parameter holds the character U+0000; leave it out"))
        }
        _ => Ok(()),
    }
}

fn states(text: Option<&str>) -> Result<Vec<JobState>, Problem> {
    let Some(text) = text else { return Ok(Vec::new()) };
    text.split(',')
        .map(|word| {
            word.trim().parse().map_err(|error| Problem::new(Code::BadQuery, format!("state: {error}")))
        })
        .collect()
}
