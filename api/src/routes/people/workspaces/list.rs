//! `GET /v1/workspaces`: the rooms the caller sees.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use store::Tx;
use store::people::workspaces;
use utoipa::ToSchema;

use super::view::WorkspaceItem;
use crate::auth::{Caller, JobsRead};
use crate::input::Params;
use crate::openapi::Reads;
use crate::problem::Problem;
use crate::routes::people::ask::{self, PageParams};
use crate::state::Api;

/// Rooms.
#[derive(Serialize, ToSchema)]
pub(crate) struct WorkspaceList {
    /// The newest first.
    workspaces: Vec<WorkspaceItem>,
    /// Ask for the next page with it; null at the end.
    next_cursor: Option<String>,
}

/// List workspaces
#[utoipa::path(
    get,
    path = "/v1/workspaces",
    tag = "people",
    operation_id = "listWorkspaces",
    security(("token" = ["jobs:read"])),
    params(PageParams),
    responses((status = 200, description = "A page of workspaces.", body = WorkspaceList), Reads),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller<JobsRead>,
    Params(params): Params<PageParams>,
) -> Result<Json<WorkspaceList>, Problem> {
    let limit = ask::limit(params.limit)?;
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let page = workspaces::list(&mut tx, params.cursor.as_deref(), limit).await?;
    let workspaces = page.items.into_iter().map(WorkspaceItem::from).collect();
    Ok(Json(WorkspaceList { workspaces, next_cursor: page.next }))
}
