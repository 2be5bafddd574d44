//! Rates.

use serde_json::json;

use super::{About, Bound, Recipe};
use crate::call::Call;

pub(super) fn recipes() -> Vec<Recipe> {
    vec![
        Recipe::new("GET /v1/limits", About::Many(Bound::Org), |s| {
            Box::pin(async { Call::plain().shows(s.limit().await) })
        }),
        Recipe::new("PUT /v1/limits", About::Nothing, |_| {
            Box::pin(async { Call::with(json!({ "name": "calls", "units": 5, "period_ms": 1000 })) })
        }),
        Recipe::new("GET /v1/limits/usage", About::Nothing, |_| {
            Box::pin(async { Call::plain().asking("name=calls&key=one") })
        }),
        Recipe::new("DELETE /v1/limits/{limit_id}", About::One(Bound::Org), |s| {
            Box::pin(async { Call::at(s.limit().await) })
        }),
    ]
}
