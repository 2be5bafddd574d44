//! Bad input: each a clear problem, none a 500.

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{App, Reply};

#[tokio::test]
async fn fields_that_do_not_fit_are_named() {
    let app = App::start().await;
    let echo = json!({ "message": "x" });
    let now = chrono::Utc::now();
    let table: Vec<(Value, &str, &str)> = vec![
        (json!({ "kind": "system.ecko", "payload": echo }), "unknown_kind", "/kind"),
        (json!({ "kind": "", "payload": echo }), "unknown_kind", "/kind"),
        (json!({ "kind": "system.echo", "version": 99, "payload": echo }), "unknown_version", "/version"),
        (json!({ "kind": "system.echo", "version": 99_999, "payload": echo }), "invalid_request", "/version"),
        (
            json!({ "kind": "system.echo", "payload": { "message": 1 } }),
            "invalid_payload",
            "/payload/message",
        ),
        (
            json!({ "kind": "system.echo", "payload": { "message": "x", "more": 1 } }),
            "invalid_payload",
            "/payload/more",
        ),
        (json!({ "kind": "system.echo", "payload": [] }), "invalid_payload", "/payload"),
        (json!({ "kind": "system.echo" }), "invalid_request", ""),
        (json!({ "payload": echo }), "invalid_request", ""),
        (json!({ "kind": 7, "payload": echo }), "invalid_request", "/kind"),
        (json!({ "kind": "system.echo", "payload": echo, "colour": "red" }), "invalid_request", "/colour"),
        (json!({ "kind": "system.echo", "payload": echo, "lane": "express" }), "invalid_request", "/lane"),
        (json!({ "kind": "system.echo", "payload": echo, "priority": 101 }), "invalid_request", "/priority"),
        (
            json!({ "kind": "system.echo", "payload": echo, "max_attempts": 0 }),
            "invalid_request",
            "/max_attempts",
        ),
        (
            json!({ "kind": "system.echo", "payload": echo, "run_at": "tomorrow" }),
            "invalid_request",
            "/run_at",
        ),
        (
            json!({ "kind": "system.echo", "payload": echo, "run_at": now + chrono::Duration::days(400) }),
            "invalid_request",
            "/run_at",
        ),
        (
            json!({ "kind": "system.echo", "payload": echo, "run_at": now - chrono::Duration::days(400) }),
            "invalid_request",
            "/run_at",
        ),
        (
            json!({ "kind": "system.echo", "payload": echo, "deadline_at": now - chrono::Duration::days(1) }),
            "invalid_request",
            "/deadline_at",
        ),
        (
            json!({ "kind": "system.echo", "payload": echo, "unique_key": "" }),
            "invalid_request",
            "/unique_key",
        ),
        (
            json!({ "kind": "system.echo", "payload": echo, "unique_key": "x".repeat(256) }),
            "invalid_request",
            "/unique_key",
        ),
        (json!({ "kind": "system.echo", "payload": { "message": "a\0b" } }), "invalid_request", "/payload"),
        (
            json!({ "kind": "system.echo", "payload": echo, "then": [{ "kind": "system.echo", "payload": echo }, { "kind": "system.echo", "payload": {} }] }),
            "invalid_payload",
            "/then/1/payload",
        ),
    ];
    for (body, code, pointer) in table {
        let reply = app.post("/v1/jobs", &body).await;
        let pointers = reply.is(422, code);
        assert!(pointers.iter().any(|at| at.starts_with(pointer)), "{body}: {reply:?}");
    }
    let near = app.post("/v1/jobs", &json!({ "kind": "system.ecko", "payload": echo })).await;
    assert!(near.body["detail"].as_str().unwrap().contains("system.echo"), "{near:?}");
    let none: i64 =
        sqlx::query_scalar("SELECT count(*) FROM job").fetch_one(app.db.superuser()).await.unwrap();
    assert_eq!(none, 0);
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused() {
    let app = App::start().await;
    let send = |content_type: &'static str, body: Vec<u8>| {
        Reply::of(app.ask(Method::POST, "/v1/jobs").header("content-type", content_type).body(body))
    };
    for text in ["", "{", "nope", "{\"kind\":\"system.echo\",\"payload\":{}} {}", "\u{feff}{}"] {
        send("application/json", text.into()).await.is(400, "bad_json");
    }
    send("application/json", b"{\"kind\":\"\xff\"}".to_vec()).await.is(400, "bad_json");
    for content_type in ["text/plain", "application/xml", "multipart/form-data"] {
        send(content_type, b"{}".to_vec()).await.is(415, "unsupported_media_type");
    }
    let deep = format!("{{\"kind\":\"system.echo\",\"payload\":{}1{}}}", "[".repeat(4000), "]".repeat(4000));
    let reply = send("application/json", deep.into_bytes()).await;
    assert!(matches!(reply.status.as_u16(), 400 | 422), "{reply:?}");
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let app = App::start().await;
    let of = |bytes: usize| json!({ "kind": "system.echo", "payload": { "message": "x".repeat(bytes) } });
    let payload = app.post("/v1/jobs", &of(260 * 1024)).await;
    payload.is(413, "payload_too_large");
    assert!(payload.body["detail"].as_str().unwrap().contains("262144"));
    app.post("/v1/jobs", &of(299 * 1024 + 1024)).await.is(413, "body_too_large");
    // Without a length in its head the body is counted as it comes.
    let chunks = futures::stream::iter((0..400).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024])));
    let unannounced = app
        .ask(Method::POST, "/v1/jobs")
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap_stream(chunks));
    Reply::of(unannounced).await.is(413, "body_too_large");
}

#[tokio::test]
async fn bad_keys_are_refused() {
    let app = App::start().await;
    let body = json!({ "kind": "system.echo", "payload": { "message": "x" } });
    let long = "x".repeat(256);
    for key in [b"".as_slice(), long.as_bytes(), "schlüssel".as_bytes()] {
        let value = reqwest::header::HeaderValue::from_bytes(key).unwrap();
        let reply =
            Reply::of(app.ask(Method::POST, "/v1/jobs").header("idempotency-key", value).json(&body)).await;
        reply.is(400, "bad_idempotency_key");
    }
    let twice =
        app.ask(Method::POST, "/v1/jobs").header("idempotency-key", "a").header("idempotency-key", "b");
    Reply::of(twice.json(&body)).await.is(400, "bad_idempotency_key");
    let mut both = body.clone();
    both["idempotency_key"] = json!("b");
    let differ = app.ask(Method::POST, "/v1/jobs").header("idempotency-key", "a").json(&both);
    Reply::of(differ).await.is(400, "bad_idempotency_key");
}

#[tokio::test]
async fn paths_methods_queries_and_cursors_are_checked() {
    let app = App::start().await;
    app.get("/v1/nothing").await.is(404, "no_such_route");
    app.get("/v1/jobs/").await.is(404, "no_such_route");
    let method = Reply::of(app.ask(Method::DELETE, "/v1/jobs")).await;
    method.is(405, "method_not_allowed");
    assert!(method.header("allow").contains("POST"), "{method:?}");
    app.get("/v1/jobs/not-an-id").await.is(400, "bad_path");
    app.get("/v1/jobs/%FF").await.is(400, "bad_path");
    app.get(&format!("/v1/jobs/{}", uuid::Uuid::now_v7())).await.is(404, "not_found");

    for query in [
        "limit=0",
        "limit=201",
        "limit=many",
        "state=odd",
        "states=dead",
        "created_from=yesterday",
        "batch=7",
        "kind=a%00b",
        "q=%00",
        "limit=1&limit=2",
    ] {
        app.get(&format!("/v1/jobs?{query}")).await.is(400, "bad_query");
    }
    for q in ["q=", &format!("q={}", "x".repeat(201))] {
        app.get(&format!("/v1/jobs?{q}")).await.is(422, "invalid_request");
    }
    for cursor in ["x", "AQ", "%00", &"A".repeat(5000)] {
        app.get(&format!("/v1/jobs?cursor={cursor}")).await.is(400, "bad_cursor");
    }
}

#[tokio::test]
async fn request_ids_are_taken_over_only_when_they_are_plain() {
    let app = App::start().await;
    for (sent, kept) in [("abc-1", true), ("a b", false), (&"x".repeat(129), false)] {
        let reply = Reply::of(app.ask(Method::GET, "/v1/kinds").header("x-request-id", sent)).await;
        assert_eq!(reply.header("x-request-id") == sent, kept, "{sent}");
        assert!(!reply.header("x-request-id").is_empty());
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let config =
        api::ApiConfig { body_timeout: std::time::Duration::from_millis(200), ..api::ApiConfig::default() };
    let app = App::configured(config).await;
    let never = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let request = app
        .ask(Method::POST, "/v1/jobs")
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap_stream(never));
    Reply::of(request).await.is(408, "body_timeout");
}

#[tokio::test]
async fn kinds_that_our_own_routes_make_are_not_for_asking() {
    let app = App::start().await;
    // Else whoever may enqueue replays a webhook, or mails a reset's link anew, without the permission for it.
    let id = uuid::Uuid::now_v7();
    let asked = |kind: &str, field: &str| json!({ "kind": kind, "payload": { field: id } });
    for (kind, field) in [
        ("hooks.process_event", "hook_event_id"),
        ("people.send_invitation", "invitation_id"),
        ("people.send_password_reset", "reset_id"),
        ("auth.begin_oidc", "flow_id"),
        ("auth.finish_oidc", "flow_id"),
    ] {
        let one = asked(kind, field);
        let first = json!({ "kind": "system.noop", "payload": {}, "then": [one] });
        let every_day = json!({ "name": kind, "expression": "0 6 * * *", "zone": "UTC", "kind": kind,
                                "payload": { field: id } });
        for (path, body, pointer) in [
            ("/v1/jobs", one.clone(), "/kind"),
            ("/v1/jobs", first, "/then/0/kind"),
            ("/v1/jobs/batch", json!({ "jobs": [one] }), "/jobs/0/kind"),
            ("/v1/approvals", json!({ "job": one, "summary": "please" }), "/job/kind"),
            ("/v1/schedules", every_day, "/kind"),
        ] {
            let refused = app.post(path, &body).await;
            assert_eq!(refused.is(422, "invalid_request"), [pointer], "{path} {kind}: {refused:?}");
        }
    }
}
