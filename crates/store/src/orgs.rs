//! Organisations, their first workspace, and the actor as which the platform acts inside each.

use chrono::{DateTime, Utc};
use domain::{ActorId, OrgId, WorkspaceId};
use serde_json::json;

use crate::audit::Entry;
use crate::{Store, StoreError, Tx};

/// An organisation with what every organisation has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Org {
    /// Its id.
    pub org_id: OrgId,
    /// Short name for command lines and addresses.
    pub slug: String,
    /// Name for people.
    pub name: String,
    /// Its oldest workspace.
    pub workspace_id: WorkspaceId,
    /// The platform inside it.
    pub system_actor_id: ActorId,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// The id of the organisation with exactly this slug.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn find(store: &Store, slug: &str) -> Result<Option<OrgId>, StoreError> {
    let found: Option<uuid::Uuid> =
        sqlx::query_scalar("SELECT org_lookup($1)").bind(slug).fetch_one(store.pool()).await?;
    Ok(found.map(OrgId))
}

/// Makes an organisation with a workspace `main` and its system actor.
///
/// # Errors
/// [`StoreError::Conflict`] when the slug is taken, [`StoreError::Invalid`] for a bad slug or name.
pub async fn create(store: &Store, slug: &str, name: &str) -> Result<Org, StoreError> {
    let org_id = OrgId::new();
    let mut tx = Tx::system(store, org_id, "create an organisation").await?;
    sqlx::query("INSERT INTO org (org_id, slug, name) VALUES ($1, $2, $3)")
        .bind(org_id.0)
        .bind(slug)
        .bind(name)
        .execute(tx.conn())
        .await?;
    sqlx::query("INSERT INTO workspace (workspace_id, org_id, slug, name) VALUES ($1, $2, 'main', 'Main')")
        .bind(WorkspaceId::new().0)
        .bind(org_id.0)
        .execute(tx.conn())
        .await?;
    sqlx::query("INSERT INTO actor (actor_id, org_id, kind, name) VALUES ($1, $2, 'system', 'Countersign')")
        .bind(ActorId::new().0)
        .bind(org_id.0)
        .execute(tx.conn())
        .await?;
    let org = get(&mut tx).await?;
    tx.record(Entry::new("org.create", "org", org_id).after(json!({ "slug": slug, "name": name }))).await?;
    tx.commit().await?;
    Ok(org)
}

/// The organisation with this slug, made if there is none. Safe to call from several processes at once.
///
/// # Errors
/// As [`create`], except that a taken slug is the answer.
pub async fn ensure(store: &Store, slug: &str, name: &str) -> Result<Org, StoreError> {
    let found = match find(store, slug).await? {
        Some(org) => org,
        None => match create(store, slug, name).await {
            Err(StoreError::Conflict(_)) => {
                find(store, slug).await?.ok_or(StoreError::NotFound("organisation"))?
            }
            other => return other,
        },
    };
    get(&mut Tx::system(store, found, "look up an organisation").await?).await
}

/// The organisation the transaction was opened for.
///
/// # Errors
/// [`StoreError::NotFound`] when it does not exist.
pub async fn get(tx: &mut Tx) -> Result<Org, StoreError> {
    let row: Option<(uuid::Uuid, String, String, DateTime<Utc>, uuid::Uuid, uuid::Uuid)> = sqlx::query_as(
        "SELECT o.org_id, o.slug, o.name, o.created_at, w.workspace_id, a.actor_id
         FROM org o
         JOIN LATERAL (SELECT workspace_id FROM workspace WHERE org_id = o.org_id
                       ORDER BY created_at, workspace_id LIMIT 1) w ON true
         JOIN LATERAL (SELECT actor_id FROM actor WHERE org_id = o.org_id AND kind = 'system'
                       ORDER BY created_at, actor_id LIMIT 1) a ON true
         WHERE o.org_id = current_org()",
    )
    .fetch_optional(tx.conn())
    .await?;
    let (org, slug, name, created_at, workspace, actor) = row.ok_or(StoreError::NotFound("organisation"))?;
    Ok(Org {
        org_id: OrgId(org),
        slug,
        name,
        workspace_id: WorkspaceId(workspace),
        system_actor_id: ActorId(actor),
        created_at,
    })
}
