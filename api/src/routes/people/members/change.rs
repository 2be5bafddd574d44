//! `PATCH /v1/people/{actor_id}`: another role, other workspaces.

use axum::Json;
use axum::extract::State;
use domain::ActorId;
use serde::Deserialize;
use store::people::members::{self, Change};
use store::{Tx, Workspaces};
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::PersonItem;
use crate::auth::{Caller, PeopleWrite};
use crate::input::{InPath, Json as Body};
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::people::ask;
use crate::state::Api;

/// What shall be different. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PersonChange {
    /// owner, manager, finance, support or auditor. Owners and auditors see every workspace.
    #[schema(example = "support")]
    role: Option<String>,
    /// The workspaces they shall see, and no others.
    workspaces: Option<Vec<Uuid>>,
    /// `true`: they shall see every workspace.
    all_workspaces: Option<bool>,
}

/// Change a person's role or workspaces
///
/// Nobody changes themselves, and an organisation keeps at least one owner. Their sessions go on, with what they
/// may do from now on.
#[utoipa::path(
    patch,
    path = "/v1/people/{actor_id}",
    tag = "people",
    operation_id = "changePerson",
    security(("token" = ["people:write"])),
    params(("actor_id" = Uuid, Path, description = "The person.")),
    request_body = PersonChange,
    responses((status = 200, description = "The person as they are now.", body = PersonItem), Changes),
)]
pub(crate) async fn change(
    State(api): State<Api>,
    caller: Caller<PeopleWrite>,
    InPath(actor): InPath<Uuid>,
    Body(request): Body<PersonChange>,
) -> Result<Json<PersonItem>, Problem> {
    let actor = ActorId(actor);
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let before = members::get(&mut tx, actor).await?;
    let role = request.role.as_deref().map(ask::role).transpose()?;
    let will_be = role.unwrap_or(before.role);
    ask::check_reach(&caller.actor, before.role)?;
    ask::check_reach(&caller.actor, will_be)?;
    let workspaces = match (request.all_workspaces, request.workspaces) {
        (Some(true), Some(_)) => {
            return Err(Problem::field("/workspaces", "must be left out when all_workspaces is true"));
        }
        (Some(false), None) if before.workspaces == Workspaces::All => {
            return Err(Problem::field("/workspaces", "must name the workspaces they shall see"));
        }
        (Some(true), None) => Some(Workspaces::All),
        (_, None) => None,
        (_, named) => Some(ask::rooms(&mut tx, will_be, named).await?),
    };
    let after = members::change(&mut tx, actor, &Change { role, workspaces }).await?;
    tx.commit().await?;
    api.sessions().forget_member(caller.actor.org_id, actor);
    Ok(Json(after.into()))
}
