//! `GET /v1/limits/usage`: how much of a rate is in use now.

use axum::Json;
use axum::extract::State;
use domain::LimitUse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::{Caller, JobsRead};
use crate::input::Params;
use crate::openapi::ReadsRedis;
use crate::problem::{Problem, redis_away};
use crate::routes::jobs::no_nul;
use crate::state::Api;

/// Which bucket.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageParams {
    /// What is limited, such as `webhooks.endpoint`.
    name: String,
    /// Which bucket of it, such as `hooks.example.com:443`.
    key: String,
}

/// Use against a rate, now.
#[derive(Serialize, ToSchema)]
pub(crate) struct LimitUsage {
    name: String,
    key: String,
    /// The rate in force and its use; none when the bucket has no rate.
    usage: Option<BucketUsage>,
}

/// How full a bucket is.
#[derive(Serialize, ToSchema)]
pub(crate) struct BucketUsage {
    /// Units a period.
    units: u32,
    /// Length of the period.
    period_ms: u64,
    /// Units that may come at once.
    burst: u32,
    /// Units of the burst that are in use.
    used_units: f64,
    /// How long the line of waiting jobs is, in seconds.
    line_s: f64,
}

/// Show the use of a limit
#[utoipa::path(
    get,
    path = "/v1/limits/usage",
    tag = "limits",
    operation_id = "showLimitUsage",
    security(("token" = ["jobs:read"])),
    params(UsageParams),
    responses((status = 200, description = "The use of one bucket.", body = LimitUsage), ReadsRedis),
)]
pub(crate) async fn usage(
    State(api): State<Api>,
    caller: Caller<JobsRead>,
    Params(params): Params<UsageParams>,
) -> Result<Json<LimitUsage>, Problem> {
    no_nul(Some(&params.name))?;
    no_nul(Some(&params.key))?;
    let draw = LimitUse { name: params.name.clone().into(), key: params.key.clone(), units: 1 };
    let usage = api.queue().limiter().usage(caller.actor.org_id, &draw).await.map_err(redis_away)?;
    Ok(Json(LimitUsage {
        name: params.name,
        key: params.key,
        usage: usage.map(|usage| BucketUsage {
            units: usage.rate.units,
            period_ms: usage.rate.period_ms,
            burst: usage.rate.burst,
            used_units: usage.used_units,
            line_s: usage.line_secs,
        }),
    }))
}
