//! `GET /v1/people/{actor_id}`: one member.

use axum::Json;
use axum::extract::State;
use domain::ActorId;
use store::Tx;
use store::people::members;
use uuid::Uuid;

use super::view::PersonItem;
use crate::auth::{Caller, PeopleRead};
use crate::input::InPath;
use crate::openapi::ReadsOne;
use crate::problem::Problem;
use crate::state::Api;

/// Show a person
#[utoipa::path(
    get,
    path = "/v1/people/{actor_id}",
    tag = "people",
    operation_id = "showPerson",
    security(("token" = ["people:read"])),
    params(("actor_id" = Uuid, Path, description = "The person.")),
    responses((status = 200, description = "The person.", body = PersonItem), ReadsOne),
)]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller<PeopleRead>,
    InPath(actor): InPath<Uuid>,
) -> Result<Json<PersonItem>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    Ok(Json(members::get(&mut tx, ActorId(actor)).await?.into()))
}
