//! `GET /v1/audit/{entry_id}`: one entry, with its place in the chain.

use axum::Json;
use axum::extract::State;
use store::Tx;
use uuid::Uuid;

use super::view::AuditItem;
use crate::auth::{AuditRead, Caller};
use crate::input::InPath;
use crate::openapi::ReadsOne;
use crate::problem::Problem;
use crate::state::Api;

/// Show an entry of the audit log
#[utoipa::path(
    get,
    path = "/v1/audit/{entry_id}",
    tag = "audit",
    operation_id = "showAuditEntry",
    security(("token" = ["audit:read"])),
    params(("entry_id" = Uuid, Path, description = "The entry's id.")),
    responses((status = 200, description = "The entry.", body = AuditItem), ReadsOne),
)]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller<AuditRead>,
    InPath(entry): InPath<Uuid>,
) -> Result<Json<AuditItem>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    Ok(Json(store::audit::get(&mut tx, entry).await?.into()))
}
