//! Schedules.

use serde_json::json;
use uuid::Uuid;

use super::{About, Bound, Recipe};
use crate::call::Call;

pub(super) fn recipes() -> Vec<Recipe> {
    let one = About::One(Bound::Room);
    vec![
        Recipe::new("GET /v1/schedules", About::Many(Bound::Room), |s| {
            Box::pin(async { Call::plain().shows(s.schedule().await) })
        }),
        Recipe::new("POST /v1/schedules", About::NamesRoom, |s| {
            Box::pin(async {
                Call::with(json!({
                    "name": Uuid::now_v7(), "expression": "@daily", "kind": "system.echo",
                    "payload": { "message": "good night" }, "workspace_id": s.room(),
                }))
            })
        }),
        Recipe::new("POST /v1/schedules/preview", About::Nothing, |_| {
            Box::pin(async { Call::with(json!({ "expression": "@daily" })) })
        })
        .unrecorded("it only looks"),
        Recipe::new("GET /v1/schedules/{schedule_id}", one, |s| {
            Box::pin(async { Call::at(s.schedule().await) })
        }),
        Recipe::new("PATCH /v1/schedules/{schedule_id}", one, |s| {
            Box::pin(async { Call::at(s.schedule().await).and_with(json!({ "priority": 3 })) })
        }),
        Recipe::new("DELETE /v1/schedules/{schedule_id}", one, |s| {
            Box::pin(async { Call::at(s.schedule().await) })
        }),
        Recipe::new("POST /v1/schedules/{schedule_id}/pause", one, |s| {
            Box::pin(async { Call::at(s.schedule().await) })
        }),
        Recipe::new("POST /v1/schedules/{schedule_id}/resume", one, |s| {
            Box::pin(async { Call::at(s.schedule().await) })
        }),
        Recipe::new("POST /v1/schedules/{schedule_id}/run-now", one, |s| {
            Box::pin(async { Call::at(s.schedule().await) })
        }),
        Recipe::new("GET /v1/schedules/{schedule_id}/ticks", one, |s| {
            Box::pin(async { Call::at(s.schedule().await) })
        }),
    ]
}
