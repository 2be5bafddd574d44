//! Checkpoints: signed statements of where a chain stood. Kept outside of the database they show what was
//! changed, or cut off, by somebody who could rewrite the whole chain.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Timelike, Utc};
use domain::OrgId;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use super::keeper::extend;
use crate::{Store, StoreError, Tx};

/// One checkpoint. Its JSON form is what is kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub struct Checkpoint {
    /// Whose chain.
    pub org_id: Uuid,
    /// The link it speaks of.
    pub seq: i64,
    /// That link's hash; hexadecimal in JSON.
    #[serde(with = "hex_text")]
    pub hash: Vec<u8>,
    /// When it was signed.
    pub at: DateTime<Utc>,
    /// The key that signed.
    pub key_id: String,
    /// Ed25519 signature of [`message`]; base64 in JSON.
    #[serde(with = "base64_text")]
    pub signature: Vec<u8>,
}

impl Checkpoint {
    /// What its signature must fit.
    #[must_use]
    pub fn message(&self) -> String {
        message(OrgId(self.org_id), self.seq, &self.hash, self.at)
    }
}

/// The text that is signed.
#[must_use]
pub fn message(org: OrgId, seq: i64, hash: &[u8], at: DateTime<Utc>) -> String {
    let at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
    format!("countersign-audit-checkpoint\n{org}\n{seq}\n{}\n{at}", hex::encode(hash))
}

/// Signs a message, or says why not.
type Sign = dyn Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync;

/// Signs checkpoints with a key that only its maker knows.
#[derive(Clone)]
pub struct Signer {
    key_id: String,
    sign: Arc<Sign>,
}

impl Signer {
    /// `sign` answers the 64 bytes of an Ed25519 signature of the bytes it is given.
    pub fn new(
        key_id: impl Into<String>,
        sign: impl Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync + 'static,
    ) -> Self {
        Self { key_id: key_id.into(), sign: Arc::new(sign) }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("key_id", &self.key_id).finish()
    }
}

/// Links what waits and signs where the chain stands. None: there is nothing that is not signed yet. What was
/// signed is logged as well: a log kept elsewhere is a witness.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Refused`] with the reason when the key does not sign.
pub async fn checkpoint(
    store: &Store,
    org: OrgId,
    signer: &Signer,
) -> Result<Option<Checkpoint>, StoreError> {
    extend(store, org).await?;
    let mut tx = Tx::system(store, org, "sign where the audit chain stands").await?;
    let head: Option<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT h.seq, h.hash FROM audit_head h WHERE h.org_id = current_org()
         AND h.seq > coalesce((SELECT max(c.seq) FROM audit_checkpoint c WHERE c.org_id = current_org()), 0)",
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some((seq, hash)) = head else { return Ok(None) };
    // As precise as the column.
    let now = Utc::now();
    let at = now.with_nanosecond(now.nanosecond() / 1000 * 1000).unwrap_or(now);
    let signature = (signer.sign)(message(org, seq, &hash, at).as_bytes())
        .map_err(|why| StoreError::Refused(format!("the audit checkpoint was not signed: {why}")))?;
    let signed = Checkpoint { org_id: org.0, seq, hash, at, key_id: signer.key_id.clone(), signature };
    let done = sqlx::query(
        "INSERT INTO audit_checkpoint (org_id, seq, hash, at, key_id, signature)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(org.0)
    .bind(seq)
    .bind(&signed.hash)
    .bind(at)
    .bind(&signed.key_id)
    .bind(&signed.signature)
    .execute(tx.conn())
    .await?;
    tx.commit().await?;
    if done.rows_affected() == 0 {
        // Another keeper signed the same place.
        return Ok(None);
    }
    tracing::info!(
        org_id = %org,
        seq,
        hash = hex::encode(&signed.hash),
        at = at.to_rfc3339_opts(SecondsFormat::Micros, true),
        key_id = signed.key_id,
        signature = STANDARD.encode(&signed.signature),
        "audit checkpoint"
    );
    Ok(Some(signed))
}

/// The newest checkpoints of the transaction's organisation, newest first, at most `limit`.
///
/// # Errors
/// [`StoreError`].
pub async fn checkpoints(
    tx: &mut Tx,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Checkpoint>, StoreError> {
    Ok(sqlx::query_as(
        "SELECT org_id, seq, hash, at, key_id, signature FROM audit_checkpoint
         WHERE org_id = current_org() AND seq < $1 ORDER BY seq DESC LIMIT $2",
    )
    .bind(before.unwrap_or(i64::MAX))
    .bind(limit)
    .fetch_all(tx.conn())
    .await?)
}

pub(super) mod hex_text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

mod base64_text {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
