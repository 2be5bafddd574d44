//! `GET /v1/jobs/stats`: how much is open, and how what ended lately went.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use domain::JobState;
use serde::{Deserialize, Serialize};
use store::Tx;
use utoipa::ToSchema;

use crate::auth::{Caller, JobsRead};
use crate::input::Params;
use crate::openapi::Reads;
use crate::problem::{Code, Problem};
use crate::state::Api;

/// Longest window, in seconds: a week.
const MAX_WINDOW_S: u32 = 604_800;

/// How far to look back.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatsParams {
    /// Seconds to look back for what ended; 3600 when left out.
    #[param(minimum = 1, maximum = 604800)]
    window_s: Option<u32>,
}

/// Counts of the organisation's jobs.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobStats {
    /// Open jobs by lane, kind and state.
    open: Vec<OpenCount>,
    /// Jobs that ended inside the window, by lane, kind and state.
    ended: Vec<EndedCount>,
    /// Start of the window.
    since: DateTime<Utc>,
    /// True when more ended in the window than were looked at: the figures are of the newest 100,000.
    partial: bool,
}

/// Open jobs of one lane, kind and state.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenCount {
    lane: String,
    kind: String,
    state: JobState,
    count: i64,
    /// Since when the oldest of them has been ready; only for queued ones.
    oldest_ready_at: Option<DateTime<Utc>>,
}

/// Ended jobs of one lane, kind and state.
#[derive(Serialize, ToSchema)]
pub(crate) struct EndedCount {
    lane: String,
    kind: String,
    state: JobState,
    count: i64,
    /// Seconds from ready to taken: the median.
    wait_p50_s: Option<f64>,
    /// Seconds from ready to taken: 95 of 100 waited less.
    wait_p95_s: Option<f64>,
    /// Seconds from taken to ended: the median.
    run_p50_s: Option<f64>,
    /// Seconds from taken to ended: 95 of 100 took less.
    run_p95_s: Option<f64>,
}

/// Count jobs
#[utoipa::path(
    get,
    path = "/v1/jobs/stats",
    tag = "jobs",
    operation_id = "countJobs",
    security(("token" = ["jobs:read"])),
    params(StatsParams),
    responses((status = 200, description = "The counts.", body = JobStats), Reads),
)]
pub(crate) async fn stats(
    State(api): State<Api>,
    caller: Caller<JobsRead>,
    Params(params): Params<StatsParams>,
) -> Result<Json<JobStats>, Problem> {
    let window = params.window_s.unwrap_or(3600);
    if !(1..=MAX_WINDOW_S).contains(&window) {
        return Err(Problem::new(Code::BadQuery, "window_s: must lie between 1 and 604800"));
    }
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let stats = store::jobs::stats(&mut tx, api.now() - TimeDelta::seconds(window.into())).await?;
    Ok(Json(JobStats {
        open: stats
            .live
            .into_iter()
            .map(|row| OpenCount {
                lane: row.lane,
                kind: row.kind,
                state: row.state.0,
                count: row.count,
                oldest_ready_at: row.oldest_due_at,
            })
            .collect(),
        ended: stats
            .finished
            .into_iter()
            .map(|row| EndedCount {
                lane: row.lane,
                kind: row.kind,
                state: row.state.0,
                count: row.count,
                wait_p50_s: row.wait_p50_s,
                wait_p95_s: row.wait_p95_s,
                run_p50_s: row.run_p50_s,
                run_p95_s: row.run_p95_s,
            })
            .collect(),
        since: stats.since,
        partial: stats.partial,
    }))
}
