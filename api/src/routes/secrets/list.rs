//! `GET /v1/secrets`: the map of credentials: which there are, whose, and what uses them.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use store::{Tx, secrets};
use utoipa::ToSchema;

use super::view::SecretItem;
use crate::auth::{Caller, SecretsRead};
use crate::openapi::Reads;
use crate::problem::Problem;
use crate::state::Api;

/// The credentials.
#[derive(Serialize, ToSchema)]
pub(crate) struct SecretList {
    /// By name, without their values.
    secrets: Vec<SecretItem>,
}

/// List secrets
///
/// Which credentials there are, the system each belongs to, who stored it and what opens it. Never a value.
#[utoipa::path(
    get,
    path = "/v1/secrets",
    tag = "secrets",
    operation_id = "listSecrets",
    security(("token" = ["secrets:read"])),
    responses((status = 200, description = "The secrets.", body = SecretList), Reads),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller<SecretsRead>,
) -> Result<Json<SecretList>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let now = api.now();
    let secrets = secrets::list(&mut tx).await?;
    Ok(Json(SecretList { secrets: secrets.into_iter().map(|row| SecretItem::of(row, now)).collect() }))
}
