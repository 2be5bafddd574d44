//! Password resets. The row is made when somebody asks; its token by the worker that mails it, so that no
//! link is ever in a job's payload.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Duration, Utc};
use domain::{AccountId, OrgId};
use rand::Rng;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::also_as;
use crate::audit::Entry;
use crate::{Store, StoreError, Tx};

/// A reset works this long after it was asked for.
pub const LIFE: Duration = Duration::hours(1);

/// What the mail needs.
#[derive(Debug)]
pub struct Minted {
    /// What the link carries; known nowhere else.
    pub token: SecretString,
    /// Where the mail goes.
    pub email: String,
    /// Whom it addresses.
    pub name: String,
    /// In which language.
    pub locale: String,
    /// Until when the link works.
    pub expires_at: DateTime<Utc>,
}

/// A reset somebody showed the token of.
#[derive(Clone, Debug)]
pub struct Presented {
    /// Its id.
    pub reset_id: Uuid,
    /// Whose mail job it was.
    pub org_id: OrgId,
    /// Whose password it sets.
    pub account_id: AccountId,
    /// That account's address.
    pub email: String,
    /// That account's name.
    pub name: String,
    expires_at: DateTime<Utc>,
    used_at: Option<DateTime<Utc>>,
}

impl Presented {
    /// Whether it still sets a password.
    #[must_use]
    pub fn works(&self, now: DateTime<Utc>) -> bool {
        self.used_at.is_none() && now < self.expires_at
    }
}

/// The SHA-256 of a presented token, or none when the text can't be one.
#[must_use]
pub fn hash(token: &str) -> Option<[u8; 32]> {
    let shaped = token.len() == 43
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    shaped.then(|| Sha256::digest(token.as_bytes()).into())
}

/// Makes a reset for an account, without a token yet. The transaction is the platform's.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn request(
    tx: &mut Tx,
    account: AccountId,
    locale: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Uuid, StoreError> {
    request_lasting(tx, account, locale, LIFE, now).await
}

/// The same for another span: an operator hands the link over in person.
///
/// # Errors
/// As [`request`].
pub async fn request_lasting(
    tx: &mut Tx,
    account: AccountId,
    locale: Option<&str>,
    life: Duration,
    now: DateTime<Utc>,
) -> Result<Uuid, StoreError> {
    let reset_id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO password_reset (reset_id, org_id, account_id, locale, created_at, expires_at)
         VALUES ($1, current_org(), $2, $3, $4, $5)",
    )
    .bind(reset_id)
    .bind(account.0)
    .bind(locale)
    .bind(now)
    .bind(now + life)
    .execute(tx.conn())
    .await?;
    tx.record(Entry::new("password_reset.request", "account", account)).await?;
    Ok(reset_id)
}

/// Makes the token for a mail that is about to be sent; one that was made before works no longer.
///
/// # Errors
/// [`StoreError::NotFound`] when the reset was used, has expired, or never was.
pub async fn mint(tx: &mut Tx, reset_id: Uuid, now: DateTime<Utc>) -> Result<Minted, StoreError> {
    let mut random = [0_u8; 32];
    rand::rng().fill_bytes(&mut random);
    let token = URL_SAFE_NO_PAD.encode(random);
    let row: Option<(Uuid, Option<String>, DateTime<Utc>)> = sqlx::query_as(
        "UPDATE password_reset SET token_hash = $2
         WHERE reset_id = $1 AND used_at IS NULL AND expires_at > $3
         RETURNING account_id, locale, expires_at",
    )
    .bind(reset_id)
    .bind(Sha256::digest(token.as_bytes()).as_slice())
    .bind(now)
    .fetch_optional(tx.conn())
    .await?;
    let (account, locale, expires_at) = row.ok_or(StoreError::NotFound("password reset that still works"))?;
    also_as(tx, AccountId(account)).await?;
    let account = super::get(tx).await?;
    Ok(Minted {
        token: token.into(),
        email: account.email,
        name: account.name,
        locale: locale.unwrap_or(account.locale),
        expires_at,
    })
}

/// Finds a reset by its token, whatever its organisation. The caller asks [`Presented::works`].
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn look_up(store: &Store, hash: &[u8; 32]) -> Result<Option<Presented>, StoreError> {
    type Row = (Uuid, Uuid, Uuid, String, String, DateTime<Utc>, Option<DateTime<Utc>>);
    let row: Option<Row> = sqlx::query_as(
        "SELECT reset_id, org_id, account_id, email, name, expires_at, used_at FROM password_reset_lookup($1)",
    )
    .bind(hash.as_slice())
    .fetch_optional(store.pool())
    .await?;
    Ok(row.map(|(reset_id, org, account, email, name, expires_at, used_at)| Presented {
        reset_id,
        org_id: OrgId(org),
        account_id: AccountId(account),
        email,
        name,
        expires_at,
        used_at,
    }))
}

/// Uses a reset up, and every other one of the same account with it: true once, also for two at the same
/// moment. The transaction is the platform's.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn take(tx: &mut Tx, reset: &Presented, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let taken = sqlx::query("UPDATE password_reset SET used_at = $2 WHERE reset_id = $1 AND used_at IS NULL")
        .bind(reset.reset_id)
        .bind(now)
        .execute(tx.conn())
        .await?;
    if taken.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query("UPDATE password_reset SET used_at = $2 WHERE account_id = $1 AND used_at IS NULL")
        .bind(reset.account_id.0)
        .bind(now)
        .execute(tx.conn())
        .await?;
    tx.record(Entry::new("password_reset.complete", "account", reset.account_id)).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_token_is_hashed() {
        assert!(hash(&"a".repeat(43)).is_some());
        for text in ["", "abc", &"a".repeat(44), &format!("{}!", "a".repeat(42))] {
            assert!(hash(text).is_none(), "{text}");
        }
    }
}
