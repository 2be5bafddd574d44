//! Schedules: made, changed, rested, run, looked ahead.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{App, Reply};

fn nightly() -> Value {
    json!({ "name": "nightly", "expression": "30 2 * * *", "zone": "Europe/Madrid", "kind": "system.echo", "payload": { "message": "night" } })
}

#[tokio::test]
async fn a_schedule_lives_its_life() {
    let app = App::start().await;
    let made = app.post("/v1/schedules", &nightly()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let path = made.header("location").to_owned();
    assert_eq!(made.body["description"], "every day at 02:30, Europe/Madrid");
    assert_eq!(made.body["payload"], json!({ "message": "night" }));
    app.post("/v1/schedules", &nightly()).await.is(409, "conflict");

    let shown = app.get(&path).await.ok();
    assert!(shown["next_tick_at"].is_string());
    let ticks = app.get(&format!("{path}/ticks?n=3")).await.ok();
    assert_eq!(ticks["ticks"].as_array().unwrap().len(), 3);
    assert_eq!(ticks["ticks"][0]["at"], shown["next_tick_at"]);
    app.get(&format!("{path}/ticks?n=0")).await.is(400, "bad_query");

    let patch = |body: Value| Reply::of(app.ask(Method::PATCH, &path).json(&body));
    let changed =
        patch(json!({ "expression": "@every 90s", "lane": "bulk", "payload": { "message": "often" } }))
            .await
            .ok();
    assert_eq!((&changed["lane"], &changed["payload"]["message"]), (&json!("bulk"), &json!("often")));
    assert_eq!(patch(json!({ "lane": null })).await.ok()["lane"], Value::Null);
    assert_eq!(patch(json!({ "kind": "system.noop" })).await.is(422, "invalid_request"), ["/payload"]);
    patch(json!({ "kind": "system.noop", "payload": {} })).await.ok();
    assert_eq!(
        patch(json!({ "payload": { "message": 1 } })).await.is(422, "invalid_payload"),
        ["/payload/message"]
    );

    assert_eq!(app.post(&format!("{path}/pause"), &json!({})).await.ok()["paused"], true);
    assert_eq!(app.get(&format!("{path}/ticks")).await.ok()["ticks"], json!([]));
    assert_eq!(
        app.get("/v1/schedules?paused=true&q=NIGHT").await.ok()["schedules"].as_array().unwrap().len(),
        1
    );
    assert_eq!(app.get("/v1/schedules?paused=false").await.ok()["schedules"], json!([]));

    let run = |key: &'static str| {
        Reply::of(app.ask(Method::POST, &format!("{path}/run-now")).header("idempotency-key", key))
    };
    let first = run("a").await;
    assert_eq!((first.status, &first.body["created"]), (StatusCode::ACCEPTED, &json!(true)));
    assert_eq!(run("a").await.ok()["job_id"], first.body["job_id"]);
    assert_ne!(run("b").await.ok()["job_id"], first.body["job_id"]);
    assert_eq!(app.get(first.header("location")).await.ok()["kind"], "system.noop");
    assert_eq!(app.post(&format!("{path}/resume"), &json!({})).await.ok()["paused"], false);

    let (_, other) = app.other_org("other").await;
    for (method, tail) in [
        (Method::GET, ""),
        (Method::GET, "/ticks"),
        (Method::DELETE, ""),
        (Method::POST, "/run-now"),
        (Method::POST, "/pause"),
    ] {
        let theirs = app.anonymous(method, &format!("{path}{tail}")).bearer_auth(&other);
        Reply::of(theirs).await.is(404, "not_found");
    }
    assert_eq!(Reply::of(app.ask(Method::DELETE, &path)).await.status, StatusCode::NO_CONTENT);
    app.get(&path).await.is(404, "not_found");
}

#[tokio::test]
async fn what_can_be_no_schedule_is_refused_field_by_field() {
    let app = App::start().await;
    let with = |changes: Value| {
        let mut body = nightly();
        for (field, value) in changes.as_object().unwrap() {
            body[field] = value.clone();
        }
        body
    };
    let both = app
        .post("/v1/schedules", &with(json!({ "expression": "61 * * * *", "zone": "Europe/Madird" })))
        .await;
    assert_eq!(both.is(422, "invalid_request"), ["/expression", "/zone"]);
    for (changes, code, pointer) in [
        (json!({ "name": "" }), "invalid_request", "/name"),
        (json!({ "name": "a\0b" }), "invalid_request", "/name"),
        (json!({ "catch_up": "some" }), "invalid_request", "/catch_up"),
        (json!({ "jitter_ms": -1 }), "invalid_request", "/jitter_ms"),
        (json!({ "priority": 101 }), "invalid_request", "/priority"),
        (json!({ "lane": "express" }), "invalid_request", "/lane"),
        (json!({ "workspace_id": uuid::Uuid::now_v7() }), "invalid_request", "/workspace_id"),
        (json!({ "kind": "system.ecko" }), "unknown_kind", "/kind"),
        (json!({ "payload": {} }), "invalid_payload", "/payload"),
        (json!({ "payload": { "message": "a\0b" } }), "invalid_request", "/payload"),
    ] {
        let reply = app.post("/v1/schedules", &with(changes)).await;
        assert!(reply.is(422, code).iter().any(|at| at.starts_with(pointer)), "{reply:?}");
    }
    assert_eq!(app.get("/v1/schedules").await.ok()["schedules"], json!([]));
}

#[tokio::test]
async fn an_expression_is_previewed() {
    let app = App::start().await;
    let seen = app
        .post(
            "/v1/schedules/preview",
            &json!({ "expression": "0 9 * * 1-5", "zone": "America/New_York", "n": 5 }),
        )
        .await
        .ok();
    assert_eq!(seen["ticks"].as_array().unwrap().len(), 5);
    assert!(seen["description"].as_str().unwrap().contains("New_York"));
    assert_eq!(
        app.post("/v1/schedules/preview", &json!({ "expression": "0 0 30 2 *" }))
            .await
            .is(422, "invalid_request"),
        ["/expression"]
    );
    assert_eq!(
        app.post("/v1/schedules/preview", &json!({ "expression": "@daily", "n": 101 }))
            .await
            .is(422, "invalid_request"),
        ["/n"]
    );
}
