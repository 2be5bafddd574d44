//! `PUT /v1/secrets/{secret_id}/value`: a new value in the place of the old one.

use axum::Json;
use axum::extract::State;
use domain::SecretId;
use secrecy::SecretString;
use serde::Deserialize;
use store::{Tx, secrets};
use utoipa::ToSchema;
use uuid::Uuid;

use super::value::{self, MAX_BODY, hidden};
use super::view::SecretItem;
use crate::auth::{Caller, SecretsWrite};
use crate::input::{InPath, Json as Body};
use crate::openapi::Seals;
use crate::problem::Problem;
use crate::state::Api;

/// The new value.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ValueRequest {
    /// 1 to 65536 bytes. Jobs that ask from now on are given this one; the old one is gone.
    #[serde(deserialize_with = "hidden")]
    #[schema(value_type = String, format = Password, min_length = 1, write_only)]
    value: SecretString,
}

/// Replace a secret's value
#[utoipa::path(
    put,
    path = "/v1/secrets/{secret_id}/value",
    tag = "secrets",
    operation_id = "replaceSecretValue",
    security(("token" = ["secrets:write"])),
    params(("secret_id" = Uuid, Path, description = "The secret.")),
    request_body = ValueRequest,
    responses((status = 200, description = "The secret, without its value.", body = SecretItem), Seals),
)]
pub(crate) async fn replace(
    State(api): State<Api>,
    caller: Caller<SecretsWrite>,
    InPath(id): InPath<Uuid>,
    Body(request): Body<ValueRequest, MAX_BODY>,
) -> Result<Json<SecretItem>, Problem> {
    let id = SecretId(id);
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let version = secrets::next_version(&mut tx, id).await?;
    let sealed = value::seal(&api, caller.actor.org_id, id, version, &request.value)?;
    let now = secrets::replace(&mut tx, id, version, &sealed).await?;
    tx.commit().await?;
    Ok(Json(SecretItem::of(now, api.now())))
}
