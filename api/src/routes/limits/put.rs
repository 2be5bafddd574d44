//! `PUT /v1/limits`: sets one of the organisation's rates.

use axum::Json;
use axum::extract::State;
use queue::ops;
use queue::ops::limits::LimitSpec;
use serde::Deserialize;
use store::Tx;
use store::audit::Entry;
use utoipa::ToSchema;

use super::list::LimitItem;
use crate::auth::{Caller, LimitsWrite};
use crate::input::Json as Body;
use crate::openapi::Changes;
use crate::problem::{Problem, not_found};
use crate::state::Api;

/// A rate to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitRequest {
    /// What is limited: 1 to 100 of a-z, 0-9, dot, dash and underscore.
    #[schema(example = "webhooks.endpoint", min_length = 1, max_length = 100)]
    name: String,
    /// Which bucket of it; `*`, also when left out, for each that has no rate of its own.
    #[serde(default = "every")]
    #[schema(default = "*", min_length = 1, max_length = 255)]
    key: String,
    /// Units a period.
    #[schema(minimum = 1, maximum = 10_000_000)]
    units: i32,
    /// Length of the period: up to 31 days.
    #[schema(minimum = 1, maximum = 2_678_400_000_i64)]
    period_ms: i64,
    /// Units that may come at once; the units of one period when left out.
    #[schema(minimum = 1, maximum = 10_000_000)]
    burst: Option<i32>,
}

fn every() -> String {
    "*".to_owned()
}

/// Set a limit
///
/// Jobs that wait for it are asked again at once, in their order.
#[utoipa::path(
    put,
    path = "/v1/limits",
    tag = "limits",
    operation_id = "putLimit",
    security(("token" = ["limits:write"])),
    request_body = LimitRequest,
    responses((status = 200, description = "The rate as it is now.", body = LimitItem), Changes),
)]
pub(crate) async fn put(
    State(api): State<Api>,
    caller: Caller<LimitsWrite>,
    Body(request): Body<LimitRequest>,
) -> Result<Json<LimitItem>, Problem> {
    let LimitRequest { name, key, units, period_ms, burst } = request;
    let spec = LimitSpec { name, key, units, period_ms, burst: burst.unwrap_or(units) };
    ops::limits::check(&spec)?;
    let org = caller.actor.org_id;
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let was = ops::limits::named(tx.conn(), Some(org), &spec.name, &spec.key).await?;
    let (id, after) = ops::limits::put(tx.conn(), Some(org), &spec).await?;
    let now =
        ops::limits::list(tx.conn(), Some(org)).await?.into_iter().find(|limit| limit.rate_limit_id == id);
    let entry = Entry::new("limit.set", "limit", id).after(&spec);
    tx.record(match was {
        Some(was) => entry.before(was),
        None => entry,
    })
    .await?;
    tx.commit().await?;
    api.queue().after(after).await;
    now.map(|limit| Json(limit.into())).ok_or_else(|| not_found("limit"))
}
