//! `POST /v1/auth/password-reset`: a mail with a link, if there is such an account. The answer never tells.

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::to_raw_value;
use store::accounts::{self, resets};
use store::{Origin, Tx};
use utoipa::ToSchema;

use super::checked_email;
use crate::auth::{Visitor, slow};
use crate::input::Json as Body;
use crate::openapi::Door;
use crate::problem::Problem;
use crate::state::Api;

/// The job that mails the link.
const MAIL: &str = "people.send_password_reset";

/// Whose password was forgotten.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResetRequest {
    #[schema(example = "ana@example.com", max_length = 254)]
    email: String,
    /// Language of the mail: `en`, `es`, `ne` or `ar`; the account's own when left out.
    locale: Option<String>,
}

/// Ask for a new password
///
/// Sends a mail with a link that works once, for an hour, if there is such an account. The answer is the same
/// if there is none.
#[utoipa::path(
    post,
    path = "/v1/auth/password-reset",
    tag = "sign-in",
    operation_id = "requestPasswordReset",
    request_body = ResetRequest,
    responses((status = 202, description = "If there is such an account, a mail is on its way."), Door),
)]
pub(crate) async fn request_reset(
    State(api): State<Api>,
    visitor: Visitor,
    Body(request): Body<ResetRequest>,
) -> Result<StatusCode, Problem> {
    let email = checked_email(&request.email)?;
    if let Some(locale) = &request.locale {
        check_locale(locale)?;
    }
    slow::reset(&api, &visitor, &email).await?;
    // Beside the answer, so that it takes no longer for accounts that exist.
    tokio::spawn(async move {
        if let Err(problem) = begin(&api, &email, request.locale.as_deref(), &visitor.origin).await {
            tracing::warn!(?problem, "a password reset was not begun; the person has to ask again");
        }
    });
    Ok(StatusCode::ACCEPTED)
}

/// A language that mails and screens are written in.
pub(crate) fn check_locale(locale: &str) -> Result<(), Problem> {
    if ["en", "es", "ne", "ar"].contains(&locale) {
        return Ok(());
    }
    Err(Problem::field("/locale", "must be en, es, ne or ar"))
}

async fn begin(api: &Api, email: &str, locale: Option<&str>, origin: &Origin) -> Result<(), Problem> {
    let Some(candidate) = accounts::candidate(api.store(), email).await? else { return Ok(()) };
    let memberships = accounts::memberships(api.store(), candidate.account_id).await?;
    let member = memberships.iter().find(|membership| !membership.disabled);
    let Some(member) = member.filter(|_| !candidate.disabled) else { return Ok(()) };
    let mut tx = Tx::system(api.store(), member.org_id, "begin a password reset").await?.from(origin);
    let reset_id = resets::request(&mut tx, candidate.account_id, locale, api.now()).await?;
    tx.commit().await?;
    let payload = to_raw_value(&serde_json::json!({ "reset_id": reset_id })).map_err(Problem::internal)?;
    let mut job = api.registry().prepare(member.org_id, MAIL, None, payload)?;
    job.request_id = origin.request_id.as_deref().map(str::to_owned);
    api.queue().enqueue(job).await?;
    Ok(())
}
