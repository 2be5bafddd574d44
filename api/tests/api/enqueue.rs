//! One job at a time: what a 202 means, and what keys do.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{App, Reply};

fn echo(message: &str) -> Value {
    json!({ "kind": "system.echo", "payload": { "message": message } })
}

async fn keyed(app: &App, key: &str, body: &Value) -> Reply {
    Reply::of(app.ask(Method::POST, "/v1/jobs").header("idempotency-key", key).json(body)).await
}

#[tokio::test]
async fn a_202_is_a_committed_row() {
    let app = App::start().await;
    let reply =
        Reply::of(app.ask(Method::POST, "/v1/jobs").header("x-request-id", "web-1.42").json(&echo("hello")))
            .await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    let id = reply.body["job_id"].as_str().unwrap();
    assert_eq!(reply.body["created"], true);
    assert_eq!(reply.header("location"), format!("/v1/jobs/{id}"));
    assert_eq!(reply.body["status_url"], reply.header("location"));
    assert_eq!((reply.header("x-request-id"), reply.header("idempotent-replayed")), ("web-1.42", ""));

    let (kind, request, actor): (String, Option<String>, Option<uuid::Uuid>) =
        sqlx::query_as("SELECT kind, request_id, actor_id FROM job WHERE job_id = $1::uuid")
            .bind(uuid::Uuid::parse_str(id).unwrap())
            .fetch_one(app.db.superuser())
            .await
            .unwrap();
    assert_eq!((kind.as_str(), request.as_deref()), ("system.echo", Some("web-1.42")));
    assert!(actor.is_some());
    let shown = app.get(reply.body["status_url"].as_str().unwrap()).await.ok();
    assert_eq!(shown["state"], "queued");
}

#[tokio::test]
async fn the_payload_is_kept_to_the_letter() {
    let app = App::start().await;
    let text = r#"{ "message" :  "\u00e9 1.10"  }"#;
    let body = format!(r#"{{"kind":"system.echo","payload":{text}}}"#);
    let reply =
        Reply::of(app.ask(Method::POST, "/v1/jobs").header("content-type", "application/json").body(body))
            .await;
    let id = uuid::Uuid::parse_str(reply.ok()["job_id"].as_str().unwrap()).unwrap();
    let stored: String = sqlx::query_scalar("SELECT payload::text FROM job WHERE job_id = $1")
        .bind(id)
        .fetch_one(app.db.superuser())
        .await
        .unwrap();
    assert_eq!(stored, text);
}

#[tokio::test]
async fn every_field_reaches_the_ledger() {
    let app = App::start().await;
    let run_at = chrono::Utc::now() + chrono::Duration::hours(1);
    let id = app
        .enqueue(&json!({
            "kind": "system.echo", "version": 1, "payload": { "message": "later" }, "lane": "bulk", "priority": 7,
            "run_at": run_at, "deadline_at": run_at + chrono::Duration::hours(1), "max_attempts": 3,
            "unique_key": "u1", "idempotency_key": "k1",
            "then": [{ "kind": "system.noop", "payload": {}, "then": [{ "kind": "system.noop", "payload": {} }] }],
        }))
        .await;
    let job = app.get(&format!("/v1/jobs/{id}")).await.ok();
    assert_eq!(
        (&job["state"], &job["lane"], &job["priority"]),
        (&json!("scheduled"), &json!("bulk"), &json!(7))
    );
    assert_eq!((&job["max_attempts"], &job["idempotency_key"]), (&json!(3), &json!("k1")));
    assert_eq!(job["waiting_on"]["what"], "time");
    assert!(job["deadline_at"].is_string());
    assert_eq!(job["then"][0]["then"][0]["kind"], "system.noop");

    let again = app
        .post(
            "/v1/jobs",
            &json!({ "kind": "system.echo", "payload": { "message": "other" }, "unique_key": "u1" }),
        )
        .await;
    assert_eq!((&again.body["job_id"], &again.body["created"]), (&json!(id), &json!(false)));
}

#[tokio::test]
async fn a_repeated_key_answers_the_first_job() {
    let app = App::start().await;
    let first = keyed(&app, "order-42", &echo("a")).await;
    let repeat = keyed(&app, "order-42", &echo("a")).await;
    assert_eq!(repeat.status, StatusCode::ACCEPTED);
    assert_eq!(repeat.body["job_id"], first.body["job_id"]);
    assert_eq!((&repeat.body["created"], repeat.header("idempotent-replayed")), (&json!(false), "true"));

    let reused = keyed(&app, "order-42", &echo("b")).await;
    reused.is(409, "idempotency_key_reused");
    assert!(reused.body["detail"].as_str().unwrap().contains(first.body["job_id"].as_str().unwrap()));

    let (_, other) = app.other_org("other").await;
    let elsewhere =
        app.anonymous(Method::POST, "/v1/jobs").bearer_auth(other).header("idempotency-key", "order-42");
    let elsewhere = Reply::of(elsewhere.json(&echo("b"))).await.ok();
    assert_eq!(elsewhere["created"], true, "keys belong to an organisation");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_concurrent_repeats_make_one_job() {
    let app = std::sync::Arc::new(App::start().await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let app = app.clone();
        tasks.spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..50 {
                seen.push(keyed(&app, "once", &echo("a")).await.ok());
            }
            seen
        });
    }
    let answers: Vec<Value> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(answers.len(), 1000);
    assert_eq!(answers.iter().filter(|answer| answer["created"] == true).count(), 1);
    assert!(answers.iter().all(|answer| answer["job_id"] == answers[0]["job_id"]));
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM job").fetch_one(app.db.superuser()).await.unwrap();
    assert_eq!(rows, 1);
}
