//! `GET /v1/me/permissions`: what the role may do here; the admin's navigation follows it.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use store::accounts;
use store::{Tx, Workspaces};
use utoipa::ToSchema;

use super::view::MyRoom;
use crate::auth::Person;
use crate::openapi::Mine;
use crate::problem::Problem;
use crate::state::Api;

/// What the role may do, and where.
#[derive(Serialize, ToSchema)]
pub(crate) struct MyPermissions {
    /// `owner`, `manager`, `finance`, `support` or `auditor`.
    #[schema(example = "manager")]
    role: &'static str,
    permissions: Vec<PermissionItem>,
    /// The rooms seen.
    workspaces: Vec<MyRoom>,
    /// Whether every room is seen, also later ones.
    all_workspaces: bool,
}

/// One permission.
#[derive(Serialize, ToSchema)]
pub(crate) struct PermissionItem {
    /// The word that routes name.
    #[schema(example = "jobs:read")]
    permission: &'static str,
    /// What it lets one do.
    summary: &'static str,
}

/// See what one may do
#[utoipa::path(
    get,
    path = "/v1/me/permissions",
    tag = "me",
    operation_id = "listMyPermissions",
    security(("session" = [])),
    responses((status = 200, description = "The role's permissions and rooms.", body = MyPermissions), Mine),
)]
pub(crate) async fn permissions(
    State(api): State<Api>,
    person: Person,
) -> Result<Json<MyPermissions>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &person.actor).await?;
    let rooms = accounts::rooms(&mut tx).await?;
    let permissions = person
        .actor
        .permissions
        .iter()
        .map(|permission| PermissionItem {
            permission: permission.as_str(),
            summary: permission.summary().trim(),
        })
        .collect();
    Ok(Json(MyPermissions {
        role: person.actor.standing.as_str(),
        permissions,
        workspaces: rooms.into_iter().map(MyRoom::from).collect(),
        all_workspaces: person.actor.workspaces == Workspaces::All,
    }))
}
