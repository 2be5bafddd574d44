//! `POST /v1/me/org`: goes on working in another organisation, in a new session.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth::let_in::{self, Beginning, SignedIn};
use crate::auth::{Person, Visitor};
use crate::input::Json as Body;
use crate::openapi::Mine;
use crate::problem::{Problem, not_found};
use crate::state::Api;

/// Where to go on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SwitchOrg {
    /// Short name of an organisation that one belongs to.
    #[schema(example = "acme")]
    org: String,
}

/// Work in another organisation
///
/// Begins a new session there and ends the present one. Access tokens and `X-CSRF-Token` change with it.
#[utoipa::path(
    post,
    path = "/v1/me/org",
    tag = "me",
    operation_id = "switchOrg",
    security(("session" = [])),
    request_body = SwitchOrg,
    responses((status = 200, description = "Signed in there.", body = SignedIn), Mine),
)]
pub(crate) async fn switch(
    State(api): State<Api>,
    person: Person,
    visitor: Visitor,
    Body(request): Body<SwitchOrg>,
) -> Result<Response, Problem> {
    let account = person.session.account_id;
    let membership = let_in::membership(&api, account, Some(&request.org)).await?;
    let membership = membership.ok_or_else(|| not_found("membership"))?;
    let beginning = Beginning::open(&api, &visitor, account, &membership).await?;
    let begun = beginning.finish("switch", person.session.second_factor).await?;
    begun.answer(&api).await
}
