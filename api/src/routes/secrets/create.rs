//! `POST /v1/secrets`: stores a credential, sealed.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::SecretId;
use http::{StatusCode, header};
use secrecy::SecretString;
use serde::Deserialize;
use store::{Tx, secrets};
use utoipa::ToSchema;
use uuid::Uuid;

use super::value::{self, MAX_BODY, hidden};
use super::view::SecretItem;
use crate::auth::{Caller, SecretsWrite};
use crate::input::Json as Body;
use crate::openapi::Seals;
use crate::problem::Problem;
use crate::routes::jobs::room;
use crate::routes::no_nul_in;
use crate::state::Api;

/// A credential to store.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretRequest {
    /// By which jobs ask for it; unique in the organisation. 1 to 100 of a-z, 0-9, dot, hyphen, underscore.
    #[schema(min_length = 1, max_length = 100, example = "stripe.api_key")]
    name: String,
    /// What sort of value it is.
    #[schema(min_length = 1, max_length = 40, example = "api_key")]
    kind: String,
    /// The outside system it belongs to.
    #[schema(min_length = 1, max_length = 100, example = "Stripe")]
    owner_system: String,
    /// The value, 1 to 65536 bytes. It is sealed at once and never shown again.
    #[serde(deserialize_with = "hidden")]
    #[schema(value_type = String, format = Password, min_length = 1, write_only)]
    value: SecretString,
    /// The room whose jobs may use it; all of the organisation's when left out.
    workspace_id: Option<Uuid>,
    /// When the outside system stops taking it.
    expires_at: Option<DateTime<Utc>>,
}

/// Store a secret
#[utoipa::path(
    post,
    path = "/v1/secrets",
    tag = "secrets",
    operation_id = "createSecret",
    security(("token" = ["secrets:write"])),
    request_body = SecretRequest,
    responses(
        (status = 201, description = "The secret, without its value.", body = SecretItem,
            headers(("Location" = String, description = "Where it is."))),
        Seals,
    ),
)]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller<SecretsWrite>,
    Body(request): Body<SecretRequest, MAX_BODY>,
) -> Result<Response, Problem> {
    no_nul_in("/owner_system", &request.owner_system)?;
    no_nul_in("/name", &request.name)?;
    no_nul_in("/kind", &request.kind)?;
    let room = room::chosen(&caller.actor, request.workspace_id)?;
    room::check_one(&api, &caller.actor, request.workspace_id).await?;
    let secret_id = SecretId::new();
    let sealed = value::seal(&api, caller.actor.org_id, secret_id, 1, &request.value)?;
    let new = secrets::NewSecret {
        secret_id,
        workspace_id: room,
        name: request.name,
        kind: request.kind,
        owner_system: request.owner_system,
        expires_at: request.expires_at,
        sealed,
    };
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let made = secrets::create(&mut tx, &new).await?;
    tx.commit().await?;
    let location = format!("/v1/secrets/{secret_id}");
    let made = SecretItem::of(made, api.now());
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(made)).into_response())
}
