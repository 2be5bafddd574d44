//! `PATCH /v1/hooks/endpoints/{endpoint_id}`: changes an endpoint; what is left out stays.

use axum::Json;
use axum::extract::State;
use domain::HookEndpointId;
use serde::{Deserialize, Deserializer};
use store::hooks::EndpointPatch;
use store::{Tx, hooks};
use utoipa::ToSchema;
use uuid::Uuid;

use super::secret;
use super::view::HookEndpoint;
use crate::auth::{Caller, HooksWrite};
use crate::input::{InPath, Json as Body};
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::no_nul_in;
use crate::state::Api;

/// What to change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookEndpointChange {
    /// Name for people.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// How far a signed time may lie from now, either way, in seconds.
    #[schema(minimum = 30, maximum = 3600)]
    tolerance_s: Option<i32>,
    /// Where what arrives is sent on to; null: nowhere.
    #[serde(default, deserialize_with = "written")]
    #[schema(value_type = Option<String>)]
    forward_url: Option<Option<String>>,
    /// Whether it takes anything.
    enabled: Option<bool>,
}

/// Null is a wish here: it differs from leaving the field out.
fn written<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Change an inbound webhook endpoint
#[utoipa::path(
    patch,
    path = "/v1/hooks/endpoints/{endpoint_id}",
    tag = "inbound webhooks",
    operation_id = "changeHookEndpoint",
    security(("token" = ["hooks:write"])),
    params(("endpoint_id" = Uuid, Path, description = "The endpoint.")),
    request_body = HookEndpointChange,
    responses((status = 200, description = "The endpoint as it is now.", body = HookEndpoint), Changes),
)]
pub(crate) async fn change(
    State(api): State<Api>,
    caller: Caller<HooksWrite>,
    InPath(id): InPath<Uuid>,
    Body(change): Body<HookEndpointChange>,
) -> Result<Json<HookEndpoint>, Problem> {
    no_nul_in("/name", change.name.as_deref().unwrap_or_default())?;
    secret::check_forward(change.forward_url.as_ref().and_then(|url| url.as_deref()))?;
    let patch = EndpointPatch {
        name: change.name,
        tolerance_s: change.tolerance_s,
        forward_url: change.forward_url,
        enabled: change.enabled,
    };
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let now = hooks::change(&mut tx, HookEndpointId(id), &patch).await?;
    tx.commit().await?;
    Ok(Json(HookEndpoint::of(&api, now)))
}
