//! Which rooms somebody is given: all, or some that exist.

use std::sync::Arc;

use domain::{Role, WorkspaceId};
use uuid::Uuid;

use crate::{StoreError, Tx, Workspaces};

/// Most rooms one person is bound to.
pub const MOST: usize = 200;

/// Judges what a role may be given: those for the whole organisation see all of it, whatever is said; the
/// others see all (nothing said) or the named rooms, each of which must be there.
///
/// # Errors
/// [`StoreError::Invalid`] for the field `workspaces`.
pub async fn judge(tx: &mut Tx, role: Role, named: Option<&[WorkspaceId]>) -> Result<Workspaces, StoreError> {
    let Some(named) = named else { return Ok(Workspaces::All) };
    let invalid = |problem| StoreError::Invalid { field: "workspaces", problem };
    if role.is_org_wide() {
        return Err(invalid("must be left out: owners and auditors see every workspace"));
    }
    if named.is_empty() || named.len() > MOST {
        return Err(invalid("must name 1 to 200 workspaces; leave it out for all of them"));
    }
    let mut rooms = named.to_vec();
    rooms.sort_unstable();
    rooms.dedup();
    // Under row-level security: a room of another organisation is not there.
    let found: i64 = sqlx::query_scalar("SELECT count(*) FROM workspace WHERE workspace_id = ANY ($1)")
        .bind(ids(&rooms))
        .fetch_one(tx.conn())
        .await?;
    if usize::try_from(found) != Ok(rooms.len()) {
        return Err(invalid("names a workspace that is not there; GET /v1/workspaces lists them"));
    }
    Ok(Workspaces::Only(rooms.into()))
}

/// As the tables keep it: whether all, and which.
pub(super) fn stored(workspaces: &Workspaces) -> (bool, Vec<Uuid>) {
    match workspaces {
        Workspaces::All => (true, Vec::new()),
        Workspaces::Only(rooms) => (false, ids(rooms)),
    }
}

/// The way back.
pub(super) fn read(all: bool, rooms: Vec<Uuid>) -> Workspaces {
    if all {
        Workspaces::All
    } else {
        Workspaces::Only(rooms.into_iter().map(WorkspaceId).collect::<Arc<[_]>>())
    }
}

fn ids(rooms: &[WorkspaceId]) -> Vec<Uuid> {
    rooms.iter().map(|room| room.0).collect()
}

/// For the audit log: the ids, or `*`.
pub(super) fn told(workspaces: &Workspaces) -> serde_json::Value {
    match workspaces {
        Workspaces::All => "*".into(),
        Workspaces::Only(rooms) => rooms.iter().map(WorkspaceId::to_string).collect::<Vec<_>>().into(),
    }
}
