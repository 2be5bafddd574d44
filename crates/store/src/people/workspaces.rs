//! The rooms themselves.

use chrono::{DateTime, Utc};
use domain::WorkspaceId;
use serde_json::json;
use uuid::Uuid;

use super::page::{self, Page};
use crate::audit::Entry;
use crate::{StoreError, Tx};

/// A room.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// Its id.
    pub workspace_id: WorkspaceId,
    /// Short name, unique in the organisation.
    pub slug: String,
    /// Name for people.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

type Row = (Uuid, String, String, DateTime<Utc>);

fn read((id, slug, name, created_at): Row) -> Workspace {
    Workspace { workspace_id: WorkspaceId(id), slug, name, created_at }
}

/// The rooms that are seen, newest first.
///
/// # Errors
/// [`StoreError::BadCursor`], [`StoreError::Away`].
pub async fn list(tx: &mut Tx, cursor: Option<&str>, limit: u16) -> Result<Page<Workspace>, StoreError> {
    const LIST: &str = "workspaces";
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT workspace_id, slug, name, created_at FROM workspace
         WHERE org_id = current_org() AND ($1::uuid IS NULL OR workspace_id < $1)
         ORDER BY workspace_id DESC LIMIT $2",
    )
    .bind(page::before(cursor, LIST)?)
    .bind(i64::from(limit) + 1)
    .fetch_all(tx.conn())
    .await?;
    let items = rows.into_iter().map(read).collect();
    Ok(page::page(items, limit, LIST, |workspace: &Workspace| workspace.workspace_id.0))
}

/// Makes a room.
///
/// # Errors
/// [`StoreError::Conflict`] when the slug is taken, [`StoreError::Invalid`] for a bad slug or name.
pub async fn create(tx: &mut Tx, slug: &str, name: &str) -> Result<Workspace, StoreError> {
    check_name(name)?;
    let row: Row = sqlx::query_as(
        "INSERT INTO workspace (workspace_id, org_id, slug, name) VALUES ($1, $2, $3, $4)
         RETURNING workspace_id, slug, name, created_at",
    )
    .bind(WorkspaceId::new().0)
    .bind(tx.org_id().0)
    .bind(slug)
    .bind(name)
    .fetch_one(tx.conn())
    .await?;
    let made = read(row);
    let entry = Entry::new("workspace.create", "workspace", made.workspace_id)
        .workspace(Some(made.workspace_id))
        .after(json!({ "slug": made.slug, "name": made.name }));
    tx.record(entry).await?;
    Ok(made)
}

/// Gives a room another name; its slug stays.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Invalid`] for a bad name.
pub async fn rename(tx: &mut Tx, workspace: WorkspaceId, name: &str) -> Result<Workspace, StoreError> {
    check_name(name)?;
    let before: Option<String> =
        sqlx::query_scalar("SELECT name FROM workspace WHERE workspace_id = $1 FOR UPDATE")
            .bind(workspace.0)
            .fetch_optional(tx.conn())
            .await?;
    let before = before.ok_or(StoreError::NotFound("workspace"))?;
    let row: Row = sqlx::query_as(
        "UPDATE workspace SET name = $2 WHERE workspace_id = $1
         RETURNING workspace_id, slug, name, created_at",
    )
    .bind(workspace.0)
    .bind(name)
    .fetch_one(tx.conn())
    .await?;
    let entry = Entry::new("workspace.rename", "workspace", workspace)
        .workspace(Some(workspace))
        .before(json!({ "name": before }))
        .after(json!({ "name": name }));
    tx.record(entry).await?;
    Ok(read(row))
}

/// One line of text, for people.
pub(super) fn check_name(name: &str) -> Result<(), StoreError> {
    let fits = !name.trim().is_empty() && name.chars().count() <= 200 && !name.chars().any(char::is_control);
    if fits {
        return Ok(());
    }
    Err(StoreError::Invalid {
        field: "name",
        problem: "must have 1 to 200 characters on one line, not only blanks",
    })
}
