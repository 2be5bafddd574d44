//! `POST /v1/hooks/endpoints/{endpoint_id}/rotate-secret`: a new secret beside the old one, or alone.

use axum::Json;
use axum::extract::State;
use domain::HookEndpointId;
use secrecy::SecretString;
use serde::Deserialize;
use store::{Tx, hooks};
use utoipa::ToSchema;
use uuid::Uuid;

use super::secret;
use super::view::HookEndpointWithSecret;
use crate::auth::{Caller, HooksWrite};
use crate::input::{InPath, OptionalJson};
use crate::openapi::Seals;
use crate::problem::Problem;
use crate::routes::secrets::hidden_option;
use crate::state::Api;

/// How to exchange the secret.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateRequest {
    /// The new secret as the provider shows it; for `standard` one is made when it is left out.
    #[serde(default, deserialize_with = "hidden_option")]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    secret: Option<SecretString>,
    /// Stop taking the old one at once; else it is taken until the next exchange, so that nothing is lost while
    /// the provider changes over.
    #[serde(default)]
    drop_old: bool,
}

/// Exchange an inbound webhook endpoint's secret
#[utoipa::path(
    post,
    path = "/v1/hooks/endpoints/{endpoint_id}/rotate-secret",
    tag = "inbound webhooks",
    operation_id = "rotateHookSecret",
    security(("token" = ["hooks:write"])),
    params(("endpoint_id" = Uuid, Path, description = "The endpoint.")),
    request_body = Option<RotateRequest>,
    responses(
        (status = 200, description = "The endpoint, with the secret if it was made here.",
            body = HookEndpointWithSecret),
        Seals,
    ),
)]
pub(crate) async fn rotate(
    State(api): State<Api>,
    caller: Caller<HooksWrite>,
    InPath(id): InPath<Uuid>,
    OptionalJson(request): OptionalJson<RotateRequest>,
) -> Result<Json<HookEndpointWithSecret>, Problem> {
    let id = HookEndpointId(id);
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let mut sealed = hooks::sealed(&mut tx, id).await?;
    let provider = hooks::endpoint(&mut tx, id).await?.provider;
    let (value, made_here) = secret::chosen(secret::scheme_of(&provider)?, request.secret)?;
    sealed.insert(0, secret::seal(&api, id, &value)?);
    sealed.truncate(if request.drop_old { 1 } else { 2 });
    let now = hooks::set_secrets(&mut tx, id, &sealed).await?;
    tx.commit().await?;
    Ok(Json(HookEndpointWithSecret::of(&api, now, made_here.then_some(&value))))
}
