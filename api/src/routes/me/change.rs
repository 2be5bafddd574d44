//! `PATCH /v1/me`: name and language.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use store::Tx;
use store::accounts;
use utoipa::ToSchema;

use super::Me;
use crate::auth::Person;
use crate::input::Json as Body;
use crate::openapi::Mine;
use crate::problem::Problem;
use crate::state::Api;

/// What to change; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeMe {
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// `en`, `es`, `ne` or `ar`.
    #[schema(example = "es")]
    locale: Option<String>,
}

/// Change one's name or language
#[utoipa::path(
    patch,
    path = "/v1/me",
    tag = "me",
    operation_id = "changeMe",
    security(("session" = [])),
    request_body = ChangeMe,
    responses((status = 200, description = "As it is now.", body = Me), Mine),
)]
pub(crate) async fn change(
    State(api): State<Api>,
    person: Person,
    Body(request): Body<ChangeMe>,
) -> Result<Json<Me>, Problem> {
    let name = request.name.as_deref().map(checked_name).transpose()?;
    let locale = request.locale.as_deref();
    if name.is_some() || locale.is_some() {
        let mut tx = Tx::for_actor(api.store(), &person.actor).await?;
        accounts::change(&mut tx, name, locale).await?;
        tx.commit().await?;
    }
    Ok(Json(Me::of(&api, &person.actor, &person.session, person.by_cookie).await?))
}

/// A name that can be written in one line.
pub(crate) fn checked_name(name: &str) -> Result<&str, Problem> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 200 || name.chars().any(char::is_control) {
        return Err(Problem::field(
            "/name",
            "must have 1 to 200 characters, without line breaks and the like",
        ));
    }
    Ok(name)
}
