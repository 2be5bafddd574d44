//! People to sign in as.

use chrono::Utc;
use domain::{AccountId, ActorId, OrgId, Role};
use store::accounts::{self, NewAccount};
use store::{Store, Tx};

/// Good enough for anybody.
pub(crate) const PASSWORD: &str = "seven quiet otters rowing";

/// Makes somebody with [`PASSWORD`] who sees the whole organisation.
pub(crate) async fn person(store: &Store, org: OrgId, email: &str, role: Role) -> (AccountId, ActorId) {
    let hash = api::passwords::hash(&PASSWORD.into()).unwrap();
    let mut tx = Tx::system(store, org, "a test's person").await.unwrap();
    let new = NewAccount { email, name: "Ana Example", locale: "en", password_hash: Some(&hash) };
    let account = accounts::create(&mut tx, &new, Utc::now()).await.unwrap();
    tx.commit().await.unwrap();
    (account, join(store, org, account, email, role).await)
}

/// Makes an account a member.
pub(crate) async fn join(store: &Store, org: OrgId, account: AccountId, email: &str, role: Role) -> ActorId {
    let actor = ActorId::new();
    let mut tx = Tx::system(store, org, "a test's member").await.unwrap();
    sqlx::query("INSERT INTO actor (actor_id, org_id, kind, name) VALUES ($1, $2, 'person', 'Ana Example')")
        .bind(actor.0)
        .bind(org.0)
        .execute(tx.conn())
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO member (org_id, actor_id, account_id, email, role, all_workspaces)
         VALUES ($1, $2, $3, lower($4), $5, true)",
    )
    .bind(org.0)
    .bind(actor.0)
    .bind(account.0)
    .bind(email)
    .bind(role.as_str())
    .execute(tx.conn())
    .await
    .unwrap();
    tx.commit().await.unwrap();
    actor
}
