//! `PATCH /v1/workspaces/{workspace_id}`: gives a room another name.

use axum::Json;
use axum::extract::State;
use domain::WorkspaceId;
use serde::Deserialize;
use store::Tx;
use store::people::workspaces;
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::WorkspaceItem;
use crate::auth::{Caller, OrgWrite};
use crate::input::{InPath, Json as Body};
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::state::Api;

/// What shall be different.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkspaceChange {
    /// Name for people.
    #[schema(example = "Madrid", min_length = 1, max_length = 200)]
    name: String,
}

/// Rename a workspace
#[utoipa::path(
    patch,
    path = "/v1/workspaces/{workspace_id}",
    tag = "people",
    operation_id = "renameWorkspace",
    security(("token" = ["org:write"])),
    params(("workspace_id" = Uuid, Path, description = "The workspace.")),
    request_body = WorkspaceChange,
    responses((status = 200, description = "The workspace as it is now.", body = WorkspaceItem), Changes),
)]
pub(crate) async fn rename(
    State(api): State<Api>,
    caller: Caller<OrgWrite>,
    InPath(workspace): InPath<Uuid>,
    Body(request): Body<WorkspaceChange>,
) -> Result<Json<WorkspaceItem>, Problem> {
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let renamed = workspaces::rename(&mut tx, WorkspaceId(workspace), &request.name).await?;
    tx.commit().await?;
    Ok(Json(renamed.into()))
}
