//! The door: authenticate, authorise, validate, enqueue, answer.
//!
//! A 202 means that the job is committed. Every error is problem details with a code that has a page in
//! `docs/errors`. The routes are one file each; the document at `/openapi.json` is generated from them.
//!
//! Refuses to call a provider (it can't see one), to run a job, and to let anybody act without a session
//! or token that may do what the handler's own signature states.

mod auth;
mod config;
mod edge;
mod input;
mod openapi;
mod pages;
pub mod problem;
mod routes;
mod serve;
mod state;
mod streams;

use axum::Router;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

pub use auth::passwords;
pub use config::{ApiConfig, ConfigError};
pub use serve::serve;
pub use state::{Api, ApiKeys};

/// Everything this process answers.
pub fn app(api: Api) -> Router {
    let (documented, document) = documented();
    documented
        .merge(pages::router(&document))
        .fallback(edge::no_such_route)
        .method_not_allowed_fallback(edge::method_not_allowed)
        .layer(axum::middleware::from_fn(edge::edge))
        .with_state(api)
}

/// The OpenAPI 3.1 document of the routes, as JSON text.
#[must_use]
pub fn openapi() -> String {
    written(&documented().1)
}

fn documented() -> (Router<Api>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(openapi::Document::openapi()).merge(routes::router()).split_for_parts()
}

fn written(document: &utoipa::openapi::OpenApi) -> String {
    // The document is made of plain data; it always has a JSON form.
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
