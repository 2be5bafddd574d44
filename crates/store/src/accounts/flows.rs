//! A browser's way to an identity provider and back. The API writes what the worker needs, sealed; the worker
//! writes what it learnt.

use chrono::{DateTime, Duration, Utc};
use domain::OrgId;
use serde_json::Value;
use uuid::Uuid;

use crate::{Store, StoreError, Tx};

/// A browser may take this long.
pub const LIFE: Duration = Duration::minutes(10);

/// A flow to begin.
#[derive(Clone, Debug)]
pub struct NewFlow<'a> {
    /// Its id.
    pub flow_id: Uuid,
    /// SHA-256 of the state that comes back.
    pub state_hash: [u8; 32],
    /// SHA-256 of the cookie of the browser that leaves.
    pub browser_hash: [u8; 32],
    /// Nonce and PKCE verifier, sealed.
    pub sealed: &'a [u8],
    /// A path of ours.
    pub return_to: &'a str,
}

/// A flow as it stands.
#[derive(Clone)]
pub struct Flow {
    /// SHA-256 of the cookie of the browser that left.
    pub browser_hash: Vec<u8>,
    /// Nonce and PKCE verifier, sealed.
    pub sealed: Vec<u8>,
    /// A path of ours.
    pub return_to: String,
    /// When it is too late to come back.
    pub expires_at: DateTime<Utc>,
    /// Where the browser is sent.
    pub authorize_page: Option<Value>,
    /// The code it came back with, sealed.
    pub code_sealed: Option<Vec<u8>>,
    /// What the worker found: `{"identity": …}` or `{"fault": …}`.
    pub outcome: Option<Value>,
}

/// The organisation whose workers talk to the provider; none before there is any.
///
/// # Errors
/// As [`begin`].
pub async fn home(store: &Store) -> Result<Option<OrgId>, StoreError> {
    let home: Option<Uuid> = sqlx::query_scalar("SELECT oidc_home()").fetch_one(store.pool()).await?;
    Ok(home.map(OrgId))
}

/// Begins a flow. The transactions here are the platform's.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached. So for the other functions here.
pub async fn begin(tx: &mut Tx, new: &NewFlow<'_>, now: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO oidc_flow (flow_id, org_id, state_hash, browser_hash, sealed, return_to, created_at, expires_at)
         VALUES ($1, current_org(), $2, $3, $4, $5, $6, $7)",
    )
    .bind(new.flow_id)
    .bind(new.state_hash.as_slice())
    .bind(new.browser_hash.as_slice())
    .bind(new.sealed)
    .bind(new.return_to)
    .bind(now)
    .bind(now + LIFE)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Where a state belongs.
///
/// # Errors
/// As [`begin`].
pub async fn find(store: &Store, state_hash: &[u8; 32]) -> Result<Option<(Uuid, OrgId)>, StoreError> {
    let row: Option<(Uuid, Uuid)> = sqlx::query_as("SELECT flow_id, org_id FROM oidc_flow_lookup($1)")
        .bind(state_hash.as_slice())
        .fetch_optional(store.pool())
        .await?;
    Ok(row.map(|(flow, org)| (flow, OrgId(org))))
}

/// A flow of the transaction's organisation.
///
/// # Errors
/// [`StoreError::NotFound`] when there is none.
pub async fn get(tx: &mut Tx, flow_id: Uuid) -> Result<Flow, StoreError> {
    type Row = (Vec<u8>, Vec<u8>, String, DateTime<Utc>, Option<Value>, Option<Vec<u8>>, Option<Value>);
    let row: Option<Row> = sqlx::query_as(
        "SELECT browser_hash, sealed, return_to, expires_at, authorize_page, code_sealed, outcome
         FROM oidc_flow WHERE flow_id = $1",
    )
    .bind(flow_id)
    .fetch_optional(tx.conn())
    .await?;
    let (browser_hash, sealed, return_to, expires_at, authorize_page, code_sealed, outcome) =
        row.ok_or(StoreError::NotFound("sign-in under way"))?;
    Ok(Flow { browser_hash, sealed, return_to, expires_at, authorize_page, code_sealed, outcome })
}

/// Writes where the browser is to go.
///
/// # Errors
/// As [`begin`].
pub async fn set_authorize_page(tx: &mut Tx, flow_id: Uuid, page: &Value) -> Result<(), StoreError> {
    sqlx::query("UPDATE oidc_flow SET authorize_page = $2 WHERE flow_id = $1")
        .bind(flow_id)
        .bind(page)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Takes the browser back: true once, and only in time.
///
/// # Errors
/// As [`begin`].
pub async fn come_back(
    tx: &mut Tx,
    flow_id: Uuid,
    browser_hash: &[u8; 32],
    code_sealed: &[u8],
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE oidc_flow SET came_back_at = $3, code_sealed = $4
         WHERE flow_id = $1 AND browser_hash = $2 AND came_back_at IS NULL AND expires_at > $3",
    )
    .bind(flow_id)
    .bind(browser_hash.as_slice())
    .bind(now)
    .bind(code_sealed)
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes what the worker found; the first answer stays.
///
/// # Errors
/// As [`begin`].
pub async fn finish(tx: &mut Tx, flow_id: Uuid, outcome: &Value) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE oidc_flow SET outcome = $2, code_sealed = NULL WHERE flow_id = $1 AND outcome IS NULL",
    )
    .bind(flow_id)
    .bind(outcome)
    .execute(tx.conn())
    .await?;
    Ok(())
}
