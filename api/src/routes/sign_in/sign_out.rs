//! `POST /v1/auth/sign-out`: ends the session.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::SET_COOKIE;
use store::Tx;
use store::accounts::sessions;

use crate::auth::Person;
use crate::auth::cookies::Cookie;
use crate::openapi::Mine;
use crate::problem::Problem;
use crate::state::Api;

/// Sign out
#[utoipa::path(
    post,
    path = "/v1/auth/sign-out",
    tag = "sign-in",
    operation_id = "signOut",
    security(("session" = [])),
    responses((status = 204, description = "The session is over."), Mine),
)]
pub(crate) async fn sign_out(State(api): State<Api>, person: Person) -> Result<Response, Problem> {
    let session = person.session.session_id;
    let mut tx = Tx::for_actor(api.store(), &person.actor).await?;
    sessions::end(&mut tx, session, api.now()).await?;
    tx.commit().await?;
    api.sessions().forget(&[session]);
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().append(SET_COOKIE, Cookie::Session.removed(api.config()));
    Ok(response)
}
