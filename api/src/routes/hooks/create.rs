//! `POST /v1/hooks/endpoints`: makes an address for one provider's webhooks.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::HookEndpointId;
use http::{StatusCode, header};
use secrecy::SecretString;
use serde::Deserialize;
use store::hooks::NewEndpoint;
use store::{Tx, hooks};
use utoipa::ToSchema;
use uuid::Uuid;

use super::secret;
use super::view::HookEndpointWithSecret;
use crate::auth::{Caller, HooksWrite};
use crate::input::Json as Body;
use crate::openapi::Seals;
use crate::problem::Problem;
use crate::routes::jobs::room;
use crate::routes::no_nul_in;
use crate::routes::secrets::hidden_option;
use crate::state::Api;

/// An endpoint to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookEndpointRequest {
    /// How its signatures read: `standard` (Standard Webhooks) or `stripe`.
    #[schema(example = "standard")]
    provider: String,
    /// Name for people, unique in the organisation.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// The signing secret as the provider shows it; for `standard` one is made, and shown once, when it is left
    /// out.
    #[serde(default, deserialize_with = "hidden_option")]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    secret: Option<SecretString>,
    /// How far a signed time may lie from now, either way, in seconds; 300 when left out.
    #[serde(default = "five_minutes")]
    #[schema(minimum = 30, maximum = 3600, default = 300)]
    tolerance_s: i32,
    /// Where what arrives is sent on to, signed as our own webhooks are.
    forward_url: Option<String>,
    /// The room that what arrives belongs to; none when left out.
    workspace_id: Option<Uuid>,
}

fn five_minutes() -> i32 {
    300
}

/// Make an inbound webhook endpoint
#[utoipa::path(
    post,
    path = "/v1/hooks/endpoints",
    tag = "inbound webhooks",
    operation_id = "createHookEndpoint",
    security(("token" = ["hooks:write"])),
    request_body = HookEndpointRequest,
    responses(
        (status = 201, description = "The endpoint, with the secret if it was made here.", body = HookEndpointWithSecret,
            headers(("Location" = String, description = "Where it is."))),
        Seals,
    ),
)]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller<HooksWrite>,
    Body(request): Body<HookEndpointRequest>,
) -> Result<Response, Problem> {
    let scheme = secret::scheme_of(&request.provider)?;
    no_nul_in("/name", &request.name)?;
    secret::check_forward(request.forward_url.as_deref())?;
    let room = room::chosen(&caller.actor, request.workspace_id)?;
    room::check_one(&api, &caller.actor, request.workspace_id).await?;
    let (value, made_here) = secret::chosen(scheme, request.secret)?;
    let endpoint_id = HookEndpointId::new();
    let new = NewEndpoint {
        endpoint_id,
        workspace_id: room,
        provider: request.provider,
        name: request.name,
        secret_sealed: secret::seal(&api, endpoint_id, &value)?,
        tolerance_s: request.tolerance_s,
        forward_url: request.forward_url,
    };
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let made = hooks::create(&mut tx, new).await?;
    tx.commit().await?;
    let location = format!("/v1/hooks/endpoints/{endpoint_id}");
    let shown = HookEndpointWithSecret::of(&api, made, made_here.then_some(&value));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(shown)).into_response())
}
