//! A replay that needs an approval: asked for instead of done.

use axum::response::Response;
use domain::effect::ReplayNeeds;
use domain::{ActorId, EffectClass, JobId, Permission, WorkspaceId};
use http::StatusCode;
use queue::NewJob;
use serde_json::value::RawValue;
use store::jobs::Detail;
use store::{Actor, Tx, approvals};

use super::effects;
use crate::problem::{Code, Problem};
use crate::routes::approvals::ask::ApprovalAsked;
use crate::routes::approvals::content::Case;
use crate::routes::approvals::told;
use crate::state::Api;

/// Whether a replay of the kind is for somebody else to decide.
pub(super) fn is_needed(api: &Api, actor: &Actor, kind: &str, effect: Option<EffectClass>) -> bool {
    effect.is_some()
        && (effects::needs(effect) == ReplayNeeds::Approval || api.guards().needs(actor.org_id, kind))
}

/// Asks for the approval that replays the dead letter with this payload, or its own.
pub(super) async fn ask(
    api: &Api,
    actor: &Actor,
    mut tx: Tx,
    dead: &Detail,
    payload: Option<Box<RawValue>>,
    case: Case,
) -> Result<Response, Problem> {
    if !actor.permissions.has(Permission::ApprovalsRequest) {
        return Err(Problem::new(
            Code::ScopeMissing,
            format!(
                "a replay of {} needs an approval, and asking for one needs {}",
                dead.job.kind,
                Permission::ApprovalsRequest
            ),
        ));
    }
    let payload = match payload {
        Some(payload) => payload,
        None => RawValue::from_string(dead.payload.clone()).map_err(Problem::internal)?,
    };
    let workspace_id = dead.job.workspace_id.map(WorkspaceId);
    let job = NewJob {
        job_id: JobId(dead.job.job_id),
        kind_version: dead.job.kind_version,
        max_attempts: dead.job.max_attempts,
        priority: dead.job.priority,
        idempotency_key: dead.job.idempotency_key.clone(),
        workspace_id,
        actor_id: dead.job.actor_id.map(ActorId),
        request_id: dead.job.request_id.clone(),
        private_to: dead.job.private_to.map(ActorId),
        ..NewJob::new(actor.org_id, dead.job.kind.as_str(), dead.job.lane.as_str(), payload)
    };
    let ask = approvals::Ask {
        subject_kind: "job_replay".to_owned(),
        subject_id: job.job_id.to_string(),
        workspace_id,
        content: case.with(&job)?,
    };
    approvals::renew(&mut tx, &ask).await?;
    let asked = approvals::ask(&mut tx, &ask).await?;
    tx.commit().await?;
    told::asked(api, actor.org_id, &asked).await;
    Ok(ApprovalAsked::of(&asked, job.job_id.0).answer(StatusCode::ACCEPTED))
}
