//! Endpoints: made, changed, rested. Their secrets come sealed.

use chrono::{DateTime, Utc};
use domain::{HookEndpointId, OrgId, WorkspaceId};
use serde_json::json;
use uuid::Uuid;

use crate::audit::Entry;
use crate::{Store, StoreError, Tx};

/// Most endpoints of one answer.
const MOST: i64 = 1000;

/// An address at which one provider's webhooks arrive, without its secrets.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Endpoint {
    /// Its id, part of the address.
    pub hook_endpoint_id: Uuid,
    /// The room it belongs to; none: the whole organisation.
    pub workspace_id: Option<Uuid>,
    /// How its signatures read.
    pub provider: String,
    /// Name for people.
    pub name: String,
    /// Secrets it takes now: two while one is being exchanged.
    pub secrets: i32,
    /// How far a signed time may lie from now, in seconds.
    pub tolerance_s: i32,
    /// Where what arrived is sent on to.
    pub forward_url: Option<String>,
    /// Whether it takes anything.
    pub enabled: bool,
    /// Who made it.
    pub created_by: Option<Uuid>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub changed_at: DateTime<Utc>,
    /// When it last got a secret.
    pub secret_changed_at: DateTime<Utc>,
    /// When something last arrived.
    pub last_event_at: Option<DateTime<Utc>>,
}

/// An endpoint to make.
pub struct NewEndpoint {
    /// Its id: part of what the secret's seal is bound to, so chosen before.
    pub endpoint_id: HookEndpointId,
    /// The room it belongs to; none: the whole organisation.
    pub workspace_id: Option<WorkspaceId>,
    /// How its signatures read.
    pub provider: String,
    /// Name for people.
    pub name: String,
    /// The sealed secret.
    pub secret_sealed: Vec<u8>,
    /// How far a signed time may lie from now, in seconds.
    pub tolerance_s: i32,
    /// Where what arrives is sent on to.
    pub forward_url: Option<String>,
}

/// What to change; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct EndpointPatch {
    /// Name for people.
    pub name: Option<String>,
    /// How far a signed time may lie from now, in seconds.
    pub tolerance_s: Option<i32>,
    /// Where what arrives is sent on to; inner none: nowhere.
    pub forward_url: Option<Option<String>>,
    /// Whether it takes anything.
    pub enabled: Option<bool>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT h.hook_endpoint_id, h.workspace_id, h.provider, h.name, cardinality(h.secrets_sealed) AS secrets,
                    h.tolerance_s, h.forward_url, h.enabled, h.created_by, h.created_at, h.changed_at,
                    h.secret_changed_at,
                    (SELECT e.received_at FROM hook_event e
                     WHERE e.org_id = h.org_id AND e.hook_endpoint_id = h.hook_endpoint_id
                     ORDER BY e.hook_event_id DESC LIMIT 1) AS last_event_at
             FROM hook_endpoint h WHERE h.org_id = current_org() ",
            $rest
        )
    };
}

/// What the audit log says of an endpoint: nothing of its secrets, and of the URL only where it leads.
fn told(endpoint: &Endpoint) -> serde_json::Value {
    let forward =
        endpoint.forward_url.as_deref().map(|url| url.split('/').take(3).collect::<Vec<_>>().join("/"));
    json!({
        "provider": endpoint.provider, "name": endpoint.name, "tolerance_s": endpoint.tolerance_s,
        "forwards_to": forward, "enabled": endpoint.enabled,
    })
}

/// The endpoints the caller sees, by name.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &mut Tx) -> Result<Vec<Endpoint>, StoreError> {
    Ok(sqlx::query_as(select!("ORDER BY h.name LIMIT $1")).bind(MOST).fetch_all(tx.conn()).await?)
}

/// One of them.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn endpoint(tx: &mut Tx, id: HookEndpointId) -> Result<Endpoint, StoreError> {
    let row =
        sqlx::query_as(select!("AND h.hook_endpoint_id = $1")).bind(id.0).fetch_optional(tx.conn()).await?;
    row.ok_or(StoreError::NotFound("endpoint"))
}

/// Makes an endpoint.
///
/// # Errors
/// [`StoreError::Conflict`] when the name is taken, [`StoreError::Invalid`] naming a field.
pub async fn create(tx: &mut Tx, new: NewEndpoint) -> Result<Endpoint, StoreError> {
    sqlx::query(
        "INSERT INTO hook_endpoint (hook_endpoint_id, org_id, workspace_id, provider, name, secrets_sealed,
                                    tolerance_s, forward_url, created_by)
         VALUES ($1, $2, $3, $4, $5, ARRAY[$6], $7, $8, $9)",
    )
    .bind(new.endpoint_id.0)
    .bind(tx.org_id().0)
    .bind(new.workspace_id.map(|room| room.0))
    .bind(&new.provider)
    .bind(&new.name)
    .bind(&new.secret_sealed)
    .bind(new.tolerance_s)
    .bind(&new.forward_url)
    .bind(tx.actor_id().map(|actor| actor.0))
    .execute(tx.conn())
    .await?;
    let made = endpoint(tx, new.endpoint_id).await?;
    tx.record(
        Entry::new("hook_endpoint.create", "hook_endpoint", new.endpoint_id)
            .workspace(new.workspace_id)
            .after(told(&made)),
    )
    .await?;
    Ok(made)
}

/// Changes an endpoint.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Conflict`], [`StoreError::Invalid`] naming a field.
pub async fn change(tx: &mut Tx, id: HookEndpointId, patch: &EndpointPatch) -> Result<Endpoint, StoreError> {
    let before = endpoint(tx, id).await?;
    sqlx::query(
        "UPDATE hook_endpoint SET name = coalesce($2, name), tolerance_s = coalesce($3, tolerance_s),
                forward_url = CASE WHEN $4 THEN $5 ELSE forward_url END, enabled = coalesce($6, enabled),
                changed_at = now()
         WHERE hook_endpoint_id = $1",
    )
    .bind(id.0)
    .bind(&patch.name)
    .bind(patch.tolerance_s)
    .bind(patch.forward_url.is_some())
    .bind(patch.forward_url.clone().flatten())
    .bind(patch.enabled)
    .execute(tx.conn())
    .await?;
    let now = endpoint(tx, id).await?;
    tx.record(
        Entry::new("hook_endpoint.change", "hook_endpoint", id)
            .workspace(now.workspace_id.map(WorkspaceId))
            .before(told(&before))
            .after(told(&now)),
    )
    .await?;
    Ok(now)
}

/// The sealed secrets of an endpoint, newest first, held until the transaction ends.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn sealed(tx: &mut Tx, id: HookEndpointId) -> Result<Vec<Vec<u8>>, StoreError> {
    let row: Option<Vec<Vec<u8>>> =
        sqlx::query_scalar("SELECT secrets_sealed FROM hook_endpoint WHERE hook_endpoint_id = $1 FOR UPDATE")
            .bind(id.0)
            .fetch_optional(tx.conn())
            .await?;
    row.ok_or(StoreError::NotFound("endpoint"))
}

/// Gives an endpoint these sealed secrets, newest first: one, or two while one is being exchanged.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn set_secrets(
    tx: &mut Tx,
    id: HookEndpointId,
    sealed: &[Vec<u8>],
) -> Result<Endpoint, StoreError> {
    let done = sqlx::query(
        "UPDATE hook_endpoint SET secrets_sealed = $2, secret_changed_at = now(), changed_at = now()
         WHERE hook_endpoint_id = $1",
    )
    .bind(id.0)
    .bind(sealed)
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Err(StoreError::NotFound("endpoint"));
    }
    let now = endpoint(tx, id).await?;
    tx.record(
        Entry::new("hook_endpoint.rotate_secret", "hook_endpoint", id)
            .workspace(now.workspace_id.map(WorkspaceId))
            .after(json!({ "name": now.name, "secrets": now.secrets })),
    )
    .await?;
    Ok(now)
}

/// The organisations that have endpoints, for whoever seals secrets anew.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn endpoint_orgs(store: &Store) -> Result<Vec<OrgId>, StoreError> {
    let orgs: Vec<Uuid> = sqlx::query_scalar("SELECT hook_endpoint_orgs()").fetch_all(store.pool()).await?;
    Ok(orgs.into_iter().map(OrgId).collect())
}

/// Seals the secrets of all of an organisation's endpoints anew; `anew` answers none for one that is current.
/// Answers how many were changed; the caller records that.
///
/// # Errors
/// What `anew` says, or [`StoreError`] through `E`.
pub async fn reseal<E: From<StoreError>>(
    tx: &mut Tx,
    mut anew: impl FnMut(HookEndpointId, &[u8]) -> Result<Option<Vec<u8>>, E>,
) -> Result<u64, E> {
    let rows: Vec<(Uuid, Vec<Vec<u8>>)> = sqlx::query_as(
        "SELECT hook_endpoint_id, secrets_sealed FROM hook_endpoint WHERE org_id = current_org()
         ORDER BY hook_endpoint_id FOR UPDATE",
    )
    .fetch_all(tx.conn())
    .await
    .map_err(StoreError::from)?;
    let mut changed = 0;
    for (id, mut sealed) in rows {
        let mut any = false;
        for secret in &mut sealed {
            if let Some(new) = anew(HookEndpointId(id), secret)? {
                *secret = new;
                any = true;
            }
        }
        if any {
            sqlx::query("UPDATE hook_endpoint SET secrets_sealed = $2 WHERE hook_endpoint_id = $1")
                .bind(id)
                .bind(&sealed)
                .execute(tx.conn())
                .await
                .map_err(StoreError::from)?;
            changed += 1;
        }
    }
    Ok(changed)
}
