//! Inbound webhooks: endpoints, the door, what arrived.

use std::collections::BTreeSet;

use chrono::Utc;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::app::{App, Reply};

const BODY: &str = r#"{"type":"order.paid","data":{"n":1}}"#;

struct Endpoint {
    id: String,
    path: String,
    secret: String,
}

async fn endpoint(app: &App, name: &str) -> Endpoint {
    let made = app.post("/v1/hooks/endpoints", &json!({ "provider": "standard", "name": name })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let url: reqwest::Url = made.body["url"].as_str().unwrap().parse().unwrap();
    Endpoint {
        id: made.body["endpoint_id"].as_str().unwrap().to_owned(),
        path: url.path().to_owned(),
        secret: made.body["secret"].as_str().unwrap().to_owned(),
    }
}

fn signed(app: &App, path: &str, secret: &str, id: &str, time: i64, body: &str) -> RequestBuilder {
    let signature = Webhook::new(secret).unwrap().sign(id, time, body.as_bytes()).unwrap();
    app.anonymous(Method::POST, path)
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", time.to_string())
        .header("webhook-signature", signature)
        .body(body.to_owned())
}

async fn send(app: &App, to: &Endpoint, id: &str) -> Reply {
    Reply::of(signed(app, &to.path, &to.secret, id, Utc::now().timestamp(), BODY)).await
}

#[tokio::test]
async fn what_is_signed_is_taken_in_once_and_can_be_replayed() {
    let app = App::start().await;
    let shop = endpoint(&app, "shop").await;
    let first = send(&app, &shop, "msg_1").await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{first:?}");
    let again = send(&app, &shop, "msg_1").await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body));
    let id = first.body["event_id"].as_str().unwrap();
    let shown = app.get(&format!("/v1/hooks/events/{id}")).await;
    assert_eq!((&shown.body["body"], &shown.body["state"]), (&json!(BODY), &json!("received")));
    assert_eq!(shown.body["headers"]["webhook-id"], "msg_1");
    assert!(!shown.text.contains("v1,"), "no signature is kept: {}", shown.text);
    let job = app.get(&format!("/v1/jobs/{}", first.body["job_id"].as_str().unwrap())).await.ok();
    assert_eq!((&job["kind"], &job["payload"]["hook_event_id"]), (&json!("hooks.process_event"), &json!(id)));

    let replay = || async { app.post(&format!("/v1/hooks/events/{id}/replay"), &json!({})).await };
    let replayed = replay().await;
    assert_eq!(replayed.status, StatusCode::ACCEPTED, "{replayed:?}");
    assert_ne!(replayed.body["job_id"], first.body["job_id"]);
    // While that one waits, another replay is the same.
    assert_eq!(replay().await.body["job_id"], replayed.body["job_id"]);

    send(&app, &shop, "msg_2").await.ok();
    let page = app.get("/v1/hooks/events?limit=1").await.ok();
    assert_eq!(page["events"][0]["provider_event_id"], "msg_2");
    let next = page["next_cursor"].as_str().unwrap();
    let rest = app.get(&format!("/v1/hooks/events?limit=1&cursor={next}")).await.ok();
    assert_eq!(rest["events"][0]["event_id"], id);
    assert!(rest["next_cursor"].is_null());
    app.get(&format!("/v1/hooks/events?state=failed&cursor={next}")).await.is(400, "bad_cursor");
    for (query, count) in [
        ("provider_event_id=msg_1", 1),
        ("state=received", 2),
        ("state=failed", 0),
        ("provider=stripe", 0),
        (&format!("endpoint={}", shop.id), 2),
        ("event_type=x'%20OR%201=1--", 0),
        ("received_to=2020-01-01T00:00:00Z", 0),
    ] {
        let found = app.get(&format!("/v1/hooks/events?{query}")).await.ok();
        assert_eq!(found["events"].as_array().unwrap().len(), count, "{query}");
    }
    app.get("/v1/hooks/events?state=lost").await.is(400, "bad_query");
    let (_, other) = app.other_org("other").await;
    for (method, path) in [
        (Method::GET, format!("/v1/hooks/events/{id}")),
        (Method::POST, format!("/v1/hooks/events/{id}/replay")),
        (Method::DELETE, format!("/v1/hooks/endpoints/{}", shop.id)),
        (Method::POST, format!("/v1/hooks/endpoints/{}/rotate-secret", shop.id)),
    ] {
        Reply::of(app.anonymous(method, &path).bearer_auth(&other)).await.is(404, "not_found");
    }
}

#[tokio::test]
async fn whoever_is_not_believed_learns_nothing() {
    let app = App::start().await;
    let shop = endpoint(&app, "shop").await;
    let resting = endpoint(&app, "resting").await;
    let rest = app.ask(Method::DELETE, &format!("/v1/hooks/endpoints/{}", resting.id));
    assert_eq!(Reply::of(rest).await.status, StatusCode::NO_CONTENT);
    let now = Utc::now().timestamp();
    let nobody = format!("/v1/hooks/standard/{}", uuid::Uuid::now_v7());
    let other_provider = shop.path.replace("standard", "stripe");
    let tampered = signed(&app, &shop.path, &shop.secret, "msg_1", now, BODY).body(BODY.replace('1', "2"));
    let requests = [
        signed(&app, &nobody, &shop.secret, "msg_1", now, BODY),
        signed(&app, "/v1/hooks/standard/not-an-id", &shop.secret, "msg_1", now, BODY),
        signed(&app, &other_provider, &shop.secret, "msg_1", now, BODY),
        signed(&app, "/v1/hooks/nobody/x", &shop.secret, "msg_1", now, BODY),
        signed(&app, &shop.path, &resting.secret, "msg_1", now, BODY),
        signed(&app, &resting.path, &resting.secret, "msg_1", now, BODY),
        signed(&app, &shop.path, &shop.secret, "msg_1", now - 310, BODY),
        signed(&app, &shop.path, &shop.secret, "msg_1", now + 310, BODY),
        tampered,
        app.anonymous(Method::POST, &shop.path).body(BODY),
        app.anonymous(Method::POST, &shop.path),
    ];
    let mut answers = BTreeSet::new();
    for request in requests {
        let mut reply = Reply::of(request).await;
        reply.is(401, "hook_refused");
        reply.body["request_id"] = Value::Null;
        answers.insert(reply.body.to_string());
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    let large = "x".repeat(1024 * 1024 + 1);
    Reply::of(signed(&app, &shop.path, &shop.secret, "msg_1", now, &large)).await.is(413, "body_too_large");
    assert_eq!(app.get("/v1/hooks/events").await.ok()["events"], json!([]));
    // The largest that is taken, and what is no text.
    let most = "x".repeat(1024 * 1024);
    let taken = Reply::of(signed(&app, &shop.path, &shop.secret, "msg_2", now, &most)).await.ok();
    let shown = app.get(&format!("/v1/hooks/events/{}", taken["event_id"].as_str().unwrap())).await.ok();
    assert_eq!((&shown["body"], &shown["body_bytes"]), (&Value::Null, &json!(1024 * 1024)));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_repeats_at_once_make_one_event_and_one_job() {
    let app = App::start().await;
    let shop = endpoint(&app, "shop").await;
    let replies = futures::future::join_all((0..200).map(|_| send(&app, &shop, "msg_1"))).await;
    let mut taken = BTreeSet::new();
    let mut new = 0;
    for reply in replies {
        new += usize::from(reply.status == StatusCode::ACCEPTED);
        taken.insert(reply.ok().to_string());
    }
    assert_eq!((new, taken.len()), (1, 1), "{taken:?}");
    for (count, wanted) in [("SELECT count(*) FROM hook_event", 1_i64), ("SELECT count(*) FROM job", 1)] {
        let found: i64 = sqlx::query_scalar(count).fetch_one(app.db.superuser()).await.unwrap();
        assert_eq!(found, wanted, "{count}");
    }
}

#[tokio::test]
async fn a_secret_is_exchanged_without_losing_anything() {
    let app = App::start().await;
    let mut shop = endpoint(&app, "shop").await;
    let path = format!("/v1/hooks/endpoints/{}/rotate-secret", shop.id);
    let old = shop.secret.clone();
    let rotated = app.post(&path, &json!({})).await.ok();
    assert_eq!(rotated["secrets"], 2);
    send(&app, &shop, "by_the_old").await.ok();
    shop.secret = rotated["secret"].as_str().unwrap().to_owned();
    send(&app, &shop, "by_the_new").await.ok();
    let rotated = app.post(&path, &json!({ "drop_old": true })).await.ok();
    assert_eq!(rotated["secrets"], 1);
    for secret in [&old, &shop.secret] {
        let request = signed(&app, &shop.path, secret, "late", Utc::now().timestamp(), BODY);
        Reply::of(request).await.is(401, "hook_refused");
    }
    let list = app.get("/v1/hooks/endpoints").await;
    assert!(!list.text.contains("whsec_"), "{}", list.text);
    assert!(list.body["endpoints"][0]["last_event_at"].is_string());
}

#[tokio::test]
async fn what_can_be_no_endpoint_is_refused_and_secrets_are_not_repeated() {
    let app = App::start().await;
    for (body, pointer) in [
        (json!({ "provider": "paypal", "name": "x" }), "/provider"),
        (json!({ "provider": "stripe", "name": "x" }), "/secret"),
        (json!({ "provider": "stripe", "name": "x", "secret": "sk_live_4242424242" }), "/secret"),
        (json!({ "provider": "stripe", "name": "x", "secret": 4_242_424_242_u64 }), "/secret"),
        (json!({ "provider": "standard", "name": "" }), "/name"),
        (json!({ "provider": "standard", "name": "x", "tolerance_s": 29 }), "/tolerance_s"),
        (json!({ "provider": "standard", "name": "x", "forward_url": "ftp://x" }), "/forward_url"),
        (json!({ "provider": "standard", "name": "x", "forward_url": "https://u:p@x/" }), "/forward_url"),
        (
            json!({ "provider": "standard", "name": "x", "workspace_id": uuid::Uuid::now_v7() }),
            "/workspace_id",
        ),
    ] {
        let reply = app.post("/v1/hooks/endpoints", &body).await;
        assert_eq!(reply.is(422, "invalid_request"), [pointer], "{body}");
        assert!(!reply.text.contains("4242424242"), "{reply:?}");
    }
    endpoint(&app, "shop").await;
    let twice = json!({ "provider": "standard", "name": "shop" });
    app.post("/v1/hooks/endpoints", &twice).await.is(409, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_at_one_address_is_slowed_and_others_are_not() {
    let app = App::start().await;
    let (shop, other) = (endpoint(&app, "shop").await, endpoint(&app, "other").await);
    let mut limited = 0;
    for _ in 0..200 {
        if limited > 100 {
            break;
        }
        let knocks = (0..100).map(|_| Reply::of(app.anonymous(Method::POST, &shop.path).body("x")));
        for reply in futures::future::join_all(knocks).await {
            limited += usize::from(reply.code() == "rate_limited" && reply.header("retry-after") == "1");
        }
    }
    assert!(limited > 100, "{limited}");
    send(&app, &other, "msg_1").await.ok();
}
