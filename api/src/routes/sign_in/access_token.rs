//! `POST /v1/auth/access-token`: five minutes of the session, for a client of the same origin.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{Person, access_tokens};
use crate::openapi::Mine;
use crate::problem::{Code, Problem};
use crate::state::Api;

/// A token for a few minutes.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccessToken {
    /// To be sent as `Authorization: Bearer …`; needs no `X-CSRF-Token`.
    access_token: String,
    /// When to get another; earlier when the session ends.
    expires_at: DateTime<Utc>,
}

/// Get an access token
#[utoipa::path(
    post,
    path = "/v1/auth/access-token",
    tag = "sign-in",
    operation_id = "createAccessToken",
    security(("session" = [])),
    responses((status = 200, description = "The token.", body = AccessToken), Mine),
)]
pub(crate) async fn access_token(
    State(api): State<Api>,
    person: Person,
) -> Result<Json<AccessToken>, Problem> {
    if !person.by_cookie {
        return Err(Problem::new(
            Code::PersonRequired,
            "an access token can't make another; send the session's cookie",
        ));
    }
    let (token, expires_at) = access_tokens::issue(api.auth_keys()?, &person.session, api.now())?;
    Ok(Json(AccessToken { access_token: token.expose_secret().to_owned(), expires_at }))
}
