//! `POST /v1/approvals/{approval_id}/approve`: one person's yes; the last one enqueues the job.

use axum::Json;
use axum::extract::State;
use domain::ApprovalId;
use queue::{EnqueueError, NewJob, ops};
use serde::Deserialize;
use store::Tx;
use store::approvals::{self, Decision, Released};
use utoipa::ToSchema;
use uuid::Uuid;

use super::content::hash_of;
use super::decided::{DecisionTaken, check_comment, refused};
use super::told;
use crate::auth::{ApprovalsDecide, Caller};
use crate::input::{InPath, Json as Body};
use crate::openapi::Decides;
use crate::problem::{Code, Problem};
use crate::state::Api;

/// A yes to exactly one content.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApproveRequest {
    /// The hash that the approval showed when you looked at it.
    #[schema(min_length = 64, max_length = 64)]
    content_hash: String,
    /// Kept with the decision.
    #[schema(min_length = 1, max_length = 2000)]
    comment: Option<String>,
}

/// What is left to do once the transaction is committed.
enum Follow {
    Nothing,
    Announce(Box<NewJob>),
    Replayed(ops::After),
}

/// Approve
///
/// Yours counts if the rule names your role and you are no maker of it, once, while nobody edited it and its time is
/// not over. When enough people approved, the job is enqueued in the same transaction. For people only.
#[utoipa::path(
    post,
    path = "/v1/approvals/{approval_id}/approve",
    tag = "approvals",
    operation_id = "approve",
    security(("token" = ["approvals:decide"])),
    params(("approval_id" = Uuid, Path, description = "The approval.")),
    request_body = ApproveRequest,
    responses((status = 200, description = "Your decision is kept.", body = DecisionTaken), Decides),
)]
pub(crate) async fn approve(
    State(api): State<Api>,
    caller: Caller<ApprovalsDecide>,
    InPath(approval): InPath<Uuid>,
    Body(request): Body<ApproveRequest>,
) -> Result<Json<DecisionTaken>, Problem> {
    let hash = hash_of(&request.content_hash)?;
    let comment = request.comment.as_deref().map(check_comment).transpose()?;
    let approval = ApprovalId(approval);
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let decided =
        approvals::decide(&mut tx, approval, Decision::Approve, hash, comment).await.map_err(refused)?;
    let follow = match &decided.released {
        Some(released) => release(&api, &mut tx, released).await?,
        None => Follow::Nothing,
    };
    tx.commit().await?;
    match follow {
        Follow::Nothing => {}
        Follow::Announce(job) => api.queue().announce(std::slice::from_ref(&*job)),
        Follow::Replayed(after) => api.queue().after(after).await,
    }
    told::changed(&api, caller.actor.org_id, approval, decided.state, &decided.subject_kind).await;
    Ok(Json(DecisionTaken::of(approval, &decided)))
}

/// Puts what was approved into the ledger, in the transaction of the decision.
async fn release(api: &Api, tx: &mut Tx, released: &Released) -> Result<Follow, Problem> {
    let job: NewJob = serde_json::from_str(&released.job).map_err(Problem::internal)?;
    let (org, actor) = (tx.org_id(), tx.actor_id());
    if released.replay {
        let before = store::jobs::detail(tx, job.job_id).await?;
        let edited = (before.payload != job.payload.get()).then_some(&*job.payload);
        let after = ops::dead::replay(tx.conn(), org, job.job_id, actor, edited).await?;
        return Ok(Follow::Replayed(after));
    }
    let done =
        api.queue().enqueue_in(tx.conn(), std::slice::from_ref(&job)).await.map_err(|error| match error {
            EnqueueError::Invalid { .. } => Problem::new(
                Code::Conflict,
                format!("the job can't be enqueued as it was asked for: {error}; edit it, then approve that"),
            ),
            error => error.into(),
        })?;
    match done.first() {
        Some(done) if done.created => Ok(Follow::Announce(Box::new(job))),
        Some(done) => Err(Problem::new(
            Code::Conflict,
            format!(
                "its key belongs to job {} already, so approving it would release nothing; reject it",
                done.job_id
            ),
        )),
        None => Err(Problem::new(Code::Conflict, "nothing was released")),
    }
}
