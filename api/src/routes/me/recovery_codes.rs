//! `POST /v1/me/recovery-codes`: new codes in place of the old.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use store::accounts::second_factor;
use utoipa::ToSchema;

use super::step_up::consume;
use super::totp::CodeRequest;
use crate::auth::second_factor::new_recovery_codes;
use crate::auth::{Person, slow};
use crate::input::Json as Body;
use crate::openapi::Mine;
use crate::problem::Problem;
use crate::state::Api;

/// Codes for when the authenticator app is lost; shown once.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecoveryCodes {
    /// Each works once.
    pub(super) recovery_codes: Vec<String>,
}

/// Renew recovery codes
///
/// The old ones work no longer.
#[utoipa::path(
    post,
    path = "/v1/me/recovery-codes",
    tag = "me",
    operation_id = "renewMyRecoveryCodes",
    security(("session" = [])),
    request_body = CodeRequest,
    responses((status = 200, description = "The new codes.", body = RecoveryCodes), Mine),
)]
pub(crate) async fn renew(
    State(api): State<Api>,
    person: Person,
    Body(request): Body<CodeRequest>,
) -> Result<Json<RecoveryCodes>, Problem> {
    let account = person.session.account_id;
    let mut tx = consume(&api, &person, &request.code).await?;
    let (codes, hashes) = new_recovery_codes();
    second_factor::replace_recovery_codes(&mut tx, account, &hashes, api.now()).await?;
    tx.commit().await?;
    slow::right_code(&api, account).await;
    Ok(Json(RecoveryCodes { recovery_codes: codes }))
}
