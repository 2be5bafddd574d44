//! Who belongs to the organisation: looked at, given another role or other rooms, let out and in again.

use chrono::{DateTime, Utc};
use domain::{ActorId, Role, SessionId};
use serde_json::{Value, json};
use uuid::Uuid;

use super::page::{self, Page};
use super::rooms;
use crate::accounts::sessions;
use crate::audit::Entry;
use crate::{StoreError, Tx, Workspaces};

/// Somebody of the organisation.
#[derive(Clone, Debug)]
pub struct Member {
    /// Who, inside the organisation.
    pub actor_id: ActorId,
    /// Address they sign in with.
    pub email: String,
    /// Name for people.
    pub name: String,
    /// What they are.
    pub role: Role,
    /// Which rooms they see.
    pub workspaces: Workspaces,
    /// Since when.
    pub joined_at: DateTime<Utc>,
    /// Since when they are let in no more.
    pub disabled_at: Option<DateTime<Utc>>,
}

impl Member {
    /// What the audit log says of somebody's standing.
    fn told(&self) -> Value {
        json!({ "email": self.email, "role": self.role.as_str(), "workspaces": rooms::told(&self.workspaces),
                "disabled": self.disabled_at.is_some() })
    }
}

/// Which members to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// With this role.
    pub role: Option<Role>,
    /// Let in, or not.
    pub disabled: Option<bool>,
    /// With this text in name or address.
    pub q: Option<String>,
}

/// What shall be different about a member.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Another role.
    pub role: Option<Role>,
    /// Other rooms, judged by [`rooms::judge`] for the role they will have.
    pub workspaces: Option<Workspaces>,
}

type Row = (Uuid, String, String, String, bool, Vec<Uuid>, DateTime<Utc>, Option<DateTime<Utc>>);

const COLUMNS: &str = "SELECT m.actor_id, m.email, a.name, m.role, m.all_workspaces,
       coalesce((SELECT array_agg(w.workspace_id ORDER BY w.workspace_id) FROM member_workspace w
                 WHERE w.org_id = m.org_id AND w.actor_id = m.actor_id), '{}'),
       m.joined_at, m.disabled_at
  FROM member m JOIN actor a ON a.actor_id = m.actor_id
 WHERE m.org_id = current_org()";

fn read(row: Row) -> Result<Member, StoreError> {
    let (actor_id, email, name, role, all, in_rooms, joined_at, disabled_at) = row;
    Ok(Member {
        actor_id: ActorId(actor_id),
        email,
        name,
        role: super::joining::stored_role(&role)?,
        workspaces: rooms::read(all, in_rooms),
        joined_at,
        disabled_at,
    })
}

/// The members, those who joined last first.
///
/// # Errors
/// [`StoreError::BadCursor`], [`StoreError::Away`].
pub async fn list(
    tx: &mut Tx,
    filter: &Filter,
    cursor: Option<&str>,
    limit: u16,
) -> Result<Page<Member>, StoreError> {
    let list = format!("people?{filter:?}");
    let statement = format!(
        "{COLUMNS} AND ($1::uuid IS NULL OR m.actor_id < $1)
           AND ($3::text IS NULL OR m.role = $3)
           AND ($4::boolean IS NULL OR $4 = (m.disabled_at IS NOT NULL))
           AND ($5::text IS NULL OR strpos(lower(a.name), lower($5)) > 0 OR strpos(m.email, lower($5)) > 0)
         ORDER BY m.actor_id DESC LIMIT $2"
    );
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .bind(page::before(cursor, &list)?)
        .bind(i64::from(limit) + 1)
        .bind(filter.role.map(Role::as_str))
        .bind(filter.disabled)
        .bind(filter.q.as_deref())
        .fetch_all(tx.conn())
        .await?;
    let members = rows.into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(page::page(members, limit, &list, |member: &Member| member.actor_id.0))
}

/// One member.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn get(tx: &mut Tx, actor: ActorId) -> Result<Member, StoreError> {
    let statement = format!("{COLUMNS} AND m.actor_id = $1");
    let row: Option<Row> =
        sqlx::query_as(sqlx::AssertSqlSafe(statement)).bind(actor.0).fetch_optional(tx.conn()).await?;
    row.map(read).transpose()?.ok_or(StoreError::NotFound("person"))
}

/// Whether somebody with this address is a member already, let in or not.
///
/// # Errors
/// [`StoreError::Away`].
pub async fn has_email(tx: &mut Tx, email: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM member WHERE org_id = current_org() AND email = lower($1))",
    )
    .bind(email)
    .fetch_one(tx.conn())
    .await?)
}

/// Gives somebody another role or other rooms. A role for the whole organisation brings all rooms.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Conflict`] for oneself; at the commit [`StoreError::Refused`] when
/// no owner would be left.
pub async fn change(tx: &mut Tx, actor: ActorId, change: &Change) -> Result<Member, StoreError> {
    let before = lock(tx, actor).await?;
    let role = change.role.unwrap_or(before.role);
    let workspaces = match &change.workspaces {
        _ if role.is_org_wide() => Workspaces::All,
        Some(workspaces) => workspaces.clone(),
        None => before.workspaces.clone(),
    };
    let (all, in_rooms) = rooms::stored(&workspaces);
    sqlx::query(
        "UPDATE member SET role = $2, all_workspaces = $3 WHERE org_id = current_org() AND actor_id = $1",
    )
    .bind(actor.0)
    .bind(role.as_str())
    .bind(all)
    .execute(tx.conn())
    .await?;
    sqlx::query("DELETE FROM member_workspace WHERE org_id = current_org() AND actor_id = $1")
        .bind(actor.0)
        .execute(tx.conn())
        .await?;
    put_into(tx, actor, &in_rooms).await?;
    let after = get(tx, actor).await?;
    tx.record(Entry::new("member.change", "member", actor).before(before.told()).after(after.told())).await?;
    Ok(after)
}

/// Lets somebody in no more, and ends their sessions here, which it answers. Twice is as good as once.
///
/// # Errors
/// As [`change`].
pub async fn disable(
    tx: &mut Tx,
    actor: ActorId,
    now: DateTime<Utc>,
) -> Result<(Member, Vec<SessionId>), StoreError> {
    let before = lock(tx, actor).await?;
    sqlx::query(
        "UPDATE member SET disabled_at = coalesce(disabled_at, $2)
         WHERE org_id = current_org() AND actor_id = $1",
    )
    .bind(actor.0)
    .bind(now)
    .execute(tx.conn())
    .await?;
    let ended = sessions::end_all_of_member(tx, actor, now).await?;
    let after = get(tx, actor).await?;
    tx.record(Entry::new("member.disable", "member", actor).before(before.told()).after(after.told()))
        .await?;
    Ok((after, ended))
}

/// Lets somebody in again; they sign in anew. Twice is as good as once.
///
/// # Errors
/// As [`change`].
pub async fn enable(tx: &mut Tx, actor: ActorId) -> Result<Member, StoreError> {
    let before = lock(tx, actor).await?;
    sqlx::query("UPDATE member SET disabled_at = NULL WHERE org_id = current_org() AND actor_id = $1")
        .bind(actor.0)
        .execute(tx.conn())
        .await?;
    let after = get(tx, actor).await?;
    tx.record(Entry::new("member.enable", "member", actor).before(before.told()).after(after.told())).await?;
    Ok(after)
}

/// Puts a member into rooms.
pub(super) async fn put_into(tx: &mut Tx, actor: ActorId, in_rooms: &[Uuid]) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO member_workspace (org_id, actor_id, workspace_id)
         SELECT current_org(), $1, room FROM unnest($2::uuid[]) AS room",
    )
    .bind(actor.0)
    .bind(in_rooms)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Reads a member whom nobody else changes until this transaction ends. Nobody changes themselves.
async fn lock(tx: &mut Tx, actor: ActorId) -> Result<Member, StoreError> {
    let there: Option<i32> =
        sqlx::query_scalar("SELECT 1 FROM member WHERE org_id = current_org() AND actor_id = $1 FOR UPDATE")
            .bind(actor.0)
            .fetch_optional(tx.conn())
            .await?;
    there.ok_or(StoreError::NotFound("person"))?;
    if tx.actor_id() == Some(actor) {
        return Err(StoreError::Conflict(
            "nobody changes their own role, workspaces or access; ask another owner",
        ));
    }
    get(tx, actor).await
}
