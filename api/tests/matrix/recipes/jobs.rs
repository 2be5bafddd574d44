//! Jobs, batches and their changes.

use serde_json::json;

use super::{About, Bound, Recipe, plain};
use crate::call::Call;

pub(super) fn recipes() -> Vec<Recipe> {
    vec![
        Recipe::new("POST /v1/jobs", About::NamesRoom, |s| {
            Box::pin(async {
                let payload = json!({ "message": "hello" });
                Call::with(json!({ "kind": "system.echo", "payload": payload, "workspace_id": s.room() }))
            })
        }),
        Recipe::new("POST /v1/jobs/batch", About::NamesRoom, |s| {
            Box::pin(async {
                let job = json!({ "kind": "system.noop", "payload": {}, "workspace_id": s.room() });
                Call::with(json!({ "name": "two", "jobs": [job, job] }))
            })
        }),
        Recipe::new("GET /v1/jobs", About::Many(Bound::Private), |s| {
            Box::pin(async { Call::plain().asking("limit=200&state=scheduled").shows(s.job().await) })
        }),
        Recipe::new("GET /v1/jobs/stats", About::Nothing, plain),
        Recipe::new("GET /v1/jobs/{job_id}", About::One(Bound::Private), |s| {
            Box::pin(async { Call::at(s.job().await) })
        }),
        Recipe::new("POST /v1/jobs/{job_id}/cancel", About::One(Bound::Private), |s| {
            Box::pin(async { Call::at(s.job().await).and_with(json!({ "reason": "not wanted" })) })
        }),
        Recipe::new("POST /v1/jobs/{job_id}/retry", About::One(Bound::Private), |s| {
            Box::pin(async { Call::at(s.job().await) })
        }),
        Recipe::new("GET /v1/batches/{batch_id}", About::One(Bound::Private), |s| {
            Box::pin(async { Call::at(s.batch().await) })
        }),
        // What its readers see of changes is in tests/api/events.rs.
        Recipe::new("GET /v1/events", About::Nothing, plain),
    ]
}
