//! `GET /v1/kinds`: the work that can be asked for.

use axum::Json;
use axum::extract::State;
use jobs::KindInfo;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{Caller, JobsRead};
use crate::openapi::Reads;
use crate::problem::Problem;
use crate::state::Api;

/// Every kind.
#[derive(Serialize, ToSchema)]
pub(crate) struct KindList {
    /// By name.
    kinds: Vec<KindInfo>,
}

/// List the kinds of jobs
#[utoipa::path(
    get,
    path = "/v1/kinds",
    tag = "fleet",
    operation_id = "listKinds",
    security(("token" = ["jobs:read"])),
    responses((status = 200, description = "Every kind with its policy and its payload's JSON Schema.", body = KindList), Reads),
)]
pub(crate) async fn kinds(
    State(api): State<Api>,
    _caller: Caller<JobsRead>,
) -> Result<Json<KindList>, Problem> {
    Ok(Json(KindList { kinds: api.registry().catalogue() }))
}
