//! `DELETE /v1/secrets/{secret_id}`: its sealed value is gone.

use axum::extract::State;
use domain::SecretId;
use http::StatusCode;
use store::{Tx, secrets};
use uuid::Uuid;

use crate::auth::{Caller, SecretsWrite};
use crate::input::InPath;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::state::Api;

/// Delete a secret
///
/// Jobs that ask for it from now on fail and say its name.
#[utoipa::path(
    delete,
    path = "/v1/secrets/{secret_id}",
    tag = "secrets",
    operation_id = "deleteSecret",
    security(("token" = ["secrets:write"])),
    params(("secret_id" = Uuid, Path, description = "The secret.")),
    responses((status = 204, description = "It is gone."), Changes),
)]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller<SecretsWrite>,
    InPath(id): InPath<Uuid>,
) -> Result<StatusCode, Problem> {
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    secrets::delete(&mut tx, SecretId(id)).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
