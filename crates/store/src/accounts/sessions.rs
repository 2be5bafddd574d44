//! Sessions: one sign-in on one device, found by the SHA-256 of its token.
//!
//! The token itself is made and forgotten by the caller.

use std::net::IpAddr;

use chrono::{DateTime, Duration, Utc};
use domain::{AccountId, ActorId, OrgId, SessionId};
use serde_json::json;
use uuid::Uuid;

use super::rooms_of;
use crate::audit::Entry;
use crate::{AccountTx, Actor, InSession, Store, StoreError, Tx};

/// A session ends this long after it began, whatever happens.
pub const LIFE: Duration = Duration::days(30);

/// A session that was not used for this long is over.
pub const IDLE: Duration = Duration::days(14);

/// A session to begin; the transaction's actor acts in it already.
#[derive(Clone, Debug)]
pub struct NewSession<'a> {
    /// SHA-256 of its token.
    pub token_hash: [u8; 32],
    /// The browser's name for itself; cut to 300 characters.
    pub user_agent: Option<&'a str>,
    /// Whether a second factor was shown.
    pub second_factor: bool,
    /// How the person got in: `password`, `oidc`, `invitation`, `switch`.
    pub how: &'static str,
}

/// A session somebody showed.
#[derive(Clone, Debug)]
pub struct Presented {
    /// The person in it, in it.
    pub actor: Actor,
    /// Whose sign-in.
    pub account_id: AccountId,
    /// Its id.
    pub session_id: SessionId,
    /// SHA-256 of its token.
    pub token_hash: [u8; 32],
    /// When it was last used, to the minute.
    pub last_seen_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// When it was ended.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When a second factor was last shown again.
    pub step_up_at: Option<DateTime<Utc>>,
    /// Whether it began with a second factor.
    pub second_factor: bool,
    /// The account or the membership may not act.
    pub disabled: bool,
}

impl Presented {
    /// Whether it lets anybody in.
    #[must_use]
    pub fn lives(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && !self.disabled && now < self.expires_at && now < self.last_seen_at + IDLE
    }
}

/// A session as listed.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id.
    pub session_id: SessionId,
    /// The organisation it acts in.
    pub org_id: OrgId,
    /// As whom.
    pub actor_id: ActorId,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    pub last_seen_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// Where it began.
    pub address: Option<IpAddr>,
    /// The browser's name for itself.
    pub user_agent: Option<String>,
    /// Whether it began with a second factor.
    pub second_factor: bool,
}

/// Finds a session by the SHA-256 of its token or by its id, in one round trip. The caller asks
/// [`Presented::lives`].
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn look_up(
    store: &Store,
    hash: Option<&[u8; 32]>,
    id: Option<SessionId>,
) -> Result<Option<Presented>, StoreError> {
    type Row = (
        Uuid,
        Vec<u8>,
        Uuid,
        Uuid,
        Uuid,
        String,
        bool,
        Vec<Uuid>,
        DateTime<Utc>,
        DateTime<Utc>,
        Option<DateTime<Utc>>,
        Option<DateTime<Utc>>,
        bool,
        bool,
    );
    let row: Option<Row> = sqlx::query_as(
        "SELECT session_id, token_hash, account_id, org_id, actor_id, role, all_workspaces, workspaces,
                last_seen_at, expires_at, revoked_at, step_up_at, second_factor, disabled
         FROM session_lookup($1, $2)",
    )
    .bind(hash.map(<[u8; 32]>::as_slice))
    .bind(id.map(|id| id.0))
    .fetch_optional(store.pool())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (id, hash, account, org, actor, role, all, rooms, last_seen_at, expires_at, ..) = row;
    let (.., revoked_at, step_up_at, second_factor, disabled) = row;
    let (Ok(role), Ok(token_hash)) = (role.parse(), <[u8; 32]>::try_from(hash)) else { return Ok(None) };
    let (account_id, session_id) = (AccountId(account), SessionId(id));
    let mut actor = Actor::person(OrgId(org), ActorId(actor), role, rooms_of(all, rooms));
    actor.session = Some(InSession { account_id, session_id });
    Ok(Some(Presented {
        actor,
        account_id,
        session_id,
        token_hash,
        last_seen_at,
        expires_at,
        revoked_at,
        step_up_at,
        second_factor,
        disabled,
    }))
}

/// Begins the session that the transaction's actor is in; answers when it ends by itself.
///
/// # Errors
/// [`StoreError::NotFound`] when the actor has no session.
pub async fn begin(
    tx: &mut Tx,
    actor: &Actor,
    new: &NewSession<'_>,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, StoreError> {
    let within = actor.session.ok_or(StoreError::NotFound("session"))?;
    let expires_at = now + LIFE;
    let user_agent: Option<String> = new.user_agent.map(|name| name.chars().take(300).collect());
    sqlx::query(
        "INSERT INTO session (session_id, org_id, account_id, actor_id, token_hash, created_at, last_seen_at,
                              expires_at, address, user_agent, second_factor)
         VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8::inet, $9, $10)",
    )
    .bind(within.session_id.0)
    .bind(actor.org_id.0)
    .bind(within.account_id.0)
    .bind(actor.actor_id.0)
    .bind(new.token_hash.as_slice())
    .bind(now)
    .bind(expires_at)
    .bind(actor.origin.address.map(|address| address.to_string()))
    .bind(user_agent)
    .bind(new.second_factor)
    .execute(tx.conn())
    .await?;
    tx.record(
        Entry::new("session.start", "session", within.session_id)
            .after(json!({ "how": new.how, "second_factor": new.second_factor })),
    )
    .await?;
    Ok(expires_at)
}

/// Notes that a session is in use.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn touch(
    store: &Store,
    account: AccountId,
    session: SessionId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut tx = AccountTx::open(store, account).await?;
    sqlx::query("UPDATE session SET last_seen_at = greatest(last_seen_at, $2) WHERE session_id = $1")
        .bind(session.0)
        .bind(now)
        .execute(tx.conn())
        .await?;
    tx.commit().await
}

/// Notes that a second factor was shown again in the transaction's own session.
///
/// # Errors
/// [`StoreError::NotFound`] when the transaction is in none.
pub async fn step_up(tx: &mut Tx, now: DateTime<Utc>) -> Result<(), StoreError> {
    let done: Option<Uuid> = sqlx::query_scalar(
        "UPDATE session SET step_up_at = $1 WHERE session_id = current_session() RETURNING session_id",
    )
    .bind(now)
    .fetch_optional(tx.conn())
    .await?;
    let session = done.ok_or(StoreError::NotFound("session"))?;
    tx.record(Entry::new("session.step_up", "session", session)).await?;
    Ok(())
}

/// Ends one session of the transaction's account, or of the organisation for whoever looks after its people.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such living session to be seen.
pub async fn end(tx: &mut Tx, session: SessionId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let ended =
        sqlx::query("UPDATE session SET revoked_at = $2 WHERE session_id = $1 AND revoked_at IS NULL")
            .bind(session.0)
            .bind(now)
            .execute(tx.conn())
            .await?;
    if ended.rows_affected() == 0 {
        return Err(StoreError::NotFound("session"));
    }
    tx.record(Entry::new("session.end", "session", session)).await?;
    Ok(())
}

/// Ends one session of the transaction's own account, never somebody else's.
///
/// # Errors
/// [`StoreError::NotFound`] when the account has no such living session.
pub async fn end_own(tx: &mut Tx, session: SessionId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let own: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM session WHERE session_id = $1 AND account_id = current_account())",
    )
    .bind(session.0)
    .fetch_one(tx.conn())
    .await?;
    if own { end(tx, session, now).await } else { Err(StoreError::NotFound("session")) }
}

/// Ends every session of the transaction's account, in whatever organisation, except `keep`; answers which.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn end_all_of_account(
    tx: &mut Tx,
    keep: Option<SessionId>,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>, StoreError> {
    let ended: Vec<Uuid> = sqlx::query_scalar(
        "UPDATE session SET revoked_at = $2
         WHERE account_id = current_account() AND revoked_at IS NULL AND session_id IS DISTINCT FROM $1
         RETURNING session_id",
    )
    .bind(keep.map(|id| id.0))
    .bind(now)
    .fetch_all(tx.conn())
    .await?;
    record_ended(tx, &ended).await?;
    Ok(ended.into_iter().map(SessionId).collect())
}

/// Ends every session of one of the organisation's members there; answers which.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn end_all_of_member(
    tx: &mut Tx,
    member: ActorId,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>, StoreError> {
    let ended: Vec<Uuid> = sqlx::query_scalar(
        "UPDATE session SET revoked_at = $2
         WHERE org_id = current_org() AND actor_id = $1 AND revoked_at IS NULL RETURNING session_id",
    )
    .bind(member.0)
    .bind(now)
    .fetch_all(tx.conn())
    .await?;
    record_ended(tx, &ended).await?;
    Ok(ended.into_iter().map(SessionId).collect())
}

async fn record_ended(tx: &mut Tx, ended: &[Uuid]) -> Result<(), StoreError> {
    for session in ended {
        tx.record(Entry::new("session.end", "session", session)).await?;
    }
    Ok(())
}

/// The living sessions of the transaction's account, the newest first.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn list_of_account(tx: &mut Tx, now: DateTime<Utc>) -> Result<Vec<Session>, StoreError> {
    list(tx, "account_id = current_account()", None, now).await
}

/// The living sessions of one member in the organisation, the newest first.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn list_of_member(
    tx: &mut Tx,
    member: ActorId,
    now: DateTime<Utc>,
) -> Result<Vec<Session>, StoreError> {
    list(tx, "org_id = current_org()", Some(member), now).await
}

async fn list(
    tx: &mut Tx,
    whose: &'static str,
    member: Option<ActorId>,
    now: DateTime<Utc>,
) -> Result<Vec<Session>, StoreError> {
    type Row =
        (Uuid, Uuid, Uuid, DateTime<Utc>, DateTime<Utc>, DateTime<Utc>, Option<String>, Option<String>, bool);
    let statement = format!(
        "SELECT session_id, org_id, actor_id, created_at, last_seen_at, expires_at, host(address), user_agent,
                second_factor
         FROM session
         WHERE {whose} AND revoked_at IS NULL AND expires_at > $1 AND last_seen_at > $2
               AND ($3::uuid IS NULL OR actor_id = $3)
         ORDER BY session_id DESC LIMIT 200"
    );
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .bind(now)
        .bind(now - IDLE)
        .bind(member.map(|id| id.0))
        .fetch_all(tx.conn())
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let (
                session,
                org,
                actor,
                created_at,
                last_seen_at,
                expires_at,
                address,
                user_agent,
                second_factor,
            ) = row;
            Session {
                session_id: SessionId(session),
                org_id: OrgId(org),
                actor_id: ActorId(actor),
                created_at,
                last_seen_at,
                expires_at,
                address: address.and_then(|address| address.parse().ok()),
                user_agent,
                second_factor,
            }
        })
        .collect())
}

/// Records a refused sign-in to an account that exists, in the first organisation it belongs to.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn record_refusal(
    store: &Store,
    org: OrgId,
    account: AccountId,
    origin: &crate::Origin,
) -> Result<(), StoreError> {
    let mut tx = Tx::system(store, org, "record a refused sign-in").await?.from(origin);
    tx.record(Entry::new("session.refuse", "account", account)).await?;
    tx.commit().await
}
