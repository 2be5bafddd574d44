//! `POST /v1/me/step-up`: shows a code again, before something that needs more trust than the session has.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use store::Tx;
use store::accounts::{self, sessions};
use utoipa::ToSchema;

use super::totp::CodeRequest;
use crate::auth::second_factor::{Factor, Seed, code_refused};
use crate::auth::{Person, slow};
use crate::input::Json as Body;
use crate::openapi::Mine;
use crate::problem::{Code, Problem};
use crate::state::Api;

/// When a code was last shown.
#[derive(Serialize, ToSchema)]
pub(crate) struct SteppedUp {
    step_up_at: DateTime<Utc>,
}

/// Show a code again
///
/// Approvals above a threshold ask for this; it holds for five minutes, in this session only.
#[utoipa::path(
    post,
    path = "/v1/me/step-up",
    tag = "me",
    operation_id = "stepUp",
    security(("session" = [])),
    request_body = CodeRequest,
    responses((status = 200, description = "The session is trusted more for a while.", body = SteppedUp), Mine),
)]
pub(crate) async fn step_up(
    State(api): State<Api>,
    person: Person,
    Body(request): Body<CodeRequest>,
) -> Result<Json<SteppedUp>, Problem> {
    let mut tx = consume(&api, &person, &request.code).await?;
    let step_up_at = api.now();
    sessions::step_up(&mut tx, step_up_at).await?;
    tx.commit().await?;
    slow::right_code(&api, person.session.account_id).await;
    api.sessions().forget(&[person.session.session_id]);
    Ok(Json(SteppedUp { step_up_at }))
}

/// Uses a code of the person's second factor up, in the transaction that does what it was shown for.
pub(super) async fn consume(api: &Api, person: &Person, code: &SecretString) -> Result<Tx, Problem> {
    let account_id = person.session.account_id;
    let account = accounts::get(&mut Tx::for_reader(api.store(), &person.actor).await?).await?;
    let sealed = account.totp_sealed.ok_or_else(|| {
        Problem::new(Code::Conflict, "there is no second factor; POST /v1/me/totp begins one")
    })?;
    slow::code(api, account_id).await?;
    let seed = Seed::open(api.auth_keys()?, account_id, &sealed)?;
    let factor = Factor::read(&seed, code.expose_secret(), api.now()).ok_or_else(code_refused)?;
    let mut tx = Tx::for_actor(api.store(), &person.actor).await?;
    if factor.consume(&mut tx, account_id, api.now()).await? { Ok(tx) } else { Err(code_refused()) }
}
