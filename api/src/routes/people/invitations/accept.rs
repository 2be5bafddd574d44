//! `POST /v1/auth/invitation/accept`: comes in by an invitation, once.
//!
//! Whoever has an account shows that it is theirs, by its password or by being signed in: a link in a mailbox is
//! no reason to get into an account that was there before.

use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use domain::AccountId;
use http::request::Parts;
use secrecy::SecretString;
use serde::Deserialize;
use store::accounts;
use store::people::invitations::{self, Entrant, Joined, NotAccepted, Shown, State as Stands};
use utoipa::ToSchema;

use super::view::refused;
use crate::auth::let_in::{Beginning, SignedIn};
use crate::auth::passwords::Verdict;
use crate::auth::{Person, Visitor, slow};
use crate::input::Json as Body;
use crate::openapi::Door;
use crate::problem::{Code, Problem};
use crate::routes::secrets::{hidden, hidden_option};
use crate::state::Api;

/// Somebody who comes in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acceptance {
    /// What stands after `#token=`.
    #[serde(deserialize_with = "hidden")]
    #[schema(value_type = String)]
    token: SecretString,
    /// Their name; for those without an account.
    #[schema(example = "Ann Ames", min_length = 1, max_length = 200)]
    name: Option<String>,
    /// A new password, or that of the account they have; not needed by whoever is signed in with that account.
    #[serde(default, deserialize_with = "hidden_option")]
    #[schema(value_type = Option<String>)]
    password: Option<SecretString>,
}

/// Whoever is signed in in this browser, if anybody is.
pub(crate) struct Present(Option<(AccountId, bool)>);

impl FromRequestParts<Api> for Present {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let person = Person::from_request_parts(parts, api).await.ok();
        Ok(Self(person.map(|person| (person.session.account_id, person.session.second_factor))))
    }
}

/// Accept an invitation
///
/// Signs in to the organisation one was invited to. Works once.
#[utoipa::path(
    post,
    path = "/v1/auth/invitation/accept",
    tag = "sign-in",
    operation_id = "acceptInvitation",
    security(()),
    request_body = Acceptance,
    responses((status = 200, description = "Signed in; the session is in a cookie.", body = SignedIn), Door),
)]
pub(crate) async fn accept(
    State(api): State<Api>,
    visitor: Visitor,
    present: Present,
    Body(request): Body<Acceptance>,
) -> Result<Response, Problem> {
    // Without keys nobody can be signed in: say so before the invitation is used up.
    api.auth_keys()?;
    if let Some(name) = &request.name {
        check_name(name.trim())?;
    }
    slow::link(&api, &visitor).await?;
    let hash = invitations::hash(&request.token);
    let shown = invitations::look_up(api.store(), &hash).await.map_err(refused)?;
    let state = shown.invitation.state(api.now());
    if state != Stands::Open {
        return Err(refused(NotAccepted::Ended(state)));
    }
    let come_in = async |entrant: Entrant<'_>| {
        invitations::accept(api.store(), &hash, entrant, &visitor.origin, api.now()).await.map_err(refused)
    };
    let (joined, second_factor) = match (shown.account, present.0) {
        (None, _) => {
            let (name, password) = (request.name.as_deref(), request.password);
            let name = name.ok_or_else(|| Problem::field("/name", "must be there: your name"))?.trim();
            let password_hash = new_password(&api, &shown, name, password).await?;
            (come_in(Entrant::New { name, password_hash: &password_hash }).await?, false)
        }
        (Some(account), Some((signed_in, second_factor))) if account == signed_in => {
            (come_in(Entrant::Account(account)).await?, second_factor)
        }
        (Some(_), _) => {
            let account = known_password(&api, &visitor, &shown, request.password).await?;
            (come_in(Entrant::Account(account)).await?, false)
        }
    };
    begin(&api, &visitor, &joined, second_factor).await
}

async fn new_password(
    api: &Api,
    shown: &Shown,
    name: &str,
    password: Option<SecretString>,
) -> Result<String, Problem> {
    let password = password.ok_or_else(|| Problem::field("/password", "must be there: choose a password"))?;
    api.passwords().accept(password, &shown.invitation.email, name, "/password").await
}

fn check_name(name: &str) -> Result<(), Problem> {
    if name.is_empty() || name.chars().count() > 200 || name.chars().any(char::is_control) {
        return Err(Problem::field("/name", "must have 1 to 200 characters on one line, not only blanks"));
    }
    Ok(())
}

/// The account of the address, when the password is its own. Guessing is slowed as at sign-in.
async fn known_password(
    api: &Api,
    visitor: &Visitor,
    shown: &Shown,
    password: Option<SecretString>,
) -> Result<AccountId, Problem> {
    let wrong = || {
        let detail =
            "this address has an account; send its password, or sign in with it and open the link again";
        Problem::new(Code::SignInRefused, detail)
    };
    let password = password.ok_or_else(wrong)?;
    let email = &shown.invitation.email;
    slow::sign_in(api, visitor, email).await?;
    let known = accounts::candidate(api.store(), email).await?.ok_or_else(wrong)?;
    let verdict = api.passwords().verify(password, known.password_hash).await?;
    if verdict == Verdict::Wrong || known.disabled {
        return Err(wrong());
    }
    if known.totp_sealed.is_some() {
        return Err(Problem::new(
            Code::SecondFactorRequired,
            "this account has a second factor; sign in with it, then open the link again",
        ));
    }
    Ok(known.account_id)
}

async fn begin(
    api: &Api,
    visitor: &Visitor,
    joined: &Joined,
    second_factor: bool,
) -> Result<Response, Problem> {
    let all = accounts::memberships(api.store(), joined.account_id).await?;
    let membership = all
        .iter()
        .find(|membership| membership.org_id == joined.org_id)
        .ok_or_else(|| Problem::new(Code::Conflict, "you were let in and out again; ask who invited you"))?;
    let beginning = Beginning::open(api, visitor, joined.account_id, membership).await?;
    beginning.finish("invitation", second_factor).await?.answer(api).await
}
