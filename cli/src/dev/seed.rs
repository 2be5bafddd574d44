//! The organisation `demo`, its API token and its people: made once, found again by the next start.

use anyhow::Context;
use chrono::Utc;
use domain::{OrgId, Permissions};
use secrecy::{ExposeSecret, SecretString};
use store::{Store, Tx, orgs, tokens};

use super::ORG;
use super::home::Home;
use super::people::People;

/// Who the demo is.
pub(super) struct Seeded {
    /// The organisation.
    pub(super) org: OrgId,
    /// Its token's secret.
    pub(super) token: SecretString,
    /// Who can sign in.
    pub(super) people: People,
}

/// Makes what is missing.
pub(super) async fn seed(home: &Home, database_url: &str) -> anyhow::Result<Seeded> {
    let store = Store::connect(database_url.to_owned().into(), Some("countersign_app"))?;
    let org = orgs::ensure(&store, ORG, "Demo").await.context("the organisation demo was not made")?.org_id;
    let people = People::ensure(home, &store, org).await?;
    let path = home.token();
    if let Some(kept) = Home::read_private(&path)
        && works(&store, org, &kept).await?
    {
        // Written again, so that it is private whatever happened to it meanwhile.
        Home::write_private(&path, &kept)?;
        return Ok(Seeded { org, token: kept.into(), people });
    }
    let mut tx = Tx::system(&store, org, "make the demo's token").await?;
    let token = tokens::create(&mut tx, "make up", Permissions::TOKEN, None).await?;
    tx.commit().await?;
    Home::write_private(&path, token.secret.expose_secret())?;
    store.close().await;
    Ok(Seeded { org, token: token.secret, people })
}

/// Whether a kept token is one of this database's, for this organisation, and still good.
async fn works(store: &Store, org: OrgId, secret: &str) -> anyhow::Result<bool> {
    let Some(hash) = tokens::hash(secret) else { return Ok(false) };
    Ok(tokens::look_up(store, &hash).await?.is_some_and(|token| {
        token.actor.org_id == org
            && token.revoked_at.is_none()
            && token.expires_at.is_none_or(|at| at > Utc::now())
    }))
}
