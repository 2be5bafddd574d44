//! `GET /healthz` (this process lives) and `GET /readyz` (it can do its work).

use std::future::Future;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;
use store::migrate;
use telemetry::metric;
use utoipa::ToSchema;

use crate::openapi::Public;
use crate::state::Api;

/// Longest a server may take to answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(1);

/// Is the process alive?
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "process",
    operation_id = "healthz",
    security(()),
    responses((status = 200, description = "It lives.", content_type = "text/plain", body = String), Public),
)]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// What the process depends on.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ready`, `degraded` (works, but later) or `not_ready`.
    status: &'static str,
    /// `ok` or `away`.
    postgres: &'static str,
    /// `ok` or `away`: then jobs are taken and dispatched later.
    redis: &'static str,
    /// `ok`, `pending` or `unknown` (PostgreSQL is away).
    migrations: &'static str,
    /// The migrations that are missing; `countersign migrate` applies them.
    pending_migrations: Vec<String>,
}

/// Can the process do its work?
///
/// Without Redis it is `degraded` and still answers 200: jobs are accepted and dispatched when Redis is back.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "process",
    operation_id = "readyz",
    security(()),
    responses(
        (status = 200, description = "It can.", body = Readiness),
        (status = 503, description = "It can't: PostgreSQL is away or migrations are missing.", body = Readiness,
            headers(("Retry-After" = u32, description = "Seconds to wait before asking again."))),
        Public,
    ),
)]
pub(crate) async fn readyz(State(api): State<Api>) -> Response {
    let readiness = check(&api).await;
    if readiness.status == "not_ready" {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], Json(readiness))
            .into_response();
    }
    Json(readiness).into_response()
}

/// Asks both servers; the gauges of this process show the answer too.
pub(crate) async fn check(api: &Api) -> Readiness {
    let (pending, redis) =
        tokio::join!(within(migrate::pending(api.store())), within(api.queue().ping_redis()));
    let readiness = judge(pending.as_deref(), redis.is_some());
    let up = |ok: bool| if ok { 1.0 } else { 0.0 };
    ::metrics::gauge!(metric::POSTGRES_UP).set(up(readiness.postgres == "ok"));
    ::metrics::gauge!(metric::REDIS_UP).set(up(readiness.redis == "ok"));
    readiness
}

async fn within<T, E: std::fmt::Display>(asking: impl Future<Output = Result<T, E>>) -> Option<T> {
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::debug!(%error, "not ready");
            None
        }
        Err(_) => None,
    }
}

/// `pending` is none when PostgreSQL did not answer.
fn judge(pending: Option<&[migrate::Pending]>, redis: bool) -> Readiness {
    let missing: Vec<String> = pending
        .unwrap_or_default()
        .iter()
        .map(|migration| format!("{:04} {}", migration.version, migration.description))
        .collect();
    let (postgres, migrations) = match pending {
        None => ("away", "unknown"),
        Some([]) => ("ok", "ok"),
        Some(_) => ("ok", "pending"),
    };
    let status = match (migrations, redis) {
        ("ok", true) => "ready",
        ("ok", false) => "degraded",
        _ => "not_ready",
    };
    Readiness {
        status,
        postgres,
        redis: if redis { "ok" } else { "away" },
        migrations,
        pending_migrations: missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_postgres_and_migrations_decide() {
        let missing = [migrate::Pending { version: 2, description: "queue".into() }];
        for (pending, redis, status) in [
            (Some([].as_slice()), true, "ready"),
            (Some([].as_slice()), false, "degraded"),
            (Some(&missing), true, "not_ready"),
            (None, true, "not_ready"),
            (None, false, "not_ready"),
        ] {
            assert_eq!(judge(pending, redis).status, status);
        }
        assert_eq!(judge(Some(&missing), true).pending_migrations, ["0002 queue"]);
    }
}
