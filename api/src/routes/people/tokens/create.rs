//! `POST /v1/tokens`: makes a token and shows its secret, this once.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use domain::Permissions;
use http::{StatusCode, header};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use store::{Standing, Tx, tokens};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{Caller, TokensWrite};
use crate::input::Json as Body;
use crate::openapi::Changes;
use crate::problem::{Code, Problem};
use crate::state::Api;

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// Name for people.
    #[schema(example = "nightly import", min_length = 1, max_length = 200)]
    name: String,
    /// What it may do, at most what you may: words such as `jobs:read`, or `*`.
    #[schema(example = json!(["jobs:read", "jobs:write"]))]
    scopes: Vec<String>,
    /// Days until it stops working by itself; never when left out.
    #[schema(minimum = 1, maximum = 3650)]
    expires_days: Option<u16>,
}

/// A token at its birth.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeToken {
    token_id: Uuid,
    /// The actor it acts as.
    actor_id: Uuid,
    /// Send it as `Authorization: Bearer …`. It is not shown again.
    #[schema(example = "cst_…")]
    token: String,
    name: String,
    scopes: Vec<String>,
    expires_at: Option<DateTime<Utc>>,
}

/// Make an API token
#[utoipa::path(
    post,
    path = "/v1/tokens",
    tag = "people",
    operation_id = "createToken",
    security(("token" = ["tokens:write"])),
    request_body = TokenRequest,
    responses((status = 201, description = "The token, with its secret.", body = MadeToken), Changes),
)]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller<TokensWrite>,
    Body(request): Body<TokenRequest>,
) -> Result<Response, Problem> {
    let name = request.name.trim();
    if name.is_empty() || name.chars().count() > 200 || name.chars().any(char::is_control) {
        return Err(Problem::field("/name", "must have 1 to 200 characters on one line, not only blanks"));
    }
    if request.expires_days.is_some_and(|days| !(1..=3650).contains(&days)) {
        return Err(Problem::field("/expires_days", "must lie between 1 and 3650"));
    }
    let scopes =
        Permissions::parse(&request.scopes).map_err(|error| Problem::field("/scopes", error.to_string()))?;
    if !caller.actor.permissions.covers(scopes) {
        let code = match caller.actor.standing {
            Standing::Person(_) => Code::RoleInsufficient,
            Standing::Token | Standing::System => Code::ScopeMissing,
        };
        return Err(Problem::new(code, "these scopes hold more than you may do yourself; leave some out"));
    }
    let expires_at = request.expires_days.map(|days| api.now() + TimeDelta::days(days.into()));
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let made = tokens::create(&mut tx, name, scopes, expires_at).await?;
    tx.commit().await?;
    let body = MadeToken {
        token_id: made.token_id.0,
        actor_id: made.actor_id.0,
        token: made.secret.expose_secret().to_owned(),
        name: name.to_owned(),
        scopes: scopes.words(),
        expires_at,
    };
    // Nobody on the way keeps it.
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}
