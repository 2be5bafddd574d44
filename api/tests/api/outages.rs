//! Servers that go away.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use testkit::{OwnServers, eventually};

use crate::app::{App, Reply};

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_jobs_are_still_taken_and_without_postgres_everybody_is_told() {
    let servers = OwnServers::start().await;
    let app = App::on(&servers).await;
    let ready = app.get("/readyz").await.ok();
    assert_eq!(
        ready,
        json!({ "status": "ready", "postgres": "ok", "redis": "ok", "migrations": "ok", "pending_migrations": [] })
    );

    servers.stop_redis().await.unwrap();
    eventually(Duration::from_secs(5), || async { app.get("/readyz").await.body["redis"] == "away" }).await;
    let degraded = app.get("/readyz").await;
    assert_eq!((degraded.status.as_u16(), &degraded.body["status"]), (200, &json!("degraded")));
    let id = app.echo().await;
    assert_eq!(app.get(&format!("/v1/jobs/{id}")).await.ok()["state"], "queued");
    for path in ["/v1/events", "/v1/limits/usage?name=x&key=y"] {
        let reply = app.get(path).await;
        if path == "/v1/events" {
            reply.is(503, "redis_away");
            assert_eq!(reply.header("retry-after"), "5");
        }
    }
    servers.start_redis().await.unwrap();
    eventually(Duration::from_secs(10), || async { app.get("/readyz").await.body["redis"] == "ok" }).await;

    // The supervisor brings PostgreSQL back; until then every answer is a 503 that says so.
    let pid = servers.postgres_pid();
    servers.kill_postgres().await.unwrap();
    let mut told = 0;
    for _ in 0..50 {
        let reply = app.post("/v1/jobs", &json!({ "kind": "system.noop", "payload": {} })).await;
        if reply.status.as_u16() == 503 {
            reply.is(503, "database_away");
            assert_eq!(reply.header("retry-after"), "5");
            told += 1;
            let not_ready = app.get("/readyz").await;
            if not_ready.status.as_u16() == 503 {
                assert_eq!(not_ready.header("retry-after"), "5");
            }
        } else {
            assert_eq!(reply.status.as_u16(), 202, "{reply:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eventually(Duration::from_secs(20), || async { app.get("/readyz").await.body["status"] == "ready" })
        .await;
    assert_ne!(servers.postgres_pid(), pid);
    app.get(&format!("/v1/jobs/{id}")).await.ok();
    app.echo().await;
    assert!(told > 0, "the outage was too short to be seen");
    drop(app);
    servers.stop().await;
}

#[tokio::test]
async fn missing_migrations_are_named() {
    let app = App::start().await;
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)")
        .execute(app.db.superuser())
        .await
        .unwrap();
    let reply = Reply::of(app.anonymous(Method::GET, "/readyz")).await;
    assert_eq!((reply.status.as_u16(), &reply.body["migrations"]), (503, &json!("pending")));
    assert_eq!(reply.body["pending_migrations"].as_array().unwrap().len(), 1);
    assert_eq!(reply.header("retry-after"), "5");
}
