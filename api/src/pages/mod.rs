//! Pages for people, without a token: the front page, the reference, the meaning of each error.
//!
//! Everything is in the program: no scripts, no fonts, nothing from elsewhere.

mod contents;
mod errors;
mod home;
mod html;
mod markdown;
mod reference;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, header};
use utoipa::openapi::OpenApi;

use crate::state::Api;

/// The pages; the reference is rendered once.
pub(crate) fn router(document: &OpenApi) -> Router<Api> {
    let json: Arc<str> = crate::written(document).into();
    let reference: Arc<str> = reference::page(document).into();
    let docs = move || async move { page(reference.to_string()) };
    let error_list = || async { page(errors::index()) };
    // With and without a slash at the end: people type both.
    Router::new()
        .route("/", get(|| async { page(home::page()) }))
        .route("/docs", get(docs.clone()))
        .route("/docs/", get(docs))
        .route("/docs/errors", get(error_list))
        .route("/docs/errors/", get(error_list))
        .route("/docs/errors/{code}", get(errors::show))
        .route("/openapi.json", get(move || async move { document_answer(&json) }))
}

fn document_answer(json: &str) -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], json.to_owned())
        .into_response()
}

/// An HTML answer that may load and run nothing.
fn page(html: String) -> Response {
    let mut response = ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
