//! `GET /metrics`: this process's figures for Prometheus. Keep it behind the gateway.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;

use crate::openapi::Public;
use crate::state::Api;

/// Figures for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "process",
    operation_id = "metrics",
    security(()),
    responses((status = 200, description = "Prometheus' text format.", content_type = "text/plain", body = String), Public),
)]
pub(crate) async fn metrics(State(api): State<Api>) -> Response {
    let text = api.metrics().map(telemetry::Metrics::render).unwrap_or_default();
    ([(header::CONTENT_TYPE, telemetry::CONTENT_TYPE)], text).into_response()
}
