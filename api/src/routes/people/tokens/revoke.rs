//! `DELETE /v1/tokens/{token_id}`: stops a token for good.

use axum::extract::State;
use domain::TokenId;
use http::StatusCode;
use store::{Tx, tokens};
use uuid::Uuid;

use crate::auth::{Caller, TokensWrite};
use crate::input::InPath;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::state::Api;

/// Revoke an API token
///
/// It stays in the list as revoked. Other API processes stop taking it within seconds. Twice is as good as once.
#[utoipa::path(
    delete,
    path = "/v1/tokens/{token_id}",
    tag = "people",
    operation_id = "revokeToken",
    security(("token" = ["tokens:write"])),
    params(("token_id" = Uuid, Path, description = "The token.")),
    responses((status = 204, description = "It works no more."), Changes),
)]
pub(crate) async fn revoke(
    State(api): State<Api>,
    caller: Caller<TokensWrite>,
    InPath(token): InPath<Uuid>,
) -> Result<StatusCode, Problem> {
    let token = TokenId(token);
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    tokens::revoke(&mut tx, token).await?;
    tx.commit().await?;
    api.tokens().forget(token);
    Ok(StatusCode::NO_CONTENT)
}
