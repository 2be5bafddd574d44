//! The room a job, or a schedule's jobs, will belong to.
//!
//! Whoever is bound to rooms works in one of them; whoever sees the whole organisation may leave the room
//! out. A room that somebody can't see is a room that is not there.

use domain::WorkspaceId;
use store::{Actor, Tx, Workspaces};
use uuid::Uuid;

use super::request::JobRequest;
use crate::problem::Problem;
use crate::state::Api;

/// The room for what `actor` asks, who named this one or none. That a room named by somebody who sees all of
/// them is there at all is left to [`check_named`].
pub(crate) fn chosen(actor: &Actor, named: Option<Uuid>) -> Result<Option<WorkspaceId>, Problem> {
    let room = match (named, &actor.workspaces) {
        (Some(named), _) => Some(WorkspaceId(named)),
        (None, Workspaces::All) => return Ok(None),
        (None, rooms) => rooms.sole(),
    };
    match room {
        Some(room) if actor.workspaces.sees(Some(room)) => Ok(Some(room)),
        Some(room) => Err(absent(room)),
        None => Err(Problem::field(
            "/workspace_id",
            "must name one of your workspaces: GET /v1/me/permissions lists them",
        )),
    }
}

/// Refuses rooms that are not there, for somebody who sees all there are. Each request comes with its place in
/// the body, such as `/jobs/3`.
pub(crate) async fn check_named<'a>(
    api: &Api,
    actor: &Actor,
    requests: impl IntoIterator<Item = (String, &'a JobRequest)>,
) -> Result<(), Problem> {
    let mut named = Vec::new();
    for (place, request) in requests {
        collect(request, place, &mut named);
    }
    check(api, actor, &named).await
}

/// The same for one room of something else than a job.
pub(crate) async fn check_one(api: &Api, actor: &Actor, room: Option<Uuid>) -> Result<(), Problem> {
    let named: Vec<_> = room.map(|room| (String::new(), WorkspaceId(room))).into_iter().collect();
    check(api, actor, &named).await
}

async fn check(api: &Api, actor: &Actor, named: &[(String, WorkspaceId)]) -> Result<(), Problem> {
    if named.is_empty() || actor.workspaces != Workspaces::All {
        return Ok(());
    }
    let mut tx = Tx::for_reader(api.store(), actor).await?;
    let rooms: Vec<WorkspaceId> = named.iter().map(|(_, room)| *room).collect();
    let there = store::jobs::rooms(&mut tx, &rooms).await?;
    match named.iter().find(|(_, room)| !there.contains(room)) {
        Some((place, room)) => Err(absent(*room).below(place)),
        None => Ok(()),
    }
}

fn collect(request: &JobRequest, place: String, named: &mut Vec<(String, WorkspaceId)>) {
    for (at, next) in request.then.iter().enumerate() {
        collect(next, format!("{place}/then/{at}"), named);
    }
    named.extend(request.workspace_id.map(|room| (place, WorkspaceId(room))));
}

fn absent(room: WorkspaceId) -> Problem {
    Problem::field("/workspace_id", format!("names no workspace that you see here: {room}"))
}
