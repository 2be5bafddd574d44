//! API tokens: `cst_` and 43 base64url characters of 256 random bits. Only the SHA-256 is kept; the
//! secret itself is shown once, by [`create`].

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use domain::{ActorId, OrgId, Permissions, TokenId};
use rand::Rng;
use secrecy::SecretString;
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::audit::Entry;
use crate::people::{Page, page};
use crate::{Actor, Store, StoreError, Tx};

/// What every token starts with, so that scanners can find leaked ones.
pub const PREFIX: &str = "cst_";

/// A token at its birth: the only moment its secret is known.
#[derive(Debug)]
pub struct NewToken {
    /// Its id.
    pub token_id: TokenId,
    /// The actor it acts as.
    pub actor_id: ActorId,
    /// What to send as `Authorization: Bearer …`.
    pub secret: SecretString,
}

/// A token as listed.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its id.
    pub token_id: TokenId,
    /// The actor it acts as.
    pub actor_id: ActorId,
    /// Name for people.
    pub name: String,
    /// What it may do.
    pub scopes: Permissions,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops working by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last seen, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A token somebody showed.
#[derive(Clone, Debug)]
pub struct Presented {
    /// Its id.
    pub token_id: TokenId,
    /// Whom it lets in.
    pub actor: Actor,
    /// When it stops working by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// The SHA-256 of a presented token, or none when the text can't be a token.
#[must_use]
pub fn hash(secret: &str) -> Option<[u8; 32]> {
    let random = secret.strip_prefix(PREFIX)?;
    let shaped = random.len() == 43
        && random.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    shaped.then(|| Sha256::digest(secret.as_bytes()).into())
}

/// Makes a token and the actor it acts as.
///
/// # Errors
/// [`StoreError::Invalid`] for an empty or overlong name, no scopes, or an expiry in the past.
pub async fn create(
    tx: &mut Tx,
    name: &str,
    scopes: Permissions,
    expires_at: Option<DateTime<Utc>>,
) -> Result<NewToken, StoreError> {
    if expires_at.is_some_and(|at| at <= Utc::now()) {
        return Err(StoreError::Invalid { field: "expires_at", problem: "must lie in the future" });
    }
    let mut random = [0_u8; 32];
    rand::rng().fill_bytes(&mut random);
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let (token_id, actor_id) = (TokenId::new(), ActorId::new());
    sqlx::query("INSERT INTO actor (actor_id, org_id, kind, name) VALUES ($1, $2, 'token', $3)")
        .bind(actor_id.0)
        .bind(tx.org_id().0)
        .bind(name)
        .execute(tx.conn())
        .await?;
    sqlx::query(
        "INSERT INTO api_token (token_id, org_id, actor_id, name, token_hash, scopes, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(token_id.0)
    .bind(tx.org_id().0)
    .bind(actor_id.0)
    .bind(name)
    .bind(Sha256::digest(secret.as_bytes()).as_slice())
    .bind(scopes.words())
    .bind(expires_at)
    .execute(tx.conn())
    .await?;
    tx.record(
        Entry::new("token.create", "token", token_id)
            .after(json!({ "name": name, "scopes": scopes.words(), "expires_at": expires_at })),
    )
    .await?;
    Ok(NewToken { token_id, actor_id, secret: secret.into() })
}

/// Looks a presented token up by its hash, whatever its organisation. The caller checks the two times.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn look_up(store: &Store, hash: &[u8; 32]) -> Result<Option<Presented>, StoreError> {
    type Row = (Uuid, Uuid, Uuid, Vec<String>, Option<DateTime<Utc>>, Option<DateTime<Utc>>);
    let row: Option<Row> = sqlx::query_as(
        "SELECT token_id, org_id, actor_id, scopes, expires_at, revoked_at FROM api_token_lookup($1)",
    )
    .bind(hash.as_slice())
    .fetch_optional(store.pool())
    .await?;
    Ok(row.map(|(token_id, org_id, actor_id, scopes, expires_at, revoked_at)| Presented {
        token_id: TokenId(token_id),
        actor: Actor::token(OrgId(org_id), ActorId(actor_id), Permissions::from_stored(&scopes)),
        expires_at,
        revoked_at,
    }))
}

/// Notes that a token was used; writes at most once a minute.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn touch(store: &Store, org: OrgId, token: TokenId) -> Result<(), StoreError> {
    let mut tx = Tx::system(store, org, "note that a token was used").await?;
    sqlx::query(
        "UPDATE api_token SET last_used_at = now()
         WHERE token_id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')",
    )
    .bind(token.0)
    .execute(tx.conn())
    .await?;
    tx.commit_unrecorded("a time of last use").await
}

/// Stops a token for good. Processes that cache tokens notice within their cache's few seconds.
///
/// # Errors
/// [`StoreError::NotFound`] when this organisation has no such token.
pub async fn revoke(tx: &mut Tx, token: TokenId) -> Result<(), StoreError> {
    let done =
        sqlx::query("UPDATE api_token SET revoked_at = coalesce(revoked_at, now()) WHERE token_id = $1")
            .bind(token.0)
            .execute(tx.conn())
            .await?;
    if done.rows_affected() == 0 {
        return Err(StoreError::NotFound("token"));
    }
    tx.record(Entry::new("token.revoke", "token", token)).await?;
    Ok(())
}

type Row = (
    Uuid,
    Uuid,
    String,
    Vec<String>,
    DateTime<Utc>,
    Option<DateTime<Utc>>,
    Option<DateTime<Utc>>,
    Option<DateTime<Utc>>,
);

fn read(row: Row) -> Token {
    let (token_id, actor_id, name, scopes, created_at, expires_at, revoked_at, last_used_at) = row;
    Token {
        token_id: TokenId(token_id),
        actor_id: ActorId(actor_id),
        name,
        scopes: Permissions::from_stored(&scopes),
        created_at,
        expires_at,
        revoked_at,
        last_used_at,
    }
}

/// The organisation's tokens, newest first; a thousand at most.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn list(tx: &mut Tx) -> Result<Vec<Token>, StoreError> {
    Ok(page(tx, None, 1000).await?.items)
}

/// One page of them.
///
/// # Errors
/// [`StoreError::BadCursor`], [`StoreError::Away`].
pub async fn page(tx: &mut Tx, cursor: Option<&str>, limit: u16) -> Result<Page<Token>, StoreError> {
    const LIST: &str = "tokens";
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT token_id, actor_id, name, scopes, created_at, expires_at, revoked_at, last_used_at
         FROM api_token WHERE org_id = current_org() AND ($1::uuid IS NULL OR token_id < $1)
         ORDER BY token_id DESC LIMIT $2",
    )
    .bind(page::before(cursor, LIST)?)
    .bind(i64::from(limit) + 1)
    .fetch_all(tx.conn())
    .await?;
    let items = rows.into_iter().map(read).collect();
    Ok(page::page(items, limit, LIST, |token: &Token| token.token_id.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_token_is_hashed() {
        assert!(hash(&format!("cst_{}", "a".repeat(43))).is_some());
        for text in [
            "",
            "cst_",
            "abc",
            &"a".repeat(47),
            &format!("cst_{}!", "a".repeat(42)),
            &format!("cst_{}", "é".repeat(43)),
        ] {
            assert!(hash(text).is_none(), "{text}");
        }
    }
}
