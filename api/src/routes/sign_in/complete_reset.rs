//! `POST /v1/auth/password-reset/complete`: a new password by the link of the mail.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::SET_COOKIE;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use store::Tx;
use store::accounts::{self, devices, resets, sessions};
use utoipa::ToSchema;

use crate::auth::passwords::check_length;
use crate::auth::{Visitor, slow};
use crate::input::Json as Body;
use crate::openapi::Door;
use crate::problem::{Code, Problem};
use crate::routes::secrets::hidden;
use crate::state::Api;

/// What the link carries, and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompleteReset {
    /// What follows `#token=` in the link.
    #[serde(deserialize_with = "hidden")]
    #[schema(value_type = String)]
    token: SecretString,
    /// 12 to 200 characters, not easy to guess.
    #[serde(deserialize_with = "hidden")]
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 200)]
    password: SecretString,
}

/// Set a new password by the link
///
/// Works once. Ends every session of the account; a second factor stays as it is. The browser counts as known
/// afterwards, so that strangers' tries don't slow it.
#[utoipa::path(
    post,
    path = "/v1/auth/password-reset/complete",
    tag = "sign-in",
    operation_id = "completePasswordReset",
    request_body = CompleteReset,
    responses((status = 204, description = "The password is set; sign in with it."), Door),
)]
pub(crate) async fn complete_reset(
    State(api): State<Api>,
    visitor: Visitor,
    Body(request): Body<CompleteReset>,
) -> Result<Response, Problem> {
    let refused = || {
        Problem::new(
            Code::LinkRefused,
            "the link has expired or was used; ask for a new mail and use its link",
        )
    };
    check_length(&request.password).map_err(|why| Problem::field("/password", why))?;
    slow::link(&api, &visitor).await?;
    let hash = resets::hash(request.token.expose_secret()).ok_or_else(refused)?;
    let reset = resets::look_up(api.store(), &hash).await?;
    let reset = reset.filter(|reset| reset.works(api.now())).ok_or_else(refused)?;
    let password = api.passwords().accept(request.password, &reset.email, &reset.name, "/password").await?;

    let now = api.now();
    let mut tx =
        Tx::system(api.store(), reset.org_id, "complete a password reset").await?.from(&visitor.origin);
    accounts::also_as(&mut tx, reset.account_id).await?;
    if !resets::take(&mut tx, &reset, now).await? {
        return Err(refused());
    }
    accounts::set_password(&mut tx, &password, now).await?;
    sessions::end_all_of_account(&mut tx, None, now).await?;
    let (device, keep) = visitor.name_device(api.config());
    devices::remember(&mut tx, &device, now).await?;
    tx.commit().await?;
    api.sessions().forget_account(reset.account_id);

    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().extend(keep.map(|cookie| (SET_COOKIE, cookie)));
    Ok(response)
}
