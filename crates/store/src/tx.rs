//! Transactions that know whom they are for.
//!
//! Opening one tells PostgreSQL the organisation, the actor, what they are, what they may do and which
//! rooms they see; row-level security reads that. A transaction of an actor that changed something must say
//! what (see [`crate::audit`]) before it can be committed.

use std::fmt::Write as _;

use domain::{AccountId, ActorId, JobId, OrgId, Permissions, SessionId};
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};

use crate::actor::{Actor, Origin, Standing, Workspaces};
use crate::audit::Chainer;
use crate::{Store, StoreError};

/// An open transaction of one organisation. Dropped without [`Tx::commit`], it is rolled back.
pub struct Tx {
    inner: Transaction<'static, Postgres>,
    org_id: OrgId,
    who: Who,
    origin: Origin,
    job_id: Option<JobId>,
    /// An actor's transaction that must be recorded before it is committed.
    unrecorded: bool,
    chain: Chain,
}

/// Who links what was recorded, and whether anything was.
struct Chain {
    chainer: Chainer,
    poke: bool,
}

impl Chain {
    fn of(store: &Store) -> Self {
        Self { chainer: store.chainer().clone(), poke: false }
    }
}

/// Whose transaction it is, for the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) actor_id: Option<ActorId>,
    pub(crate) standing: Standing,
    pub(crate) session_id: Option<SessionId>,
}

const SYSTEM: Who = Who { actor_id: None, standing: Standing::System, session_id: None };
const WRITE: &str = "BEGIN";
const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

impl Tx {
    /// Opens a transaction that may read and write what `actor` may see.
    ///
    /// # Errors
    /// [`StoreError::Away`] when PostgreSQL can't be reached.
    pub async fn for_actor(store: &Store, actor: &Actor) -> Result<Self, StoreError> {
        Self::of(store, WRITE, actor).await
    }

    /// Opens a transaction that may only read what `actor` may see, all of it as of one moment.
    ///
    /// # Errors
    /// [`StoreError::Away`] when PostgreSQL can't be reached.
    pub async fn for_reader(store: &Store, actor: &Actor) -> Result<Self, StoreError> {
        Self::of(store, READ, actor).await
    }

    /// Opens a transaction in which the platform itself acts inside one organisation. The reason is
    /// logged: it answers "who touched this?" where no actor can.
    ///
    /// # Errors
    /// [`StoreError::Away`] when PostgreSQL can't be reached.
    pub async fn system(store: &Store, org: OrgId, reason: &'static str) -> Result<Self, StoreError> {
        tracing::debug!(org_id = %org, reason, "system transaction");
        let inner = begin(store, WRITE, &Context { org: Some(org), ..Context::SYSTEM }).await?;
        Ok(Self {
            inner,
            org_id: org,
            who: SYSTEM,
            origin: Origin::default(),
            job_id: None,
            unrecorded: false,
            chain: Chain::of(store),
        })
    }

    /// Opens a transaction in which a job acts inside its organisation; what it records names the job and
    /// whoever asked for it.
    ///
    /// # Errors
    /// [`StoreError::Away`] when PostgreSQL can't be reached.
    pub async fn for_job(
        store: &Store,
        org: OrgId,
        job: JobId,
        asked_by: Option<ActorId>,
    ) -> Result<Self, StoreError> {
        let mut tx = Self::system(store, org, "a job at work").await?;
        tx.job_id = Some(job);
        tx.who.actor_id = asked_by;
        Ok(tx)
    }

    async fn of(store: &Store, begin_with: &'static str, actor: &Actor) -> Result<Self, StoreError> {
        let context = Context {
            org: Some(actor.org_id),
            actor: Some(actor.actor_id),
            account: actor.session.map(|session| session.account_id),
            session: actor.session.map(|session| session.session_id),
            standing: actor.standing.as_str(),
            may: Some(actor.permissions),
            workspaces: Some(&actor.workspaces),
        };
        let inner = begin(store, begin_with, &context).await?;
        Ok(Self {
            inner,
            org_id: actor.org_id,
            who: Who {
                actor_id: Some(actor.actor_id),
                standing: actor.standing,
                session_id: actor.session.map(|session| session.session_id),
            },
            origin: actor.origin.clone(),
            job_id: None,
            unrecorded: begin_with == WRITE,
            chain: Chain::of(store),
        })
    }

    /// Says where a system transaction's action came from, for the audit log.
    #[must_use]
    pub fn from(mut self, origin: &Origin) -> Self {
        self.origin = origin.clone();
        self
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
        self.who.actor_id
    }

    pub(crate) fn who(&self) -> Who {
        self.who
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) fn job_id(&self) -> Option<JobId> {
        self.job_id
    }

    pub(crate) fn recorded(&mut self) {
        self.unrecorded = false;
        self.chain.poke = true;
    }

    /// Makes everything done in it last.
    ///
    /// # Errors
    /// [`StoreError::Unrecorded`] when an actor's change was not recorded in the audit log: nothing lasts.
    /// [`StoreError::Away`] when PostgreSQL went away: the changes may or may not have lasted.
    pub async fn commit(self) -> Result<(), StoreError> {
        if self.unrecorded {
            return Err(StoreError::Unrecorded);
        }
        self.inner.commit().await?;
        if self.chain.poke {
            self.chain.chainer.poke(self.org_id);
        }
        Ok(())
    }

    /// Commits what changed nothing that anybody would ask after, such as a time of last use.
    ///
    /// # Errors
    /// As [`Tx::commit`].
    pub async fn commit_unrecorded(mut self, why: &'static str) -> Result<(), StoreError> {
        tracing::trace!(why, "not recorded");
        self.unrecorded = false;
        self.commit().await
    }
}

/// An open transaction of one person's own sign-in, in no organisation: their account, their sessions.
pub struct AccountTx {
    inner: Transaction<'static, Postgres>,
    account_id: AccountId,
}

impl AccountTx {
    /// Opens a transaction that sees one account and what belongs to it.
    ///
    /// # Errors
    /// [`StoreError::Away`] when PostgreSQL can't be reached.
    pub async fn open(store: &Store, account: AccountId) -> Result<Self, StoreError> {
        let context = Context { account: Some(account), standing: "account", may: None, ..Context::SYSTEM };
        Ok(Self { inner: begin(store, WRITE, &context).await?, account_id: account })
    }

    /// The open connection.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    /// Whose it is.
    #[must_use]
    pub fn account_id(&self) -> AccountId {
        self.account_id
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

/// What PostgreSQL is told of a transaction.
struct Context<'a> {
    org: Option<OrgId>,
    actor: Option<ActorId>,
    account: Option<AccountId>,
    session: Option<SessionId>,
    standing: &'static str,
    may: Option<Permissions>,
    workspaces: Option<&'a Workspaces>,
}

impl Context<'_> {
    const SYSTEM: Self = Context {
        org: None,
        actor: None,
        account: None,
        session: None,
        standing: "system",
        may: Some(Permissions::EVERYTHING),
        workspaces: None,
    };
}

/// One round trip. Every value is a printed id or a word of ours, so nothing of a caller's can get into
/// the text.
async fn begin(
    store: &Store,
    begin_with: &'static str,
    context: &Context<'_>,
) -> Result<Transaction<'static, Postgres>, StoreError> {
    let mut statement =
        format!("{begin_with}; SELECT set_config('countersign.role', '{}', true)", context.standing);
    let mut set = |name: &str, value: String| {
        let _ = write!(statement, ", set_config('countersign.{name}', '{value}', true)");
    };
    set("org", context.org.map(|id| id.to_string()).unwrap_or_default());
    set("actor", context.actor.map(|id| id.to_string()).unwrap_or_default());
    set("account", context.account.map(|id| id.to_string()).unwrap_or_default());
    set("session", context.session.map(|id| id.to_string()).unwrap_or_default());
    set("may", context.may.map(Permissions::setting).unwrap_or_default());
    set("workspaces", context.workspaces.map_or_else(|| "*".to_owned(), Workspaces::setting));
    Ok(store.pool().begin_with(AssertSqlSafe(statement)).await?)
}
