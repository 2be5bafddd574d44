//! Shared rates.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{App, Reply};

#[tokio::test]
async fn rates_are_set_seen_and_taken_away() {
    let app = App::start().await;
    let put = |body: Value| Reply::of(app.ask(Method::PUT, "/v1/limits").json(&body));
    let made =
        put(json!({ "name": "webhooks.endpoint", "key": "a:443", "units": 5, "period_ms": 1000 })).await.ok();
    assert_eq!((&made["owner"], &made["burst"], &made["waiting"]), (&json!("org"), &json!(5), &json!(0)));
    let again = put(
        json!({ "name": "webhooks.endpoint", "key": "a:443", "units": 9, "period_ms": 1000, "burst": 2 }),
    )
    .await
    .ok();
    assert_eq!((&again["limit_id"], &again["units"]), (&made["limit_id"], &json!(9)));

    let usage = app.get("/v1/limits/usage?name=webhooks.endpoint&key=a:443").await.ok();
    assert_eq!((&usage["usage"]["units"], &usage["usage"]["used_units"]), (&json!(9), &json!(0.0)));
    let free = app.get("/v1/limits/usage?name=webhooks.endpoint&key=b:443").await.ok();
    assert_eq!(free["usage"], Value::Null);
    app.get("/v1/limits/usage?name=x").await.is(400, "bad_query");

    for (field, bad) in [
        ("name", json!("Bad Name")),
        ("units", json!(0)),
        ("period_ms", json!(0)),
        ("burst", json!(0)),
        ("key", json!("")),
    ] {
        let mut body = json!({ "name": "x", "units": 1, "period_ms": 1000 });
        body[field] = bad;
        assert_eq!(put(body).await.is(422, "invalid_request"), [format!("/{field}")]);
    }

    let (_, other) = app.other_org("other").await;
    let path = format!("/v1/limits/{}", made["limit_id"].as_str().unwrap());
    let theirs = Reply::of(app.anonymous(Method::GET, "/v1/limits").bearer_auth(&other)).await.ok();
    assert_eq!(theirs["limits"], json!([]));
    Reply::of(app.anonymous(Method::DELETE, &path).bearer_auth(&other)).await.is(404, "not_found");
    let gone = Reply::of(app.ask(Method::DELETE, &path)).await;
    assert_eq!((gone.status, gone.text.as_str()), (StatusCode::NO_CONTENT, ""));
    Reply::of(app.ask(Method::DELETE, &path)).await.is(404, "not_found");
    assert_eq!(app.get("/v1/limits").await.ok()["limits"], json!([]));
}
