//! The live stream.

use std::time::Duration;

use api::ApiConfig;
use domain::Role;
use futures::StreamExt;
use reqwest::{Method, Response};
use serde_json::json;

use crate::app::{App, Reply};
use crate::sign_in::browser::Browser;
use crate::sign_in::people;

/// Reads until `wanted` is in the text.
async fn until(response: Response, wanted: &str) -> String {
    let mut text = String::new();
    let mut bytes = response.bytes_stream();
    let reading = async {
        while !text.contains(wanted) {
            text.push_str(&String::from_utf8_lossy(&bytes.next().await.unwrap().unwrap()));
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(15), reading).await;
    assert!(done.is_ok(), "{wanted} did not come: {text}");
    text
}

async fn watch(app: &App, last: Option<&str>) -> Response {
    let mut request = app.ask(Method::GET, "/v1/events");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response
}

#[tokio::test]
async fn changes_arrive_and_can_be_resumed() {
    let app = App::start().await;
    let stream = watch(&app, None).await;
    let first = app.echo().await;
    let text = until(stream, &first).await;
    assert!(text.contains("event: job") && text.contains(r#""state":"queued""#), "{text}");
    let id = text.lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();

    let second = app.echo().await;
    let resumed = until(watch(&app, Some(&id)).await, &second).await;
    assert!(!resumed.contains(&first), "{resumed}");
    let lost = until(watch(&app, Some("1-0")).await, "event: reset").await;
    assert!(lost.contains("data: {}"), "{lost}");
}

#[tokio::test]
async fn another_organisation_sees_nothing() {
    let app = App::start().await;
    let (_, other) = app.other_org("other").await;
    let theirs = app.anonymous(Method::GET, "/v1/events").bearer_auth(&other).send().await.unwrap();
    let own = watch(&app, None).await;
    let id = app.echo().await;
    until(own, &id).await;
    let mine = app
        .anonymous(Method::POST, "/v1/jobs")
        .bearer_auth(&other)
        .json(&json!({ "kind": "system.noop", "payload": {} }));
    let mine = Reply::of(mine).await.ok()["job_id"].as_str().unwrap().to_owned();
    assert!(!until(theirs, &mine).await.contains(&id));
}

#[tokio::test]
async fn streams_are_bounded_and_end_with_the_process() {
    let app = App::configured(ApiConfig { max_streams: 1, ..ApiConfig::default() }).await;
    let open = watch(&app, None).await;
    let refused = app.get("/v1/events").await;
    refused.is(429, "too_many_streams");
    assert!(!refused.header("retry-after").is_empty());
    app.api.stopping().cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), open.bytes()).await;
    assert!(ended.is_ok_and(|bytes| bytes.is_ok()), "an open stream must not hold up a process that stops");
}

/// Reads to the end of a stream that somebody lost the leave for.
async fn to_its_end(response: Response) -> String {
    let ended = tokio::time::timeout(Duration::from_secs(20), response.text()).await;
    ended.expect("the stream goes on").unwrap()
}

#[tokio::test]
async fn a_stream_ends_when_its_reader_may_listen_no_longer() {
    let cache = Duration::from_millis(200);
    let app = App::configured(ApiConfig { token_cache: cache, ..ApiConfig::default() }).await;
    let token = app.scoped(&["jobs:read"]).await;
    people::person(&app.store, app.org, "ana@example.com", Role::Manager).await;
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    let by_token = app.anonymous(Method::GET, "/v1/events").bearer_auth(&token).send().await.unwrap();
    let by_session = ana.request(Method::GET, "/v1/events").send().await.unwrap();
    assert!(by_token.status() == 200 && by_session.status() == 200);

    // Revoked by another process: this one is not told, it asks.
    sqlx::query("UPDATE api_token SET revoked_at = now() WHERE scopes = ARRAY['jobs:read']")
        .execute(app.db.superuser())
        .await
        .unwrap();
    ana.post("/v1/auth/sign-out", &json!({})).await;
    tokio::time::sleep(cache * 2).await;
    let after = app.echo().await;
    let (token, session) = tokio::join!(to_its_end(by_token), to_its_end(by_session));
    assert!(!token.contains(&after) && !session.contains(&after), "{token} {session}");
}
