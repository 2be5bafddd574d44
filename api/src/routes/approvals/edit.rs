//! `PUT /v1/approvals/{approval_id}/content`: another content for what waits to be countersigned.

use axum::extract::State;
use axum::response::Response;
use domain::ApprovalId;
use http::StatusCode;
use queue::NewJob;
use store::Tx;
use store::approvals;
use uuid::Uuid;

use super::ask::{ApprovalAsked, ApprovalRequest, BODY};
use super::{content, told};
use crate::auth::{ApprovalsRequest, Caller};
use crate::input::{InPath, Json as Body};
use crate::openapi::Changes;
use crate::problem::{Code, Problem};
use crate::routes::jobs::request::Asker;
use crate::state::Api;

/// Edit what waits for approval
///
/// The approval becomes void with every decision made on it, and a new one is asked for in its place: kind and job
/// id stay, everything else is as you send it. You become one of its makers. What was rejected, expired or withdrawn
/// can be edited too; what was approved can't.
#[utoipa::path(
    put,
    path = "/v1/approvals/{approval_id}/content",
    tag = "approvals",
    operation_id = "editApproval",
    security(("token" = ["approvals:request"])),
    params(("approval_id" = Uuid, Path, description = "The approval.")),
    request_body = ApprovalRequest,
    responses(
        (status = 201, description = "The approval that took its place.", body = ApprovalAsked,
            headers(("Location" = String, description = "Where it is."))),
        Changes,
    ),
)]
pub(crate) async fn edit(
    State(api): State<Api>,
    caller: Caller<ApprovalsRequest>,
    InPath(approval): InPath<Uuid>,
    Body(request): Body<ApprovalRequest, BODY>,
) -> Result<Response, Problem> {
    let approval = ApprovalId(approval);
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let before = approvals::detail(&mut tx, approval).await?;
    let Some(old) = content::job_of(&before.content)? else {
        return Err(Problem::new(
            Code::Conflict,
            "this approval is about something that is edited where it is kept; change it there",
        ));
    };
    if before.summary.subject_kind == "job_replay" {
        return Err(Problem::new(
            Code::Conflict,
            "a replay is not edited: withdraw this and ask for the replay again with the payload you want",
        ));
    }
    let (job, case) = request.apart();
    if job.kind != *old.kind {
        return Err(Problem::field(
            "/job/kind",
            format!("must stay {}; ask for a new approval for another kind", old.kind),
        ));
    }
    let asker = Asker { api: &api, actor: &caller.actor, request_id: &caller.request_id };
    let job = asker.prepare_for_approval(job).map_err(|problem| problem.below("/job"))?;
    if job.workspace_id != old.workspace_id {
        return Err(Problem::field(
            "/job/workspace_id",
            "must stay what it was; ask for a new approval instead",
        ));
    }
    // Whoever asked first goes on being who asked for the job.
    let job = NewJob { job_id: old.job_id, actor_id: old.actor_id, ..job };
    let asked = approvals::edit(&mut tx, approval, case.with(&job)?).await?;
    tx.commit().await?;
    told::asked(&api, caller.actor.org_id, &asked).await;
    Ok(ApprovalAsked::of(&asked, job.job_id.0).answer(StatusCode::CREATED))
}
