//! Lists, search and counts.

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{App, Reply};

#[tokio::test]
async fn pages_go_on_to_the_end() {
    let app = App::start().await;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(app.echo().await);
    }
    made.reverse();
    let mut seen: Vec<String> = Vec::new();
    let mut path = "/v1/jobs?limit=3".to_owned();
    loop {
        let page = app.get(&path).await;
        seen.extend(page.ids("jobs").into_iter().map(str::to_owned));
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = format!("/v1/jobs?limit=3&cursor={cursor}");
        let other = app.get(&format!("/v1/jobs?limit=3&kind=system.echo&cursor={cursor}")).await;
        other.is(400, "bad_cursor");
    }
    assert_eq!(seen, made);
}

#[tokio::test]
async fn filters_narrow() {
    let app = App::start().await;
    let echo = app.echo().await;
    let later = app
        .enqueue(&json!({ "kind": "system.noop", "payload": {}, "lane": "bulk", "run_at": chrono::Utc::now() + chrono::Duration::hours(1), "idempotency_key": "k/1" }))
        .await;
    let table = [
        ("state=queued", vec![&echo]),
        ("state=scheduled,%20parked", vec![&later]),
        ("state=succeeded", vec![]),
        ("kind=system.echo", vec![&echo]),
        ("lane=bulk", vec![&later]),
        ("idempotency_key=k%2F1", vec![&later]),
        ("created_from=2020-01-01T00:00:00Z", vec![&later, &echo]),
        ("created_to=2020-01-01T00:00:00Z", vec![]),
        ("error_code=x", vec![]),
        ("error_code=x&state=running", vec![]),
        ("error_code=x&state=running&q=y", vec![]),
        ("workspace=0197f0c2-7a5e-7c31-9d1e-3f6a2b8c4d5e", vec![]),
        ("q=hello", vec![&echo]),
        ("q=HELLO", vec![&echo]),
        ("q=k%2F1", vec![&later]),
        ("q=100%25", vec![]),
    ];
    for (query, expected) in table {
        let page = app.get(&format!("/v1/jobs?{query}")).await;
        assert_eq!(page.ids("jobs"), expected, "{query}");
    }
    let exact = app.get(&format!("/v1/jobs?q={echo}")).await;
    assert_eq!(exact.ids("jobs"), [&echo]);

    let (_, other) = app.other_org("other").await;
    let ask = |path: String| Reply::of(app.anonymous(Method::GET, &path).bearer_auth(&other));
    assert!(ask("/v1/jobs".into()).await.ids("jobs").is_empty());
    assert!(ask(format!("/v1/jobs?q={echo}")).await.ids("jobs").is_empty());
    ask(format!("/v1/jobs/{echo}")).await.is(404, "not_found");
}

#[tokio::test]
async fn hidden_values_can_not_be_searched_for() {
    let app = App::start().await;
    let url = "https://hooks.example.com/secret-path-9f3";
    let id = app
        .enqueue(&json!({ "kind": "webhooks.deliver", "payload": { "url": url, "event_type": "order.paid", "data": { "n": 1 } } }))
        .await;
    let shown = app.get(&format!("/v1/jobs/{id}")).await;
    assert!(!shown.text.contains("secret-path"), "{}", shown.text);
    assert!(shown.text.contains("hooks.example.com"));
    assert!(app.get("/v1/jobs?q=secret-path").await.ids("jobs").is_empty());
    assert_eq!(app.get("/v1/jobs?q=hooks.example.com").await.ids("jobs"), [&id]);
}

#[tokio::test]
async fn counts_kinds_and_workers_are_told() {
    let app = App::start().await;
    app.echo().await;
    app.echo().await;
    let stats = app.get("/v1/jobs/stats").await.ok();
    assert_eq!(stats["open"][0]["count"], 2);
    assert_eq!((&stats["open"][0]["state"], &stats["partial"]), (&json!("queued"), &json!(false)));
    app.get("/v1/jobs/stats?window_s=0").await.is(400, "bad_query");

    let kinds = app.get("/v1/kinds").await.ok();
    let echo =
        kinds["kinds"].as_array().unwrap().iter().find(|kind| kind["kind"] == "system.echo").unwrap().clone();
    assert!(echo["schema"]["properties"]["message"].is_object());
    assert_eq!(app.get("/v1/workers").await.ok()["workers"], Value::Array(Vec::new()));
}
