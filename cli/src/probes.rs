//! /metrics, /healthz and /readyz of the processes that are no API.
//!
//! Alive means that the process answers; ready means that PostgreSQL does too. Redis being away is named
//! and does not make a process unready: work goes on when it is back, without a restart.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use queue::{Queue, tend};
use serde_json::json;
use telemetry::Metrics;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::listener;

/// The whole-queue gauges cost a pass over the open jobs.
const STATS_EVERY: Duration = Duration::from_secs(5);
const PING_FOR: Duration = Duration::from_secs(2);

struct Shared {
    queue: Queue,
    metrics: Metrics,
    counted: Mutex<Option<Instant>>,
}

/// Serves until `stop`; does nothing without an address.
pub(crate) async fn start(
    address: Option<SocketAddr>,
    queue: Queue,
    metrics: Metrics,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Some(address) = address else { return Ok(()) };
    let listener = listener::bind(address, "COUNTERSIGN_METRICS_LISTEN").await?;
    info!(address = %listener.local_addr()?, "serving /metrics, /healthz and /readyz");
    let shared = Arc::new(Shared { queue, metrics, counted: Mutex::new(None) });
    let router = Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(shared);
    tokio::spawn(async move {
        axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
    });
    Ok(())
}

async fn metrics_page(State(shared): State<Arc<Shared>>) -> Response {
    let mut counted = shared.counted.lock().await;
    if counted.is_none_or(|at| at.elapsed() >= STATS_EVERY) {
        *counted = Some(Instant::now());
        let counting = tokio::time::timeout(STATS_EVERY, tend::publish_stats(&shared.queue)).await;
        if !matches!(counting, Ok(Ok(()))) {
            debug!("the queue could not be counted; its gauges keep their last values");
        }
    }
    drop(counted);
    ([(header::CONTENT_TYPE, telemetry::CONTENT_TYPE)], shared.metrics.render()).into_response()
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let postgres = matches!(tokio::time::timeout(PING_FOR, shared.queue.ping_postgres()).await, Ok(Ok(())));
    let redis = matches!(tokio::time::timeout(PING_FOR, shared.queue.ping_redis()).await, Ok(Ok(())));
    let word = |there: bool| if there { "ok" } else { "away" };
    let status = if postgres { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "postgres": word(postgres), "redis": word(redis) }))).into_response()
}
