//! `GET /v1/people`: who belongs to the organisation.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use store::Tx;
use store::people::members::{self, Filter};
use utoipa::ToSchema;

use super::view::PersonItem;
use crate::auth::{Caller, PeopleRead};
use crate::input::Params;
use crate::openapi::Reads;
use crate::problem::{Code, Problem};
use crate::routes::jobs::no_nul;
use crate::routes::people::ask;
use crate::state::Api;

/// Whom to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PeopleParams {
    /// With this role: owner, manager, finance, support or auditor.
    role: Option<String>,
    /// `true`: only those who are let in no more; `false`: only the others.
    disabled: Option<bool>,
    /// Text in name or address.
    #[param(min_length = 1, max_length = 200)]
    q: Option<String>,
    /// The `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
    /// People wanted; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// People.
#[derive(Serialize, ToSchema)]
pub(crate) struct PeopleList {
    /// Those who joined last first.
    people: Vec<PersonItem>,
    /// Ask for the next page with it; null at the end.
    next_cursor: Option<String>,
}

/// List people
#[utoipa::path(
    get,
    path = "/v1/people",
    tag = "people",
    operation_id = "listPeople",
    security(("token" = ["people:read"])),
    params(PeopleParams),
    responses((status = 200, description = "A page of people.", body = PeopleList), Reads),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller<PeopleRead>,
    Params(params): Params<PeopleParams>,
) -> Result<Json<PeopleList>, Problem> {
    let limit = ask::limit(params.limit)?;
    no_nul(params.q.as_deref())?;
    if params.q.as_deref().is_some_and(|q| !(1..=200).contains(&q.chars().count())) {
        return Err(Problem::new(
            Code::BadQuery,
            "q: must have 1 to 200 characters; leave it out for everybody",
        ));
    }
    let role = params.role.as_deref().map(str::parse).transpose();
    let role = role.map_err(|error| Problem::new(Code::BadQuery, format!("role: {error}")))?;
    let filter = Filter { role, disabled: params.disabled, q: params.q };
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let page = members::list(&mut tx, &filter, params.cursor.as_deref(), limit).await?;
    Ok(Json(PeopleList {
        people: page.items.into_iter().map(PersonItem::from).collect(),
        next_cursor: page.next,
    }))
}
