//! What several of these routes read and judge alike.

use domain::{Role, WorkspaceId};
use serde::Deserialize;
use store::people::{PAGE_LIMIT, rooms};
use store::{Actor, Standing, Tx, Workspaces};
use uuid::Uuid;

use crate::problem::{Code, Problem};

/// Size and place of a page.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// The `next_cursor` of the page before.
    #[param(min_length = 1)]
    pub(super) cursor: Option<String>,
    /// How many are wanted; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: Option<u16>,
}

/// How many are wanted.
pub(super) fn limit(asked: Option<u16>) -> Result<u16, Problem> {
    match asked.unwrap_or(50) {
        limit @ 1..=PAGE_LIMIT => Ok(limit),
        _ => Err(Problem::new(Code::BadQuery, "limit: must lie between 1 and 200")),
    }
}

/// A role named in a body.
pub(super) fn role(word: &str) -> Result<Role, Problem> {
    word.parse().map_err(|_| Problem::field("/role", "must be owner, manager, finance, support or auditor"))
}

/// The rooms a body names for somebody of this role; none says all of them.
pub(super) async fn rooms(tx: &mut Tx, role: Role, named: Option<Vec<Uuid>>) -> Result<Workspaces, Problem> {
    let named: Option<Vec<WorkspaceId>> = named.map(|ids| ids.into_iter().map(WorkspaceId).collect());
    Ok(rooms::judge(tx, role, named.as_deref()).await?)
}

/// Whether all rooms, and which, as answers say it.
pub(super) fn shown(workspaces: &Workspaces) -> (bool, Vec<Uuid>) {
    match workspaces {
        Workspaces::All => (true, Vec::new()),
        Workspaces::Only(rooms) => (false, rooms.iter().map(|room| room.0).collect()),
    }
}

/// Nobody gives, or takes from, anybody more than they may do themselves: else a token that may invite could
/// make an owner.
pub(super) fn check_reach(actor: &Actor, role: Role) -> Result<(), Problem> {
    if actor.permissions.covers(role.permissions()) {
        return Ok(());
    }
    let detail = format!("the role {role} may do more than you may; sign in as an owner to do this");
    let code = match actor.standing {
        Standing::Person(_) => Code::RoleInsufficient,
        Standing::Token | Standing::System => Code::ScopeMissing,
    };
    Err(Problem::new(code, detail))
}
