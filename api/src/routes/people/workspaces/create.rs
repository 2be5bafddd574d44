//! `POST /v1/workspaces`: makes a room.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use store::Tx;
use store::people::workspaces;
use utoipa::ToSchema;

use super::view::WorkspaceItem;
use crate::auth::{Caller, OrgWrite};
use crate::input::Json as Body;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::state::Api;

/// A room to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkspaceRequest {
    /// Short name: 1 to 63 of a-z, 0-9 and inner hyphens. It never changes.
    #[schema(
        example = "madrid",
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
    )]
    slug: String,
    /// Name for people.
    #[schema(example = "Madrid", min_length = 1, max_length = 200)]
    name: String,
}

/// Make a workspace
#[utoipa::path(
    post,
    path = "/v1/workspaces",
    tag = "people",
    operation_id = "createWorkspace",
    security(("token" = ["org:write"])),
    request_body = WorkspaceRequest,
    responses((status = 201, description = "The workspace.", body = WorkspaceItem), Changes),
)]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller<OrgWrite>,
    Body(request): Body<WorkspaceRequest>,
) -> Result<(StatusCode, Json<WorkspaceItem>), Problem> {
    if request.slug.contains('\0') {
        return Err(Problem::field("/slug", "must have 1 to 63 characters: a-z, 0-9 and inner hyphens"));
    }
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let made = workspaces::create(&mut tx, &request.slug, &request.name).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}
