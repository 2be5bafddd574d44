//! Keeps the chains whole and signed: links what was left behind, and signs where each chain stands.
//!
//! Any number of keepers may run. Refuses to stop for an error: it is told and tried again.

use std::time::Duration;

use domain::OrgId;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::checkpoint::{Signer, checkpoint};
use crate::{Store, StoreError};

/// Entries linked in one transaction.
const MOST: i32 = 1000;

/// How often leftovers are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How often chains that have grown are signed.
const SIGN_EVERY: Duration = Duration::from_secs(60);

/// Links leftovers every second and signs every minute.
pub struct Keeper {
    store: Store,
    signer: Option<Signer>,
}

impl Keeper {
    /// A keeper; without a signer it only links.
    #[must_use]
    pub fn new(store: Store, signer: Option<Signer>) -> Self {
        Self { store, signer }
    }

    /// Works until told to stop; signs once more at the end.
    pub async fn run(self, stop: CancellationToken) {
        let mut signed = tokio::time::Instant::now();
        loop {
            let stopping = stop.is_cancelled();
            if let Err(error) = self.sweep().await {
                tracing::debug!(%error, "leftover audit entries were not linked");
            }
            if stopping || signed.elapsed() >= SIGN_EVERY {
                signed = tokio::time::Instant::now();
                if let Err(error) = self.sign().await {
                    tracing::warn!(%error, "audit checkpoints were not signed; trying again in a minute");
                }
            }
            if stopping {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(SWEEP_EVERY) => {}
            }
        }
    }

    /// Links whatever waits, of all organisations. One whose chain can't go on keeps nobody else waiting.
    ///
    /// # Errors
    /// The first [`StoreError`], once all were tried.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        for org in ids(self.store.pool(), "SELECT audit_waiting()").await? {
            outcome = outcome.and(self.link(org).await);
        }
        outcome
    }

    async fn link(&self, org: OrgId) -> Result<(), StoreError> {
        while let Some(false) = extend_once(self.store.pool(), org).await? {}
        Ok(())
    }

    /// Signs where every chain stands that has grown. Answers how many.
    ///
    /// # Errors
    /// The first [`StoreError`], once all were tried.
    pub async fn sign(&self) -> Result<usize, StoreError> {
        let Some(signer) = &self.signer else { return Ok(0) };
        let mut outcome = Ok(0);
        for org in ids(self.store.pool(), "SELECT audit_unsigned()").await? {
            let one = checkpoint(&self.store, org, signer).await;
            outcome = outcome.and_then(|signed| Ok(signed + usize::from(one?.is_some())));
        }
        outcome
    }
}

/// Every organisation that there is, or that the log knows.
///
/// # Errors
/// [`StoreError`].
pub async fn orgs(store: &Store) -> Result<Vec<OrgId>, StoreError> {
    ids(store.pool(), "SELECT audit_orgs()").await
}

/// Links everything that waits in one organisation, and waits for others who are at it.
///
/// # Errors
/// [`StoreError`].
pub async fn extend(store: &Store, org: OrgId) -> Result<(), StoreError> {
    loop {
        match extend_once(store.pool(), org).await? {
            Some(true) => return Ok(()),
            Some(false) => {}
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// One round. True: nothing is left; none: somebody else is at it.
pub(super) async fn extend_once(pool: &PgPool, org: OrgId) -> Result<Option<bool>, StoreError> {
    let linked: i32 =
        sqlx::query_scalar("SELECT audit_extend($1, $2)").bind(org.0).bind(MOST).fetch_one(pool).await?;
    Ok((linked >= 0).then_some(linked < MOST))
}

async fn ids(pool: &PgPool, query: &'static str) -> Result<Vec<OrgId>, StoreError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(query).fetch_all(pool).await?;
    Ok(ids.into_iter().map(OrgId).collect())
}
