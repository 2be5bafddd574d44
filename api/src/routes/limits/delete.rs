//! `DELETE /v1/limits/{limit_id}`: takes one of the organisation's rates away.

use axum::extract::State;
use http::StatusCode;
use queue::ops;
use store::Tx;
use store::audit::Entry;
use uuid::Uuid;

use crate::auth::{Caller, LimitsWrite};
use crate::input::InPath;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::state::Api;

/// Delete a limit
///
/// The next more general one applies; with none, there is no limit.
#[utoipa::path(
    delete,
    path = "/v1/limits/{limit_id}",
    tag = "limits",
    operation_id = "deleteLimit",
    security(("token" = ["limits:write"])),
    params(("limit_id" = Uuid, Path, description = "The limit.")),
    responses((status = 204, description = "It is gone."), Changes),
)]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller<LimitsWrite>,
    InPath(limit): InPath<Uuid>,
) -> Result<StatusCode, Problem> {
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let was = ops::limits::of_id(tx.conn(), Some(caller.actor.org_id), limit).await?;
    let after = ops::limits::delete(tx.conn(), Some(caller.actor.org_id), limit).await?;
    tx.record(Entry::new("limit.delete", "limit", limit).before(was)).await?;
    tx.commit().await?;
    api.queue().after(after).await;
    Ok(StatusCode::NO_CONTENT)
}
