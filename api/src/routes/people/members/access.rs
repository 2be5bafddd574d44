//! `POST /v1/people/{actor_id}/disable` and `…/enable`: lets somebody in no more, and again.

use axum::Json;
use axum::extract::State;
use domain::ActorId;
use store::Tx;
use store::people::members;
use uuid::Uuid;

use super::view::PersonItem;
use crate::auth::{Caller, PeopleWrite};
use crate::input::InPath;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::people::ask;
use crate::state::Api;

/// Let a person in no more
///
/// Their sessions in this organisation end. What they did stays theirs.
#[utoipa::path(
    post,
    path = "/v1/people/{actor_id}/disable",
    tag = "people",
    operation_id = "disablePerson",
    security(("token" = ["people:write"])),
    params(("actor_id" = Uuid, Path, description = "The person.")),
    responses((status = 200, description = "The person as they are now.", body = PersonItem), Changes),
)]
pub(crate) async fn disable(
    State(api): State<Api>,
    caller: Caller<PeopleWrite>,
    InPath(actor): InPath<Uuid>,
) -> Result<Json<PersonItem>, Problem> {
    let actor = ActorId(actor);
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    ask::check_reach(&caller.actor, members::get(&mut tx, actor).await?.role)?;
    let (after, ended) = members::disable(&mut tx, actor, api.now()).await?;
    tx.commit().await?;
    api.sessions().forget(&ended);
    api.sessions().forget_member(caller.actor.org_id, actor);
    Ok(Json(after.into()))
}

/// Let a person in again
///
/// They sign in anew, with the password they had.
#[utoipa::path(
    post,
    path = "/v1/people/{actor_id}/enable",
    tag = "people",
    operation_id = "enablePerson",
    security(("token" = ["people:write"])),
    params(("actor_id" = Uuid, Path, description = "The person.")),
    responses((status = 200, description = "The person as they are now.", body = PersonItem), Changes),
)]
pub(crate) async fn enable(
    State(api): State<Api>,
    caller: Caller<PeopleWrite>,
    InPath(actor): InPath<Uuid>,
) -> Result<Json<PersonItem>, Problem> {
    let actor = ActorId(actor);
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    ask::check_reach(&caller.actor, members::get(&mut tx, actor).await?.role)?;
    let after = members::enable(&mut tx, actor).await?;
    tx.commit().await?;
    api.sessions().forget_member(caller.actor.org_id, actor);
    Ok(Json(after.into()))
}
