//! `GET /v1/auth/oidc/callback`: a browser comes back from the identity provider.
//!
//! A linked identity signs in its account. One that is not linked yet is linked to the account with the same
//! address, if the provider has checked the address. Nobody gets an account by this: people are invited.

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use domain::AccountId;
use domain::oidc::Identity;
use http::header::SET_COOKIE;
use jobs::auth::{FLOW_PURPOSE, FinishOidc, FlowOutcome};
use serde::Deserialize;
use store::Tx;
use store::accounts::{self, flows, identities};

use super::oidc::{enqueue, home, place, wait_for};
use crate::auth::cookies::{self, Cookie};
use crate::auth::let_in::{self, Beginning};
use crate::auth::{Visitor, slow};
use crate::input::Params;
use crate::openapi::Elsewhere;
use crate::problem::{Code, Problem};
use crate::state::Api;

/// What the provider sends along. It may send more.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallbackQuery {
    code: Option<String>,
    state: Option<String>,
    /// Why there is no code.
    error: Option<String>,
}

/// Come back from the identity provider
///
/// Signs in and goes on to where the browser was to return to.
#[utoipa::path(
    get,
    path = "/v1/auth/oidc/callback",
    tag = "sign-in",
    operation_id = "finishOidc",
    params(CallbackQuery),
    responses((status = 200, description = "Signed in; the page goes on by itself.", content_type = "text/html"), Elsewhere),
)]
pub(crate) async fn come_back(
    State(api): State<Api>,
    visitor: Visitor,
    Params(query): Params<CallbackQuery>,
) -> Result<Response, Problem> {
    home(&api).await?;
    slow::link(&api, &visitor).await?;
    let _place = place()?;
    if query.error.is_some() {
        return Err(refused("the identity provider let nobody in; try again, or sign in with your password"));
    }
    let over = || refused("this sign-in is over or began in another browser; begin again");
    let (Some(code), Some(state), Some(browser)) = (query.code, query.state, visitor.flow) else {
        return Err(over());
    };
    let (flow_id, org) = flows::find(api.store(), &cookies::hash(&state)).await?.ok_or_else(over)?;
    let sealed =
        api.auth_keys()?.seal(FLOW_PURPOSE, code.as_bytes(), flow_id.as_bytes()).map_err(|_| over())?;
    let mut tx = Tx::system(api.store(), org, "take a browser back").await?;
    if !flows::come_back(&mut tx, flow_id, &browser, &sealed, api.now()).await? {
        return Err(over());
    }
    tx.commit_unrecorded("whoever comes in is recorded then").await?;
    enqueue(&api, org, &visitor, &FinishOidc { flow_id }).await?;

    let vouched =
        |flow: &flows::Flow| flow.outcome.as_ref().is_some_and(|found| found.get("identity").is_some());
    let flow = wait_for(&api, org, flow_id, vouched).await?;
    let outcome = serde_json::from_value(flow.outcome.unwrap_or_default()).map_err(Problem::internal)?;
    let FlowOutcome::Identity(identity) = outcome else { return Err(over()) };
    let account = account_of(&api, &identity).await?;
    let begun = let_in(&api, &visitor, account, &identity).await?;

    // A page and not a redirect: a redirect would still count as coming from the provider's site, and the
    // strict cookie would not go along. The path was checked when the flow began.
    let to = flow.return_to.replace('&', "&amp;");
    let page = format!(
        "<!doctype html><title>Signed in</title><meta http-equiv=\"refresh\" content=\"0;url={to}\">"
    );
    let mut response = Html(page).into_response();
    begun.set_cookies(&api, &mut response);
    response.headers_mut().append(SET_COOKIE, Cookie::Flow.removed(api.config()));
    Ok(response)
}

/// Whose identity it is: by its link, or by an address that the provider has checked.
async fn account_of(api: &Api, identity: &Identity) -> Result<AccountId, Problem> {
    if let Some(linked) = identities::find(api.store(), &identity.issuer, &identity.subject).await? {
        return Ok(linked);
    }
    let email = identity.email.as_deref().filter(|_| identity.email_verified);
    let found = match email {
        Some(email) => accounts::find(api.store(), email).await?,
        None => None,
    };
    found.ok_or_else(|| {
        refused("nobody here has the address that the identity provider has checked for you; ask an owner to invite you")
    })
}

async fn let_in(
    api: &Api,
    visitor: &Visitor,
    account: AccountId,
    identity: &Identity,
) -> Result<let_in::Begun, Problem> {
    let outside = || refused("your account may not sign in; ask an owner of your organisation");
    let membership = let_in::membership(api, account, None).await?.ok_or_else(outside)?;
    let mut beginning = Beginning::open(api, visitor, account, &membership).await?;
    let own = accounts::get(&mut beginning.tx).await?;
    if own.disabled {
        return Err(outside());
    }
    // RFC 8176: more than one proof, or a one-time code, or a key.
    let second = identity.amr.iter().any(|way| matches!(way.as_str(), "mfa" | "otp" | "hwk" | "swk"));
    if own.totp_sealed.is_some() && !second {
        return Err(refused(
            "your account has a second factor, which the identity provider did not ask for; sign in with password and code",
        ));
    }
    identities::link(&mut beginning.tx, account, &identity.issuer, &identity.subject, api.now()).await?;
    beginning.finish("oidc", second).await
}

fn refused(detail: &str) -> Problem {
    Problem::new(Code::OidcRefused, detail)
}
