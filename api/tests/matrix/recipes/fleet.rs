//! The process itself, kinds and workers.

use super::{About, Recipe, plain};

pub(super) fn recipes() -> Vec<Recipe> {
    vec![
        Recipe::new("GET /v1/kinds", About::Nothing, plain),
        Recipe::new("GET /v1/workers", About::Nothing, plain),
        Recipe::new("GET /healthz", About::Public, plain),
        Recipe::new("GET /readyz", About::Public, plain),
        Recipe::new("GET /metrics", About::Public, plain),
    ]
}
