//! Transactions that know whom they are for.

use domain::{ActorId, OrgId};
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};

use crate::{Scopes, Store, StoreError};

/// Somebody who was let in: which organisation, who, and what they may do.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The organisation acted in.
    pub org_id: OrgId,
    /// Who acts.
    pub actor_id: ActorId,
    /// What they may do.
    pub scopes: Scopes,
}

/// An open transaction of one organisation. Dropped without [`Tx::commit`], it is rolled back.
pub struct Tx {
    inner: Transaction<'static, Postgres>,
    org_id: OrgId,
    actor_id: Option<ActorId>,
}

impl Tx {
    /// Opens a transaction that may read and write what `actor` may see.
    ///
    /// # Errors
    /// [`StoreError::Away`] when PostgreSQL can't be reached.
    pub async fn for_actor(store: &Store, actor: &Actor) -> Result<Self, StoreError> {
        Self::open(store, "BEGIN", actor.org_id, Some(actor.actor_id)).await
    }

    /// Opens a transaction that may only read what `actor` may see, all of it as of one moment.
    ///
    /// # Errors
    /// [`StoreError::Away`] when PostgreSQL can't be reached.
    pub async fn for_reader(store: &Store, actor: &Actor) -> Result<Self, StoreError> {
        Self::open(
            store,
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            actor.org_id,
            Some(actor.actor_id),
        )
        .await
    }

    /// Opens a transaction in which the platform itself acts inside one organisation. The reason is
    /// logged: it answers "who touched this?" where no actor can.
    ///
    /// # Errors
    /// [`StoreError::Away`] when PostgreSQL can't be reached.
    pub async fn system(store: &Store, org: OrgId, reason: &'static str) -> Result<Self, StoreError> {
        tracing::debug!(org_id = %org, reason, "system transaction");
        Self::open(store, "BEGIN", org, None).await
    }

    async fn open(
        store: &Store,
        begin: &'static str,
        org_id: OrgId,
        actor_id: Option<ActorId>,
    ) -> Result<Self, StoreError> {
        let actor = actor_id.map(|id| id.to_string()).unwrap_or_default();
        // One round trip. Both values are printed UUIDs, so nothing of a caller's can get into the text.
        let statement = format!(
            "{begin}; SELECT set_config('countersign.org', '{org_id}', true), \
             set_config('countersign.actor', '{actor}', true)"
        );
        let inner = store.pool().begin_with(AssertSqlSafe(statement)).await?;
        Ok(Self { inner, org_id, actor_id })
    }

    /// The open connection, for functions of other crates that work inside a caller's transaction.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    /// The organisation it was opened for.
    #[must_use]
    pub fn org_id(&self) -> OrgId {
        self.org_id
    }

    /// Who it was opened for; none for the platform itself.
    #[must_use]
    pub fn actor_id(&self) -> Option<ActorId> {
        self.actor_id
    }

    /// Makes everything done in it last.
    ///
    /// # Errors
    /// [`StoreError::Away`] when PostgreSQL went away: the changes may or may not have lasted.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.inner.commit().await?;
        Ok(())
    }
}
