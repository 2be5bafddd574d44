//! `GET /v1/hooks/endpoints`: the addresses at which webhooks arrive.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use store::{Tx, hooks};
use utoipa::ToSchema;

use super::view::HookEndpoint;
use crate::auth::{Caller, HooksRead};
use crate::openapi::Reads;
use crate::problem::Problem;
use crate::state::Api;

/// The endpoints.
#[derive(Serialize, ToSchema)]
pub(crate) struct HookEndpointList {
    /// By name.
    endpoints: Vec<HookEndpoint>,
}

/// List inbound webhook endpoints
#[utoipa::path(
    get,
    path = "/v1/hooks/endpoints",
    tag = "inbound webhooks",
    operation_id = "listHookEndpoints",
    security(("token" = ["hooks:read"])),
    responses((status = 200, description = "The endpoints.", body = HookEndpointList), Reads),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller<HooksRead>,
) -> Result<Json<HookEndpointList>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let endpoints = hooks::list(&mut tx).await?;
    Ok(Json(HookEndpointList {
        endpoints: endpoints.into_iter().map(|row| HookEndpoint::of(&api, row)).collect(),
    }))
}
