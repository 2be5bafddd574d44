//! How an account becomes a member of an organisation.
//!
//! Refuses to decide whether it may: an invitation or an operator has.

use domain::{ActorId, Role};
use serde_json::json;

use super::{members, rooms};
use crate::accounts::Account;
use crate::audit::Entry;
use crate::{StoreError, Tx, Workspaces};

/// Makes an account a member, as a new actor. `how` goes into the audit log.
///
/// # Errors
/// [`StoreError::Conflict`] when it is one already.
pub async fn join(
    tx: &mut Tx,
    account: &Account,
    role: Role,
    in_rooms: &Workspaces,
    how: &'static str,
) -> Result<ActorId, StoreError> {
    let actor_id = ActorId::new();
    let org = tx.org_id();
    let in_rooms = if role.is_org_wide() { &Workspaces::All } else { in_rooms };
    let (all, ids) = rooms::stored(in_rooms);
    sqlx::query("INSERT INTO actor (actor_id, org_id, kind, name) VALUES ($1, $2, 'person', $3)")
        .bind(actor_id.0)
        .bind(org.0)
        .bind(&account.name)
        .execute(tx.conn())
        .await?;
    sqlx::query(
        "INSERT INTO member (org_id, actor_id, account_id, email, role, all_workspaces)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(org.0)
    .bind(actor_id.0)
    .bind(account.account_id.0)
    .bind(&account.email)
    .bind(role.as_str())
    .bind(all)
    .execute(tx.conn())
    .await?;
    members::put_into(tx, actor_id, &ids).await?;
    let entry = Entry::new("member.join", "member", actor_id).after(json!({
        "email": account.email, "role": role.as_str(), "workspaces": rooms::told(in_rooms), "how": how,
    }));
    tx.record(entry).await?;
    Ok(actor_id)
}

/// A role as the tables keep it. A constraint holds that it is one.
pub(super) fn stored_role(word: &str) -> Result<Role, StoreError> {
    word.parse().map_err(|error| StoreError::Database(sqlx::Error::Decode(Box::new(error))))
}
