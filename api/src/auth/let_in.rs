//! Letting somebody in: a new session, its cookie, the browser remembered, all in one transaction.

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::{AccountId, SessionId};
use http::header::SET_COOKIE;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use store::accounts::sessions::{self, NewSession};
use store::accounts::{self, Membership, devices};
use store::{Actor, InSession, Tx};
use utoipa::ToSchema;

use super::cookies::{self, Cookie};
use super::csrf;
use super::sessions::Named;
use super::visitor::Visitor;
use crate::problem::{Code, Problem};
use crate::routes::me::Me;
use crate::state::Api;

/// Somebody who was let in.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignedIn {
    /// To be sent as `X-CSRF-Token` with every change.
    pub(crate) csrf_token: String,
    /// When the session ends by itself; earlier when it is not used for 14 days.
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) me: Me,
}

/// A session about to begin: open its transaction, do what must last with it, then [`Beginning::finish`].
pub(crate) struct Beginning<'a> {
    api: &'a Api,
    visitor: &'a Visitor,
    /// The new session's own transaction.
    pub(crate) tx: Tx,
    actor: Actor,
    token: SecretString,
}

/// A session that began; its cookies are still to be set.
pub(crate) struct Begun {
    token: SecretString,
    device: Option<http::HeaderValue>,
    hash: [u8; 32],
}

impl<'a> Beginning<'a> {
    pub(crate) async fn open(
        api: &'a Api,
        visitor: &'a Visitor,
        account_id: AccountId,
        membership: &Membership,
    ) -> Result<Self, Problem> {
        let mut actor = membership.actor().from(visitor.origin.clone());
        actor.session = Some(InSession { account_id, session_id: SessionId::new() });
        let tx = Tx::for_actor(api.store(), &actor).await?;
        Ok(Self { api, visitor, tx, actor, token: cookies::new_token() })
    }

    /// Begins it for good. The session that the browser had before ends.
    pub(crate) async fn finish(mut self, how: &'static str, second_factor: bool) -> Result<Begun, Problem> {
        let now = self.api.now();
        let hash = cookies::hash(self.token.expose_secret());
        let new = NewSession {
            token_hash: hash,
            user_agent: self.visitor.user_agent.as_deref(),
            second_factor,
            how,
        };
        sessions::begin(&mut self.tx, &self.actor, &new, now).await?;
        let (device, keep) = self.visitor.name_device(self.api.config());
        devices::remember(&mut self.tx, &device, now).await?;
        self.tx.commit().await?;
        if let Some(old) = self.visitor.session {
            end_old(self.api, old, self.visitor).await;
        }
        Ok(Begun { token: self.token, device: keep, hash })
    }
}

impl Begun {
    /// The answer to whoever signed in.
    pub(crate) async fn answer(self, api: &Api) -> Result<Response, Problem> {
        let session = api.sessions().still(Named::Token(self.hash)).await?;
        let body = SignedIn {
            csrf_token: csrf::token(api.auth_keys()?, &self.hash)?,
            expires_at: session.expires_at,
            me: Me::of(api, &session.actor, &session, true).await?,
        };
        let mut response = axum::Json(body).into_response();
        self.set_cookies(api, &mut response);
        Ok(response)
    }

    /// Gives the browser its cookies.
    pub(crate) fn set_cookies(self, api: &Api, response: &mut Response) {
        let session = Cookie::Session.set(&self.token, api.config());
        for cookie in session.into_iter().chain(self.device) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
}

/// The membership that somebody signs in to: the one they named, or the first they may use.
pub(crate) async fn membership(
    api: &Api,
    account: AccountId,
    org: Option<&str>,
) -> Result<Option<Membership>, Problem> {
    let mut all = accounts::memberships(api.store(), account).await?;
    all.retain(|membership| !membership.disabled);
    let Some(org) = org else { return Ok(all.into_iter().next()) };
    if all.is_empty() {
        return Ok(None);
    }
    match all.into_iter().find(|membership| membership.slug == org) {
        Some(membership) => Ok(Some(membership)),
        None => Err(Problem::field(
            "/org",
            "is no organisation that you belong to; leave it out, or see GET /v1/me",
        )),
    }
}

/// Ends the session a browser had; it has a new one, so nothing is lost if this fails.
async fn end_old(api: &Api, hash: [u8; 32], visitor: &Visitor) {
    let ended: Result<(), Problem> = async {
        let Some(old) = sessions::look_up(api.store(), Some(&hash), None).await? else { return Ok(()) };
        if !old.lives(api.now()) {
            return Ok(());
        }
        let mut tx = Tx::for_actor(api.store(), &old.actor.clone().from(visitor.origin.clone())).await?;
        sessions::end(&mut tx, old.session_id, api.now()).await?;
        tx.commit().await?;
        api.sessions().forget(&[old.session_id]);
        Ok(())
    }
    .await;
    if let Err(problem) = ended
        && problem.code() != Code::NotFound
    {
        tracing::warn!(?problem, "the browser's former session was not ended");
    }
}
