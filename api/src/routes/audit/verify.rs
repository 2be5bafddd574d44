//! `POST /v1/audit/verify`: looks through the whole log, as a job.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jobs::audit::VerifyLog;
use jobs::new_job;

use crate::auth::{AuditRead, Caller};
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::jobs::Accepted;
use crate::state::Api;

/// Verify the audit log
///
/// Enqueues a job that follows every hash, compares every column and checks every checkpoint. Its progress
/// counts links, its result says what it found. While one waits to start, no second one is made. It changes
/// nothing, so whoever may read the log may ask for it; that somebody asked is in the log.
#[utoipa::path(
    post,
    path = "/v1/audit/verify",
    tag = "audit",
    operation_id = "verifyAudit",
    security(("token" = ["audit:read"])),
    responses((status = 202, description = "The job is committed.", body = Accepted), Changes),
)]
pub(crate) async fn verify(
    State(api): State<Api>,
    caller: Caller<AuditRead>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let mut job = new_job(caller.actor.org_id, &VerifyLog::default())?;
    job.actor_id = Some(caller.actor.actor_id);
    job.request_id = (!caller.request_id.is_empty()).then(|| caller.request_id.clone());
    job.unique_key = Some("verify".into());
    let enqueued = api.queue().enqueue(job).await?;
    Ok((StatusCode::ACCEPTED, Json(Accepted::from(enqueued))))
}
