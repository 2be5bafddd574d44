//! `GET /v1/me`: who is signed in, where, and with what.

use axum::Json;
use axum::extract::State;

use super::Me;
use crate::auth::Person;
use crate::openapi::Mine;
use crate::problem::Problem;
use crate::state::Api;

/// See who is signed in
#[utoipa::path(
    get,
    path = "/v1/me",
    tag = "me",
    operation_id = "showMe",
    security(("session" = [])),
    responses((status = 200, description = "Account, organisation, rooms and session.", body = Me), Mine),
)]
pub(crate) async fn show(State(api): State<Api>, person: Person) -> Result<Json<Me>, Problem> {
    Ok(Json(Me::of(&api, &person.actor, &person.session, person.by_cookie).await?))
}
