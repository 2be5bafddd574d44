//! One job: its story, what it waits for, and what may be done with it.

use std::time::Duration;

use domain::{JobError, JobState};
use queue::backend::Success;
use serde_json::{Value, json};
use testkit::{Book, kind, worker};

use crate::app::App;

fn moments(job: &Value) -> Vec<&str> {
    job["timeline"].as_array().unwrap().iter().map(|moment| moment["what"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_job_that_ran_tells_how() {
    let app = App::start().await;
    let book = Book::of([
        kind("system.echo").run(|running| async move {
            if running.job.attempt == 1 {
                return Err(JobError::retry("not_yet", "try me again"));
            }
            Ok(Success { result: Some(r#"{"said":"hello"}"#.into()), ..Success::default() })
        }),
        kind("system.noop"),
    ]);
    let body = json!({ "kind": "system.echo", "payload": { "message": "hello" }, "then": [{ "kind": "system.noop", "payload": {} }] });
    let id = app.enqueue(&body).await;
    let tender = worker::tend(&app.queue, &book);
    let crew = worker::start(&app.queue, &book, worker::slots(4)).await;
    app.db.reaches(id.parse().unwrap(), JobState::Succeeded, Duration::from_secs(20)).await;
    crew.leave(Duration::from_secs(5)).await;
    drop(tender);

    let job = app.get(&format!("/v1/jobs/{id}")).await.ok();
    assert_eq!((&job["state"], &job["attempt"]), (&json!("succeeded"), &json!(2)));
    assert_eq!(job["result"], json!({ "said": "hello" }));
    assert_eq!(job["payload"], json!({ "message": "hello" }));
    assert_eq!(
        (&job["attempts"][0]["outcome"], &job["attempts"][0]["error_code"]),
        (&json!("retry"), &json!("not_yet"))
    );
    assert!(job["waiting_on"].is_null() && job["finished_at"].is_string());
    let told = moments(&job);
    assert_eq!((told.first(), told.last()), (Some(&"created"), Some(&"finished")), "{told:?}");
    assert_eq!(told.iter().filter(|what| **what == "started").count(), 2, "{told:?}");

    let child = &job["children"][0];
    assert_eq!(child["kind"], "system.noop");
    let child = app.get(job["links"]["children"][0].as_str().unwrap()).await.ok();
    assert_eq!(child["links"]["parent"], format!("/v1/jobs/{id}"));
}

#[tokio::test]
async fn a_waiting_job_says_for_what() {
    let app = App::start().await;
    let id = app.echo().await;
    let waits = async |id: &str| app.get(&format!("/v1/jobs/{id}")).await.ok()["waiting_on"].clone();
    let nobody = waits(&id).await;
    assert_eq!(nobody["what"], "worker");
    assert!(nobody["explanation"].as_str().unwrap().contains("no live worker"), "{nobody}");

    app.post("/v1/lanes/default/pause", &json!({})).await.ok();
    let paused = waits(&id).await;
    assert_eq!(
        (&paused["what"], &paused["key"], &paused["until"]),
        (&json!("lane"), &json!("default"), &Value::Null)
    );
    assert!(paused["explanation"].as_str().unwrap().contains("/v1/lanes/default/resume"));

    let at = chrono::Utc::now() + chrono::Duration::hours(2);
    let later = app.enqueue(&json!({ "kind": "system.noop", "payload": {}, "run_at": at })).await;
    let time = waits(&later).await;
    assert_eq!(time["what"], "time");
    assert!(time["until"].is_string());
}

#[tokio::test]
async fn jobs_are_cancelled_and_hurried() {
    let app = App::start().await;
    let id = app.echo().await;
    let done = app.post(&format!("/v1/jobs/{id}/cancel"), &json!({ "reason": "not needed" })).await.ok();
    assert_eq!(done["outcome"], "cancelled");
    let job = app.get(&format!("/v1/jobs/{id}")).await.ok();
    assert_eq!((&job["state"], &job["error_message"]), (&json!("cancelled"), &json!("not needed")));
    let cancelled =
        job["timeline"].as_array().unwrap().iter().find(|moment| moment["what"] == "cancelled").unwrap();
    assert_eq!(
        (&cancelled["actor_name"], &cancelled["detail"]["reason"]),
        (&json!("test"), &json!("not needed"))
    );
    app.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).await.is(409, "conflict");
    app.post(&format!("/v1/jobs/{id}/cancel"), &json!({ "reason": " " })).await.is(422, "invalid_request");

    let at = chrono::Utc::now() + chrono::Duration::hours(2);
    let later = app.enqueue(&json!({ "kind": "system.noop", "payload": {}, "run_at": at })).await;
    let now = app.post(&format!("/v1/jobs/{later}/retry"), &json!({})).await.ok();
    assert_eq!(now["state"], "queued");
    app.post(&format!("/v1/jobs/{later}/retry"), &json!({})).await.is(409, "conflict");

    let empty =
        crate::app::Reply::of(app.ask(reqwest::Method::POST, &format!("/v1/jobs/{later}/cancel"))).await;
    assert_eq!(empty.ok()["outcome"], "cancelled", "the body may be left out");
    app.post(&format!("/v1/jobs/{later}/cancel"), &Value::Null).await.is(409, "conflict");

    let (_, other) = app.other_org("other").await;
    let theirs = app.echo().await;
    for action in ["cancel", "retry"] {
        let reply =
            app.anonymous(reqwest::Method::POST, &format!("/v1/jobs/{theirs}/{action}")).bearer_auth(&other);
        crate::app::Reply::of(reply).await.is(404, "not_found");
    }
}
