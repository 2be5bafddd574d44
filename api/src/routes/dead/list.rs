//! `GET /v1/dead`: dead letters one by one.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use store::Tx;
use store::jobs::DeadFilter;

use crate::auth::{Caller, JobsRead};
use crate::input::Params;
use crate::openapi::Reads;
use crate::problem::Problem;
use crate::routes::jobs::view::JobList;
use crate::routes::jobs::{no_nul, page_ask};
use crate::state::Api;

/// What to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeadParams {
    /// Exactly this kind.
    kind: Option<String>,
    /// Exactly this error code.
    error_code: Option<String>,
    /// Exactly this lane.
    lane: Option<String>,
    /// Died at or after this moment.
    from: Option<DateTime<Utc>>,
    /// Died before this moment.
    until: Option<DateTime<Utc>>,
    /// The `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
    /// Jobs wanted; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// List dead letters
///
/// Those that nobody replayed or set aside, newest job first.
#[utoipa::path(
    get,
    path = "/v1/dead",
    tag = "dead letters",
    operation_id = "listDeadLetters",
    security(("token" = ["jobs:read"])),
    params(DeadParams),
    responses((status = 200, description = "A page of dead letters.", body = JobList), Reads),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller<JobsRead>,
    Params(params): Params<DeadParams>,
) -> Result<Json<JobList>, Problem> {
    let DeadParams { kind, error_code, lane, from, until, cursor, limit } = params;
    for text in [&kind, &error_code, &lane] {
        no_nul(text.as_deref())?;
    }
    let ask = page_ask(cursor, limit)?;
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let filter = DeadFilter { kind, error_code, lane, from, until };
    let page = store::jobs::dead(&mut tx, &filter, &ask).await?;
    Ok(Json(page.into()))
}
