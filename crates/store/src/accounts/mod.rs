//! Accounts and their sign-ins: passwords, second factors, sessions, resets, and how guessing is slowed.
//!
//! Refuses to hash or seal anything: it keeps what it is given. The time is the caller's too, so that tests
//! can set it.

pub mod devices;
pub mod flows;
pub mod identities;
pub mod resets;
pub mod second_factor;
pub mod sessions;
pub mod throttle;

use chrono::{DateTime, Utc};
use domain::{AccountId, ActorId, OrgId, Role, WorkspaceId};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::audit::Entry;
use crate::{Actor, Store, StoreError, Tx, Workspaces};

/// An account, as its own transactions see it.
#[derive(Clone)]
pub struct Account {
    /// Its id.
    pub account_id: AccountId,
    /// Where it gets mail; lower case.
    pub email: String,
    /// Name for people.
    pub name: String,
    /// Language: `en`, `es`, `ne` or `ar`.
    pub locale: String,
    /// Argon2id in PHC form; none before a first password is set.
    pub password_hash: Option<String>,
    /// The sealed seed of the second factor in force.
    pub totp_sealed: Option<Vec<u8>>,
    /// The sealed seed that was shown and not confirmed yet.
    pub totp_pending_sealed: Option<Vec<u8>>,
    /// May not sign in.
    pub disabled: bool,
}

/// What a sign-in is checked against.
#[derive(Clone)]
pub struct Candidate {
    /// Whose.
    pub account_id: AccountId,
    /// Argon2id in PHC form; none before a first password is set.
    pub password_hash: Option<String>,
    /// The sealed seed of the second factor, if there is one.
    pub totp_sealed: Option<Vec<u8>>,
    /// May not sign in.
    pub disabled: bool,
}

/// An account in one organisation.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The organisation.
    pub org_id: OrgId,
    /// Its short name.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// As whom the account acts there.
    pub actor_id: ActorId,
    /// What they are there.
    pub role: Role,
    /// What they see there.
    pub workspaces: Workspaces,
    /// May not act there.
    pub disabled: bool,
}

impl Membership {
    /// The person, without a session.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::person(self.org_id, self.actor_id, self.role, self.workspaces.clone())
    }
}

/// The account with this address, whatever its case.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached. So for the other functions here.
pub async fn find(store: &Store, email: &str) -> Result<Option<AccountId>, StoreError> {
    let found: Option<Uuid> =
        sqlx::query_scalar("SELECT account_lookup($1)").bind(email).fetch_one(store.pool()).await?;
    Ok(found.map(AccountId))
}

/// What to check a sign-in against; one round trip, whether there is such an account or not.
///
/// # Errors
/// As [`find`].
pub async fn candidate(store: &Store, email: &str) -> Result<Option<Candidate>, StoreError> {
    candidate_on(&mut *store.pool().acquire().await?, email).await
}

/// The same over a connection in hand: who holds a lock must not wait for a second connection.
pub(crate) async fn candidate_on(
    connection: &mut PgConnection,
    email: &str,
) -> Result<Option<Candidate>, StoreError> {
    type Row = (Uuid, Option<String>, Option<Vec<u8>>, bool);
    let row: Option<Row> = sqlx::query_as(
        "SELECT account_id, password_hash, totp_sealed, disabled FROM account_for_sign_in($1)",
    )
    .bind(email)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(account_id, password_hash, totp_sealed, disabled)| Candidate {
        account_id: AccountId(account_id),
        password_hash,
        totp_sealed,
        disabled,
    }))
}

/// The organisations an account belongs to, the first it joined first.
///
/// # Errors
/// As [`find`].
pub async fn memberships(store: &Store, account: AccountId) -> Result<Vec<Membership>, StoreError> {
    type Row = (Uuid, String, String, Uuid, String, bool, Vec<Uuid>, bool);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT org_id, slug, name, actor_id, role, all_workspaces, workspaces, disabled FROM account_orgs($1)",
    )
    .bind(account.0)
    .fetch_all(store.pool())
    .await?;
    // A role of a later version is one that this process can't judge: the person is let in by that one.
    let memberships = rows.into_iter().filter_map(|row| {
        let (org_id, slug, name, actor_id, role, all, rooms, disabled) = row;
        Some(Membership {
            org_id: OrgId(org_id),
            slug,
            name,
            actor_id: ActorId(actor_id),
            role: role.parse().ok()?,
            workspaces: rooms_of(all, rooms),
            disabled,
        })
    });
    Ok(memberships.collect())
}

fn rooms_of(all: bool, rooms: Vec<Uuid>) -> Workspaces {
    if all { Workspaces::All } else { Workspaces::Only(rooms.into_iter().map(WorkspaceId).collect()) }
}

/// Lets a transaction see one account too: for the platform, when it acts for somebody who is not signed in.
///
/// # Errors
/// As [`find`].
pub async fn also_as(tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
    sqlx::query("SELECT set_config('countersign.account', $1, true)")
        .bind(account.to_string())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The account that the transaction is for.
///
/// # Errors
/// [`StoreError::NotFound`] when the transaction is for nobody's account.
pub async fn get(tx: &mut Tx) -> Result<Account, StoreError> {
    type Row = (Uuid, String, String, String, Option<String>, Option<Vec<u8>>, Option<Vec<u8>>, bool);
    let row: Option<Row> = sqlx::query_as(
        "SELECT account_id, email, name, locale, password_hash, totp_sealed, totp_pending_sealed,
                disabled_at IS NOT NULL
         FROM account WHERE account_id = current_account()",
    )
    .fetch_optional(tx.conn())
    .await?;
    let (account_id, email, name, locale, password_hash, totp_sealed, totp_pending_sealed, disabled) =
        row.ok_or(StoreError::NotFound("account"))?;
    Ok(Account {
        account_id: AccountId(account_id),
        email,
        name,
        locale,
        password_hash,
        totp_sealed,
        totp_pending_sealed,
        disabled,
    })
}

/// An account to make.
#[derive(Clone, Debug)]
pub struct NewAccount<'a> {
    /// Where it gets mail; any case.
    pub email: &'a str,
    /// Name for people.
    pub name: &'a str,
    /// Language: `en`, `es`, `ne` or `ar`.
    pub locale: &'a str,
    /// Argon2id in PHC form.
    pub password_hash: Option<&'a str>,
}

/// Makes an account; the transaction is for it from then on (see [`also_as`]). Whoever makes it a member
/// records that.
///
/// # Errors
/// [`StoreError::Conflict`] when the address has one, [`StoreError::Invalid`] for a bad address or name.
pub async fn create(tx: &mut Tx, new: &NewAccount<'_>, now: DateTime<Utc>) -> Result<AccountId, StoreError> {
    let account_id = AccountId::new();
    also_as(tx, account_id).await?;
    sqlx::query(
        "INSERT INTO account (account_id, email, name, locale, password_hash, password_changed_at, created_at)
         VALUES ($1, lower($2), $3, $4, $5, CASE WHEN $5 IS NULL THEN NULL ELSE $6 END, $6)",
    )
    .bind(account_id.0)
    .bind(new.email)
    .bind(new.name)
    .bind(new.locale)
    .bind(new.password_hash)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(account_id)
}

/// Sets the password of the transaction's account. Who changed it is for the caller to record.
///
/// # Errors
/// As [`find`].
pub async fn set_password(tx: &mut Tx, hash: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE account SET password_hash = $1, password_changed_at = $2 WHERE account_id = current_account()",
    )
    .bind(hash)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes the same password hashed anew, unless it was changed meanwhile.
///
/// # Errors
/// As [`find`].
pub async fn rehash_password(tx: &mut Tx, from: &str, to: &str) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE account SET password_hash = $2 WHERE account_id = current_account() AND password_hash = $1",
    )
    .bind(from)
    .bind(to)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Changes name and language of the transaction's account; none leaves one as it is. The name that the
/// organisation sees changes with it.
///
/// # Errors
/// [`StoreError::Invalid`] for a name or a language that can't be.
pub async fn change(tx: &mut Tx, name: Option<&str>, locale: Option<&str>) -> Result<(), StoreError> {
    let before = get(tx).await?;
    sqlx::query(
        "UPDATE account SET name = coalesce($1, name), locale = coalesce($2, locale)
         WHERE account_id = current_account()",
    )
    .bind(name)
    .bind(locale)
    .execute(tx.conn())
    .await?;
    if let Some(name) = name {
        sqlx::query("UPDATE actor SET name = $1 WHERE actor_id = current_actor() AND org_id = current_org()")
            .bind(name)
            .execute(tx.conn())
            .await?;
    }
    let after = get(tx).await?;
    tx.record(
        Entry::new("account.change", "account", before.account_id)
            .before(json!({ "name": before.name, "locale": before.locale }))
            .after(json!({ "name": after.name, "locale": after.locale })),
    )
    .await?;
    Ok(())
}

/// A room that somebody sees.
#[derive(Clone, Debug)]
pub struct Room {
    /// Its id.
    pub workspace_id: WorkspaceId,
    /// Its short name.
    pub slug: String,
    /// Its name.
    pub name: String,
}

/// The rooms that the transaction's actor sees, the oldest first.
///
/// # Errors
/// As [`find`].
pub async fn rooms(tx: &mut Tx) -> Result<Vec<Room>, StoreError> {
    let rows: Vec<(Uuid, String, String)> = sqlx::query_as(
        "SELECT workspace_id, slug, name FROM workspace WHERE org_id = current_org()
         ORDER BY created_at, workspace_id LIMIT 1000",
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|(id, slug, name)| Room { workspace_id: WorkspaceId(id), slug, name }).collect())
}
