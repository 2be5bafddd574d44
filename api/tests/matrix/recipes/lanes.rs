//! Lanes: the organisation's own share of each, named by a word everybody knows.

use serde_json::json;

use super::{About, Recipe, plain};
use crate::call::Call;

pub(super) fn recipes() -> Vec<Recipe> {
    vec![
        Recipe::new("GET /v1/lanes", About::Nothing, plain),
        Recipe::new("PATCH /v1/lanes/{lane}", About::Nothing, |_| {
            Box::pin(async { Call::at("bulk").and_with(json!({ "org_cap": 5 })) })
        }),
        Recipe::new("POST /v1/lanes/{lane}/pause", About::Nothing, |_| {
            Box::pin(async { Call::at("reports") })
        }),
        Recipe::new("POST /v1/lanes/{lane}/resume", About::Nothing, |_| {
            Box::pin(async { Call::at("reports") })
        }),
        Recipe::new("POST /v1/lanes/{lane}/drain", About::Nothing, |_| Box::pin(async { Call::at("voice") })),
    ]
}
