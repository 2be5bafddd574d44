//! `/v1/me/totp`: an authenticator app as second factor: shown, confirmed, taken away.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use store::Tx;
use store::accounts::{self, second_factor};
use utoipa::ToSchema;

use super::password::check_own;
use super::recovery_codes::RecoveryCodes;
use super::step_up::consume;
use crate::auth::second_factor::{Factor, Seed, code_refused, new_recovery_codes};
use crate::auth::{Person, slow};
use crate::input::{Json as Body, OptionalJson};
use crate::openapi::Mine;
use crate::problem::{Code, Problem};
use crate::routes::secrets::{hidden, hidden_option};
use crate::state::Api;

/// A code of the second factor.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodeRequest {
    /// Six digits from the authenticator app, or a recovery code.
    #[serde(deserialize_with = "hidden")]
    #[schema(value_type = String, example = "123456")]
    pub(super) code: SecretString,
}

/// Proof that it is the account's owner who begins: a session left open, or stolen, gives itself no second
/// factor, and with it no approvals that ask for one.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProposeTotp {
    /// The password; left out only where there is none.
    #[serde(default, deserialize_with = "hidden_option")]
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretString>,
}

/// What an authenticator app needs. Shown once.
#[derive(Serialize, ToSchema)]
pub(crate) struct Proposed {
    /// To be shown as a QR code.
    #[schema(example = "otpauth://totp/Countersign:ana%40example.com?secret=…&issuer=Countersign")]
    uri: String,
    /// To be typed where there is no camera: base32.
    secret: String,
}

/// Begin a second factor
///
/// Nothing changes until a code of the app confirms it. Asking again gives another secret.
#[utoipa::path(
    post,
    path = "/v1/me/totp",
    tag = "me",
    operation_id = "proposeMyTotp",
    security(("session" = [])),
    request_body = Option<ProposeTotp>,
    responses((status = 200, description = "For the authenticator app.", body = Proposed), Mine),
)]
pub(crate) async fn propose(
    State(api): State<Api>,
    person: Person,
    OptionalJson(request): OptionalJson<ProposeTotp>,
) -> Result<Json<Proposed>, Problem> {
    let account_id = person.session.account_id;
    check_own(&api, &person, request.password, "/password").await?;
    let seed = Seed::new();
    let sealed = seed.seal(api.auth_keys()?, account_id)?;
    let mut tx = Tx::for_actor(api.store(), &person.actor).await?;
    let account = accounts::get(&mut tx).await?;
    if account.totp_sealed.is_some() {
        return Err(Problem::new(
            Code::Conflict,
            "there is a second factor already; take it away first, which needs one of its codes",
        ));
    }
    second_factor::propose(&mut tx, account_id, &sealed).await?;
    tx.commit().await?;
    Ok(Json(Proposed {
        uri: seed.uri(&account.email)?.expose_secret().to_owned(),
        secret: seed.base32().expose_secret().to_owned(),
    }))
}

/// Confirm the second factor
///
/// From then on signing in needs a code. Answers with recovery codes, which are not shown again.
#[utoipa::path(
    post,
    path = "/v1/me/totp/confirm",
    tag = "me",
    operation_id = "confirmMyTotp",
    security(("session" = [])),
    request_body = CodeRequest,
    responses((status = 200, description = "The second factor is in force.", body = RecoveryCodes), Mine),
)]
pub(crate) async fn confirm(
    State(api): State<Api>,
    person: Person,
    Body(request): Body<CodeRequest>,
) -> Result<Json<RecoveryCodes>, Problem> {
    let account_id = person.session.account_id;
    let now = api.now();
    let none = || Problem::new(Code::Conflict, "no second factor was begun; POST /v1/me/totp begins one");
    let account = accounts::get(&mut Tx::for_reader(api.store(), &person.actor).await?).await?;
    let sealed = account.totp_pending_sealed.ok_or_else(none)?;
    slow::code(&api, account_id).await?;
    let seed = Seed::open(api.auth_keys()?, account_id, &sealed)?;
    let Some(Factor::Step(step)) = Factor::read(&seed, request.code.expose_secret(), now) else {
        return Err(code_refused());
    };
    let mut tx = Tx::for_actor(api.store(), &person.actor).await?;
    if !second_factor::confirm(&mut tx, account_id, &sealed, step, now).await? {
        return Err(none());
    }
    let (codes, hashes) = new_recovery_codes();
    second_factor::replace_recovery_codes(&mut tx, account_id, &hashes, now).await?;
    tx.commit().await?;
    slow::right_code(&api, account_id).await;
    Ok(Json(RecoveryCodes { recovery_codes: codes }))
}

/// Take the second factor away
#[utoipa::path(
    delete,
    path = "/v1/me/totp",
    tag = "me",
    operation_id = "removeMyTotp",
    security(("session" = [])),
    request_body = CodeRequest,
    responses((status = 204, description = "Signing in needs no code any more."), Mine),
)]
pub(crate) async fn remove(
    State(api): State<Api>,
    person: Person,
    Body(request): Body<CodeRequest>,
) -> Result<StatusCode, Problem> {
    let mut tx = consume(&api, &person, &request.code).await?;
    second_factor::remove(&mut tx, person.session.account_id).await?;
    tx.commit().await?;
    slow::right_code(&api, person.session.account_id).await;
    Ok(StatusCode::NO_CONTENT)
}
