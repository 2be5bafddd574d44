//! The routes, one file each, and the few checks several of them make.

pub(crate) mod approvals;
mod audit;
mod batches;
mod dead;
mod events;
pub(crate) mod health;
pub(crate) mod hooks;
pub(crate) mod jobs;
mod kinds;
mod lanes;
mod limits;
pub(crate) mod me;
mod metrics;
mod people;
mod schedules;
mod secrets;
mod sign_in;
mod workers;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::{Problem, not_found};
use crate::state::Api;

/// Every documented route.
pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(sign_in::router())
        .merge(me::router())
        .merge(people::router())
        .merge(jobs::router())
        .routes(routes!(batches::show_batch))
        .routes(routes!(events::events))
        .merge(dead::router())
        .merge(lanes::router())
        .merge(limits::router())
        .merge(schedules::router())
        .merge(approvals::router())
        .merge(audit::router())
        .merge(secrets::router())
        .merge(hooks::router())
        .routes(routes!(kinds::kinds))
        .routes(routes!(workers::workers))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
}

/// A reason people can read later.
fn check_reason(reason: &str) -> Result<&str, Problem> {
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > 1000 || reason.contains('\0') {
        return Err(Problem::field("/reason", "must have 1 to 1000 bytes and no U+0000"));
    }
    Ok(reason)
}

/// A name no lane can have is a lane that is not there.
fn check_lane_name(lane: &str) -> Result<(), Problem> {
    if lane.contains('\0') { Err(not_found("lane")) } else { Ok(()) }
}

/// PostgreSQL's text can't hold U+0000.
fn no_nul_in(pointer: &str, text: &str) -> Result<(), Problem> {
    if text.contains('\0') {
        Err(Problem::field(pointer, "must not contain the character U+0000"))
    } else {
        Ok(())
    }
}
