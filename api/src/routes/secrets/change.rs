//! `PATCH /v1/secrets/{secret_id}`: what is said about a credential; its value stays.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::SecretId;
use serde::{Deserialize, Deserializer};
use store::secrets::SecretPatch;
use store::{Tx, secrets};
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::SecretItem;
use crate::auth::{Caller, SecretsWrite};
use crate::input::{InPath, Json as Body};
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::no_nul_in;
use crate::state::Api;

/// What to change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretChange {
    /// The outside system it belongs to.
    #[schema(min_length = 1, max_length = 100)]
    owner_system: Option<String>,
    /// When that system stops taking it; null: not known.
    #[serde(default, deserialize_with = "written")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    expires_at: Option<Option<DateTime<Utc>>>,
}

/// Null is a wish here: it differs from leaving the field out.
fn written<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Change what is said about a secret
#[utoipa::path(
    patch,
    path = "/v1/secrets/{secret_id}",
    tag = "secrets",
    operation_id = "changeSecret",
    security(("token" = ["secrets:write"])),
    params(("secret_id" = Uuid, Path, description = "The secret.")),
    request_body = SecretChange,
    responses((status = 200, description = "The secret as it is now.", body = SecretItem), Changes),
)]
pub(crate) async fn change(
    State(api): State<Api>,
    caller: Caller<SecretsWrite>,
    InPath(id): InPath<Uuid>,
    Body(change): Body<SecretChange>,
) -> Result<Json<SecretItem>, Problem> {
    no_nul_in("/owner_system", change.owner_system.as_deref().unwrap_or_default())?;
    let patch = SecretPatch { owner_system: change.owner_system, expires_at: change.expires_at };
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let now = secrets::describe(&mut tx, SecretId(id), &patch).await?;
    tx.commit().await?;
    Ok(Json(SecretItem::of(now, api.now())))
}
