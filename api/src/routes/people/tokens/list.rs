//! `GET /v1/tokens`: the organisation's tokens, without their secrets.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use store::Tx;
use store::tokens::{self, Token};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{Caller, TokensRead};
use crate::input::Params;
use crate::openapi::Reads;
use crate::problem::Problem;
use crate::routes::people::ask::{self, PageParams};
use crate::state::Api;

/// Tokens.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenList {
    /// The newest first.
    tokens: Vec<TokenItem>,
    /// Ask for the next page with it; null at the end.
    next_cursor: Option<String>,
}

/// A token, without its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenItem {
    token_id: Uuid,
    /// The actor it acts as.
    actor_id: Uuid,
    /// Name for people.
    name: String,
    /// What it may do; `*` for all that a token may.
    #[schema(example = json!(["jobs:read", "jobs:write"]))]
    scopes: Vec<String>,
    created_at: DateTime<Utc>,
    /// When it stops working by itself.
    expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    last_used_at: Option<DateTime<Utc>>,
}

impl From<Token> for TokenItem {
    fn from(token: Token) -> Self {
        Self {
            token_id: token.token_id.0,
            actor_id: token.actor_id.0,
            name: token.name,
            scopes: token.scopes.words(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            last_used_at: token.last_used_at,
        }
    }
}

/// List API tokens
#[utoipa::path(
    get,
    path = "/v1/tokens",
    tag = "people",
    operation_id = "listTokens",
    security(("token" = ["tokens:read"])),
    params(PageParams),
    responses((status = 200, description = "A page of tokens.", body = TokenList), Reads),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller<TokensRead>,
    Params(params): Params<PageParams>,
) -> Result<Json<TokenList>, Problem> {
    let limit = ask::limit(params.limit)?;
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let page = tokens::page(&mut tx, params.cursor.as_deref(), limit).await?;
    Ok(Json(TokenList {
        tokens: page.items.into_iter().map(TokenItem::from).collect(),
        next_cursor: page.next,
    }))
}
