//! `POST /v1/approvals`: asks for a job to be countersigned.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::ApprovalId;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::Tx;
use store::approvals::{self, Ask, Asked};
use utoipa::ToSchema;
use uuid::Uuid;

use super::content::{Amount, Case, hex};
use super::told;
use crate::auth::{ApprovalsRequest, Caller};
use crate::input::Json as Body;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::jobs::request::{Asker, JobRequest};
use crate::routes::jobs::room;
use crate::state::Api;

/// Room for a full payload with its evidence.
pub(super) const BODY: usize = 512 * 1024;

/// What is to be countersigned.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalRequest {
    /// The job that the approval releases. It is checked now and enqueued, exactly so, by the last approval.
    pub(super) job: JobRequest,
    /// What will happen, in one or two sentences.
    #[schema(min_length = 1, max_length = 500, example = "Pay Himal Travels their October invoice")]
    pub(super) summary: String,
    /// Whatever supports it, for people to read; at most 64 KiB of JSON text.
    #[schema(value_type = Option<Object>)]
    pub(super) evidence: Option<Box<RawValue>>,
    /// The money it moves; decides whether approving needs a fresh second factor.
    pub(super) amount: Option<Amount>,
}

impl ApprovalRequest {
    pub(super) fn apart(self) -> (JobRequest, Case) {
        let Self { job, summary, evidence, amount } = self;
        (job, Case { summary, evidence, amount })
    }
}

/// An approval that waits for decisions.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApprovalAsked {
    /// Its id.
    approval_id: ApprovalId,
    /// SHA-256 of its content, in hex; a decision repeats it.
    content_hash: String,
    /// When it ends undecided.
    expires_at: DateTime<Utc>,
    /// The job it is about: not in the ledger before it is approved, unless it is a replay.
    job_id: Uuid,
    /// Where to see it.
    #[schema(example = "/v1/approvals/0197f0c2-7a5e-7c31-9d1e-3f6a2b8c4d5e")]
    url: String,
}

impl ApprovalAsked {
    pub(crate) fn of(asked: &Asked, job_id: Uuid) -> Self {
        Self {
            approval_id: asked.approval_id,
            content_hash: hex(&asked.content_hash),
            expires_at: asked.expires_at,
            job_id,
            url: format!("/v1/approvals/{}", asked.approval_id),
        }
    }

    pub(crate) fn answer(self, status: StatusCode) -> Response {
        let location = self.url.clone();
        (status, [(header::LOCATION, location)], Json(self)).into_response()
    }
}

/// Ask for an approval
///
/// The job is checked like one that is enqueued, and waits outside the ledger. Whoever the rule names approves or
/// rejects exactly this content; the last approval enqueues the job. You, and everybody who edits it, are its
/// makers: they don't decide on it unless the rule says so.
#[utoipa::path(
    post,
    path = "/v1/approvals",
    tag = "approvals",
    operation_id = "askForApproval",
    security(("token" = ["approvals:request"])),
    request_body = ApprovalRequest,
    responses(
        (status = 201, description = "It waits for decisions.", body = ApprovalAsked,
            headers(("Location" = String, description = "Where it is."))),
        Changes,
    ),
)]
pub(crate) async fn ask(
    State(api): State<Api>,
    caller: Caller<ApprovalsRequest>,
    Body(request): Body<ApprovalRequest, BODY>,
) -> Result<Response, Problem> {
    let (job, case) = request.apart();
    room::check_named(&api, &caller.actor, [("/job".to_owned(), &job)]).await?;
    let asker = Asker { api: &api, actor: &caller.actor, request_id: &caller.request_id };
    let job = asker.prepare_for_approval(job).map_err(|problem| problem.below("/job"))?;
    let ask = Ask {
        subject_kind: format!("job:{}", job.kind),
        subject_id: job.job_id.to_string(),
        workspace_id: job.workspace_id,
        content: case.with(&job)?,
    };
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let asked = approvals::ask(&mut tx, &ask).await?;
    tx.commit().await?;
    told::asked(&api, caller.actor.org_id, &asked).await;
    Ok(ApprovalAsked::of(&asked, job.job_id.0).answer(StatusCode::CREATED))
}
