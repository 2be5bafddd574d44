//! `GET /v1/auth/oidc`: sends a browser to the identity provider.
//!
//! The API talks to no provider: a job asks where to, and the browser waits for it.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use domain::OrgId;
use domain::oidc::{AuthorizeAsk, AuthorizePage, pkce_challenge, pkce_verifier, random_token};
use http::header::SET_COOKIE;
use jobs::Job;
use jobs::auth::{BeginOidc, CALLBACK_PATH, FLOW_PURPOSE, FlowOutcome, FlowSecrets};
use secrecy::ExposeSecret;
use serde::Deserialize;
use store::Tx;
use store::accounts::flows::{self, Flow, NewFlow};
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use crate::auth::cookies::{self, Cookie};
use crate::auth::{Visitor, slow};
use crate::input::Params;
use crate::openapi::Elsewhere;
use crate::problem::{Code, Problem};
use crate::state::Api;

/// How long a browser waits for a worker.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where to go afterwards.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BeginQuery {
    /// A path of ours; the start page when left out.
    return_to: Option<String>,
    /// The address that was typed, for the provider's form.
    login_hint: Option<String>,
}

/// Browsers that wait for a worker at once in this process: each asks the database ten times a second.
const MOST_WAITING: usize = 128;

static WAITING: Semaphore = Semaphore::const_new(MOST_WAITING);

/// A place among those who wait.
pub(super) fn place() -> Result<SemaphorePermit<'static>, Problem> {
    WAITING.try_acquire().map_err(|_| {
        Problem::new(
            Code::SignInSlowed,
            "too many people wait for the identity provider; try again, or sign in with address and password",
        )
        .retry_after(Duration::from_secs(5))
    })
}

/// Sign in through the identity provider
///
/// Sends the browser there; it comes back to `/v1/auth/oidc/callback`.
#[utoipa::path(
    get,
    path = "/v1/auth/oidc",
    tag = "sign-in",
    operation_id = "beginOidc",
    params(BeginQuery),
    responses((status = 303, description = "On to the provider."), Elsewhere),
)]
pub(crate) async fn begin(
    State(api): State<Api>,
    visitor: Visitor,
    Params(query): Params<BeginQuery>,
) -> Result<Response, Problem> {
    let org = home(&api).await?;
    let return_to = checked_path(query.return_to.as_deref().unwrap_or("/"))?;
    let login_hint = query.login_hint.as_deref().map(super::checked_email).transpose()?;
    slow::link(&api, &visitor).await?;
    let _place = place()?;

    let (state, browser, nonce, verifier) = {
        let mut rng = rand::rng();
        (random_token(&mut rng), cookies::new_token(), random_token(&mut rng), pkce_verifier(&mut rng))
    };
    let flow_id = Uuid::now_v7();
    let secrets = FlowSecrets { nonce: nonce.clone(), verifier: verifier.expose_secret().to_owned() };
    let secrets = serde_json::to_vec(&secrets).map_err(Problem::internal)?;
    let sealed =
        api.auth_keys()?.seal(FLOW_PURPOSE, &secrets, flow_id.as_bytes()).map_err(Problem::internal)?;
    let new = NewFlow {
        flow_id,
        state_hash: cookies::hash(&state),
        browser_hash: cookies::hash(browser.expose_secret()),
        sealed: &sealed,
        return_to,
    };
    let mut tx = Tx::system(api.store(), org, "begin a sign-in elsewhere").await?;
    flows::begin(&mut tx, &new, api.now()).await?;
    tx.commit_unrecorded("nobody came in yet").await?;
    enqueue(&api, org, &visitor, &BeginOidc { flow_id }).await?;

    let flow = wait_for(&api, org, flow_id, |flow| flow.authorize_page.is_some()).await?;
    let page = flow.authorize_page.ok_or_else(away)?;
    let page: AuthorizePage = serde_json::from_value(page).map_err(Problem::internal)?;
    let ask = AuthorizeAsk {
        redirect_uri: api.config().public_url.join(CALLBACK_PATH).map_err(Problem::internal)?,
        state,
        nonce,
        pkce_challenge: pkce_challenge(&verifier),
        login_hint,
        locale: None,
    };
    let mut response = Redirect::to(page.url(&ask).as_str()).into_response();
    response
        .headers_mut()
        .extend(Cookie::Flow.set(&browser, api.config()).map(|cookie| (SET_COOKIE, cookie)));
    Ok(response)
}

/// The organisation whose workers do the talking, where there is a provider.
pub(super) async fn home(api: &Api) -> Result<OrgId, Problem> {
    let none = || {
        Problem::new(
            Code::OidcNotConfigured,
            "sign in with address and password; there is no identity provider",
        )
    };
    if !api.config().oidc {
        return Err(none());
    }
    flows::home(api.store()).await?.ok_or_else(none)
}

pub(super) async fn enqueue<J: Job>(
    api: &Api,
    org: OrgId,
    visitor: &Visitor,
    payload: &J,
) -> Result<(), Problem> {
    let mut job = jobs::new_job(org, payload).map_err(Problem::internal)?;
    job.request_id = visitor.origin.request_id.as_deref().map(str::to_owned);
    // A worker that comes back later trades no code for a browser that has been told to begin again.
    job.deadline_at = Some(api.now() + PATIENCE);
    api.queue().enqueue(job).await?;
    Ok(())
}

/// The flow as soon as a worker has got so far, or found that there is no getting there.
pub(super) async fn wait_for(
    api: &Api,
    org: OrgId,
    flow_id: Uuid,
    ready: impl Fn(&Flow) -> bool,
) -> Result<Flow, Problem> {
    let until = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < until {
        let mut tx = Tx::system(api.store(), org, "look after a sign-in elsewhere").await?;
        let flow = flows::get(&mut tx, flow_id).await?;
        drop(tx);
        if ready(&flow) {
            return Ok(flow);
        }
        if let Some(outcome) = flow.outcome {
            return match serde_json::from_value(outcome).map_err(Problem::internal)? {
                FlowOutcome::Fault { away: true, message, .. } => Err(Problem::new(Code::OidcAway, message)),
                FlowOutcome::Fault { message, .. } => Err(Problem::new(Code::OidcRefused, message)),
                FlowOutcome::Identity(_) => Err(away()),
            };
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(away())
}

fn away() -> Problem {
    Problem::new(
        Code::OidcAway,
        "no worker has heard from the identity provider in time; try again, or sign in with address and password",
    )
    .retry_after(Duration::from_secs(5))
}

/// A path of ours and nothing else: not another site's address, and nothing that needs escaping.
fn checked_path(path: &str) -> Result<&str, Problem> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~?=&%".contains(&byte);
    let ours = path.starts_with('/') && !path.starts_with("//") && path.len() <= 500;
    if ours && path.bytes().all(plain) {
        return Ok(path);
    }
    Err(Problem::field("/return_to", "must be a path of this site, such as /jobs?state=dead"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_those_who_wait_is_bounded() {
        let held: Vec<_> = (0..MOST_WAITING).map(|_| place()).collect();
        assert!(held.iter().all(Result::is_ok));
        assert!(place().is_err_and(|problem| problem.code() == Code::SignInSlowed));
        drop(held);
        assert!(place().is_ok());
    }

    #[test]
    fn only_paths_of_ours_are_returned_to() {
        for good in ["/", "/jobs", "/jobs?state=dead&kind=a.b", "/x/%20y"] {
            assert!(checked_path(good).is_ok(), "{good}");
        }
        for bad in
            ["", "jobs", "//evil.example", "/\\evil.example", "https://evil.example", "/a\"b", "/a<b", "/\n"]
        {
            assert!(checked_path(bad).is_err(), "{bad}");
        }
    }
}
