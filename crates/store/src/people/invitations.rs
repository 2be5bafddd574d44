//! Invitations: made by somebody, mailed by a worker, accepted once by whoever has the link.
//!
//! The token of a link is made where the mail is written ([`mint`]) and nowhere else; only its SHA-256 stays.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{AccountId, ActorId, InvitationId, JobId, OrgId, Role};
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::page::{self, Page};
use super::{joining, members, rooms, workspaces};
use crate::accounts::{self, Account, NewAccount};
use crate::audit::Entry;
use crate::{Origin, Store, StoreError, Tx, Workspaces};

/// How long an invitation may be accepted.
pub const LASTS: TimeDelta = TimeDelta::days(7);

/// Between two mails of one invitation.
const MAIL_PAUSE: TimeDelta = TimeDelta::minutes(1);

/// Where an invitation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It may be accepted.
    Open,
    /// It was.
    Accepted,
    /// Somebody withdrew it.
    Revoked,
    /// Nobody accepted it in time.
    Expired,
}

impl State {
    /// The word people read.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

/// An invitation as listed.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// Its id.
    pub invitation_id: InvitationId,
    /// Who is invited.
    pub email: String,
    /// As what.
    pub role: Role,
    /// Into which rooms.
    pub workspaces: Workspaces,
    /// Language of its mail.
    pub locale: String,
    /// Who invites.
    pub invited_by: Option<ActorId>,
    /// Their name.
    pub inviter: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops working by itself.
    pub expires_at: DateTime<Utc>,
    /// When it was accepted.
    pub accepted_at: Option<DateTime<Utc>>,
    /// When it was withdrawn.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl Invitation {
    /// Where it stands at `now`.
    #[must_use]
    pub fn state(&self, now: DateTime<Utc>) -> State {
        match (self.accepted_at, self.revoked_at) {
            (Some(_), _) => State::Accepted,
            (None, Some(_)) => State::Revoked,
            (None, None) if self.expires_at <= now => State::Expired,
            (None, None) => State::Open,
        }
    }
}

/// An invitation to make.
#[derive(Clone, Debug)]
pub struct NewInvitation<'a> {
    /// Its id.
    pub invitation_id: InvitationId,
    /// Who is invited; an address that was looked at.
    pub email: &'a str,
    /// As what.
    pub role: Role,
    /// Into which rooms, judged by [`rooms::judge`].
    pub workspaces: Workspaces,
    /// Language of the mail: `en`, `es`, `ne` or `ar`.
    pub locale: &'a str,
    /// The job that will mail it: no other may.
    pub job_id: JobId,
}

/// What the mail says.
#[derive(Debug)]
pub struct Minted {
    /// The link's token, for the mail alone.
    pub token: SecretString,
    /// The invitation.
    pub invitation: Invitation,
    /// The organisation's name.
    pub org_name: String,
}

/// What an invitation's link is for.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The invitation.
    pub invitation: Invitation,
    /// Into which organisation.
    pub org_id: OrgId,
    /// Its name.
    pub org_name: String,
    /// The account that the address has already.
    pub account: Option<AccountId>,
}

/// Who accepts.
#[derive(Clone, Copy, Debug)]
pub enum Entrant<'a> {
    /// Somebody without an account: a name and a hashed password.
    New {
        /// Name for people.
        name: &'a str,
        /// Argon2id as a PHC string.
        password_hash: &'a str,
    },
    /// The account that the address has, shown by its password or its session.
    Account(AccountId),
}

/// Somebody who came in.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    /// Where.
    pub org_id: OrgId,
    /// As whom.
    pub actor_id: ActorId,
    /// With which sign-in.
    pub account_id: AccountId,
}

/// Why an invitation can't be accepted.
#[derive(Debug, thiserror::Error)]
pub enum NotAccepted {
    /// No link of an invitation has this token, any more or ever.
    #[error("this link belongs to no invitation, or a newer mail replaced it; use the newest mail")]
    Unknown,
    /// It is not open.
    #[error("{}", ended(*.0))]
    Ended(State),
    /// The address has an account: its password is needed, not a new one.
    #[error("this address has an account already; accept with its password, or while signed in with it")]
    HasAccount,
    /// Somebody signed in as somebody else.
    #[error("this invitation is for another address; sign out and open the link again")]
    Somebodys,
    /// The address' account is shut.
    #[error("the account of this address is disabled; ask who runs this service")]
    Disabled,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn ended(state: State) -> &'static str {
    match state {
        State::Accepted => "this invitation was accepted already; sign in",
        State::Revoked => "this invitation was withdrawn; ask for a new one",
        State::Expired | State::Open => "this invitation has expired; ask for it to be sent again",
    }
}

type Row = (
    Uuid,
    String,
    String,
    bool,
    Vec<Uuid>,
    String,
    Option<Uuid>,
    Option<String>,
    DateTime<Utc>,
    DateTime<Utc>,
    Option<DateTime<Utc>>,
    Option<DateTime<Utc>>,
);

const COLUMNS: &str = "SELECT i.invitation_id, i.email, i.role, i.all_workspaces, i.workspaces, i.locale,
       i.invited_by, a.name, i.created_at, i.expires_at, i.accepted_at, i.revoked_at
  FROM invitation i LEFT JOIN actor a ON a.actor_id = i.invited_by
 WHERE i.org_id = current_org()";

fn read(row: Row) -> Result<Invitation, StoreError> {
    let (
        id,
        email,
        role,
        all,
        in_rooms,
        locale,
        by,
        inviter,
        created_at,
        expires_at,
        accepted_at,
        revoked_at,
    ) = row;
    Ok(Invitation {
        invitation_id: InvitationId(id),
        email,
        role: joining::stored_role(&role)?,
        workspaces: rooms::read(all, in_rooms),
        locale,
        invited_by: by.map(ActorId),
        inviter,
        created_at,
        expires_at,
        accepted_at,
        revoked_at,
    })
}

/// Makes an invitation. One that expired for the same address gives way.
///
/// # Errors
/// [`StoreError::Conflict`] when the address is a member's or has an open invitation.
pub async fn create(
    tx: &mut Tx,
    new: &NewInvitation<'_>,
    now: DateTime<Utc>,
) -> Result<Invitation, StoreError> {
    let email = new.email.to_lowercase();
    if members::has_email(tx, &email).await? {
        return Err(StoreError::Conflict(
            "somebody with this address belongs to the organisation already; change their role instead",
        ));
    }
    sqlx::query(
        "UPDATE invitation SET revoked_at = $2, token_hash = NULL
         WHERE org_id = current_org() AND email = $1 AND accepted_at IS NULL AND revoked_at IS NULL
           AND expires_at <= $2",
    )
    .bind(&email)
    .bind(now)
    .execute(tx.conn())
    .await?;
    let (all, ids) = rooms::stored(&new.workspaces);
    let invitation_id = new.invitation_id;
    sqlx::query(
        "INSERT INTO invitation (invitation_id, org_id, email, role, all_workspaces, workspaces, locale,
                                 invited_by, job_id, created_at, asked_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11)",
    )
    .bind(invitation_id.0)
    .bind(tx.org_id().0)
    .bind(&email)
    .bind(new.role.as_str())
    .bind(all)
    .bind(ids)
    .bind(new.locale)
    .bind(tx.actor_id().map(|actor| actor.0))
    .bind(new.job_id.0)
    .bind(now)
    .bind(now + LASTS)
    .execute(tx.conn())
    .await?;
    let entry = Entry::new("invitation.create", "invitation", invitation_id).job(new.job_id).after(json!({
        "email": email, "role": new.role.as_str(), "workspaces": rooms::told(&new.workspaces),
        "expires_at": now + LASTS,
    }));
    tx.record(entry).await?;
    get(tx, invitation_id).await
}

/// One invitation.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn get(tx: &mut Tx, invitation: InvitationId) -> Result<Invitation, StoreError> {
    let statement = format!("{COLUMNS} AND i.invitation_id = $1");
    let row: Option<Row> =
        sqlx::query_as(sqlx::AssertSqlSafe(statement)).bind(invitation.0).fetch_optional(tx.conn()).await?;
    row.map(read).transpose()?.ok_or(StoreError::NotFound("invitation"))
}

/// The invitations, newest first; in one state only where it is named.
///
/// # Errors
/// [`StoreError::BadCursor`], [`StoreError::Away`].
pub async fn list(
    tx: &mut Tx,
    state: Option<State>,
    now: DateTime<Utc>,
    cursor: Option<&str>,
    limit: u16,
) -> Result<Page<Invitation>, StoreError> {
    let list = format!("invitations?{state:?}");
    let statement = format!(
        "{COLUMNS} AND ($1::uuid IS NULL OR i.invitation_id < $1)
           AND ($3::text IS NULL OR $3 = CASE WHEN i.accepted_at IS NOT NULL THEN 'accepted'
                                              WHEN i.revoked_at IS NOT NULL THEN 'revoked'
                                              WHEN i.expires_at <= $4 THEN 'expired' ELSE 'open' END)
         ORDER BY i.invitation_id DESC LIMIT $2"
    );
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .bind(page::before(cursor, &list)?)
        .bind(i64::from(limit) + 1)
        .bind(state.map(State::as_str))
        .bind(now)
        .fetch_all(tx.conn())
        .await?;
    let items = rows.into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(page::page(items, limit, &list, |invitation: &Invitation| invitation.invitation_id.0))
}

/// Asks for another mail, by another job, and lets the invitation last anew. The link that is out ends now.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Conflict`] when it was accepted or withdrawn, or was mailed less than
/// a minute ago.
pub async fn resend(
    tx: &mut Tx,
    invitation: InvitationId,
    job: JobId,
    now: DateTime<Utc>,
) -> Result<Invitation, StoreError> {
    let (before, asked_at) = lock(tx, invitation).await?;
    match before.state(now) {
        State::Accepted => return Err(StoreError::Conflict("this invitation was accepted already")),
        State::Revoked => return Err(StoreError::Conflict("this invitation was withdrawn; make a new one")),
        State::Open | State::Expired => {}
    }
    if asked_at + MAIL_PAUSE > now {
        return Err(StoreError::Conflict("this invitation was mailed less than a minute ago; wait a minute"));
    }
    sqlx::query(
        "UPDATE invitation SET job_id = $2, token_hash = NULL, asked_at = $3, expires_at = $4
         WHERE org_id = current_org() AND invitation_id = $1",
    )
    .bind(invitation.0)
    .bind(job.0)
    .bind(now)
    .bind(now + LASTS)
    .execute(tx.conn())
    .await?;
    let entry = Entry::new("invitation.resend", "invitation", invitation)
        .job(job)
        .before(json!({ "expires_at": before.expires_at }))
        .after(json!({ "email": before.email, "expires_at": now + LASTS }));
    tx.record(entry).await?;
    get(tx, invitation).await
}

/// Withdraws an invitation; its link ends now. Twice is as good as once.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Conflict`] when it was accepted.
pub async fn revoke(tx: &mut Tx, invitation: InvitationId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let (before, _) = lock(tx, invitation).await?;
    if before.accepted_at.is_some() {
        return Err(StoreError::Conflict("this invitation was accepted already; disable the person instead"));
    }
    sqlx::query(
        "UPDATE invitation SET revoked_at = coalesce(revoked_at, $2)
         WHERE org_id = current_org() AND invitation_id = $1",
    )
    .bind(invitation.0)
    .bind(now)
    .execute(tx.conn())
    .await?;
    let entry = Entry::new("invitation.revoke", "invitation", invitation)
        .before(json!({ "email": before.email, "role": before.role.as_str() }));
    tx.record(entry).await?;
    Ok(())
}

/// Makes the token of an invitation's link, for the mail that is about to leave, and keeps its hash; a token
/// minted before ends. None when `job` is not the one that was asked for, or the invitation is not open: then
/// there is nothing to mail.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such invitation.
pub async fn mint(
    tx: &mut Tx,
    invitation: InvitationId,
    job: JobId,
    now: DateTime<Utc>,
) -> Result<Option<Minted>, StoreError> {
    let (found, _) = lock(tx, invitation).await?;
    if found.state(now) != State::Open {
        return Ok(None);
    }
    let token = new_token();
    let done = sqlx::query(
        "UPDATE invitation SET token_hash = $3
         WHERE org_id = current_org() AND invitation_id = $1 AND job_id = $2",
    )
    .bind(invitation.0)
    .bind(job.0)
    .bind(hash(&token).as_slice())
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(None);
    }
    tx.record(Entry::new("invitation.mail", "invitation", invitation).after(json!({ "email": found.email })))
        .await?;
    let org_name = org_name(tx).await?;
    Ok(Some(Minted { token, invitation: found, org_name }))
}

/// The SHA-256 of a shown token.
#[must_use]
pub fn hash(token: &SecretString) -> [u8; 32] {
    Sha256::digest(token.expose_secret().as_bytes()).into()
}

/// What the invitation with this link is for, whatever its state.
///
/// # Errors
/// [`NotAccepted::Unknown`], [`NotAccepted::Store`].
pub async fn look_up(store: &Store, hash: &[u8; 32]) -> Result<Shown, NotAccepted> {
    let (invitation, org_id) = find(store, hash).await?;
    let mut tx = Tx::system(store, org_id, "look at an invitation").await?;
    let invitation = get(&mut tx, invitation).await?;
    let org_name = org_name(&mut tx).await?;
    drop(tx);
    let account = accounts::find(store, &invitation.email).await?;
    Ok(Shown { invitation, org_id, org_name, account })
}

/// Lets somebody in by an invitation's link. Of many at once one comes in.
///
/// # Errors
/// [`NotAccepted`].
pub async fn accept(
    store: &Store,
    token_hash: &[u8; 32],
    entrant: Entrant<'_>,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<Joined, NotAccepted> {
    let (id, org_id) = find(store, token_hash).await?;
    let mut tx = Tx::system(store, org_id, "accept an invitation").await?.from(origin);
    let (invitation, _) = lock(&mut tx, id).await?;
    if !still_has(&mut tx, id, token_hash).await? {
        return Err(NotAccepted::Unknown);
    }
    let state = invitation.state(now);
    if state != State::Open {
        return Err(NotAccepted::Ended(state));
    }
    let account = account_of(&mut tx, &invitation, entrant, now).await?;
    let actor_id =
        joining::join(&mut tx, &account, invitation.role, &invitation.workspaces, "invitation").await?;
    sqlx::query(
        "UPDATE invitation SET accepted_at = $2, accepted_by = $3
         WHERE org_id = current_org() AND invitation_id = $1",
    )
    .bind(id.0)
    .bind(now)
    .bind(actor_id.0)
    .execute(tx.conn())
    .await
    .map_err(StoreError::from)?;
    let entry = Entry::new("invitation.accept", "invitation", id)
        .after(json!({ "email": invitation.email, "actor_id": actor_id }));
    tx.record(entry).await?;
    tx.commit().await?;
    Ok(Joined { org_id, actor_id, account_id: account.account_id })
}

async fn account_of(
    tx: &mut Tx,
    invitation: &Invitation,
    entrant: Entrant<'_>,
    now: DateTime<Utc>,
) -> Result<Account, NotAccepted> {
    let there = accounts::candidate_on(tx.conn(), &invitation.email).await?;
    match (entrant, there) {
        (Entrant::New { .. }, Some(_)) => return Err(NotAccepted::HasAccount),
        (Entrant::New { name, password_hash }, None) => {
            workspaces::check_name(name)?;
            let new = NewAccount {
                email: &invitation.email,
                name,
                locale: &invitation.locale,
                password_hash: Some(password_hash),
            };
            accounts::create(tx, &new, now).await?;
        }
        (Entrant::Account(shown), Some(there)) if there.account_id == shown => {
            if there.disabled {
                return Err(NotAccepted::Disabled);
            }
            accounts::also_as(tx, shown).await?;
        }
        (Entrant::Account(_), _) => return Err(NotAccepted::Somebodys),
    }
    Ok(accounts::get(tx).await?)
}

async fn find(store: &Store, hash: &[u8; 32]) -> Result<(InvitationId, OrgId), NotAccepted> {
    let found: Option<(Uuid, Uuid)> =
        sqlx::query_as("SELECT invitation_id, org_id FROM invitation_lookup($1)")
            .bind(hash.as_slice())
            .fetch_optional(store.pool())
            .await
            .map_err(StoreError::from)?;
    found.map(|(id, org)| (InvitationId(id), OrgId(org))).ok_or(NotAccepted::Unknown)
}

/// Reads an invitation that nobody else changes until this transaction ends, and when it was last mailed.
async fn lock(tx: &mut Tx, id: InvitationId) -> Result<(Invitation, DateTime<Utc>), StoreError> {
    let asked_at: Option<DateTime<Utc>> = sqlx::query_scalar(
        "SELECT asked_at FROM invitation WHERE org_id = current_org() AND invitation_id = $1 FOR UPDATE",
    )
    .bind(id.0)
    .fetch_optional(tx.conn())
    .await?;
    let asked_at = asked_at.ok_or(StoreError::NotFound("invitation"))?;
    Ok((get(tx, id).await?, asked_at))
}

/// A newer mail may have replaced the token between the look-up and the lock.
async fn still_has(tx: &mut Tx, id: InvitationId, token_hash: &[u8; 32]) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM invitation WHERE org_id = current_org() AND invitation_id = $1
                        AND token_hash = $2)",
    )
    .bind(id.0)
    .bind(token_hash.as_slice())
    .fetch_one(tx.conn())
    .await?)
}

async fn org_name(tx: &mut Tx) -> Result<String, StoreError> {
    Ok(sqlx::query_scalar("SELECT name FROM org WHERE org_id = current_org()").fetch_one(tx.conn()).await?)
}

fn new_token() -> SecretString {
    let mut random = [0_u8; 32];
    rand::rng().fill_bytes(&mut random);
    URL_SAFE_NO_PAD.encode(random).into()
}
