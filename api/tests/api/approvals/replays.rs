//! Replays that need an approval.

use std::time::Duration;

use domain::{JobError, JobState};
use reqwest::Method;
use serde_json::json;
use testkit::{Book, kind, worker};

use super::desk::{guarded, place};
use crate::app::{App, Reply};
use crate::sign_in::browser::Browser;

/// An echo that was approved, ran and died.
async fn dead(app: &App) -> String {
    let asked = app
        .post(
            "/v1/approvals",
            &json!({ "job": { "kind": "system.echo", "payload": { "message": "hi" } }, "summary": "x" }),
        )
        .await
        .ok();
    let (path, decision) = place(&asked);
    let mut ana = Browser::signed_in(app, "ana@example.com").await;
    ana.post(&format!("{path}/approve"), &decision).await.ok();
    let id = asked["job_id"].as_str().unwrap().to_owned();
    die(app, &id).await;
    id
}

async fn die(app: &App, id: &str) {
    let book =
        Book::of([kind("system.echo").run(|_| async { Err(JobError::fail("gone", "nobody listens")) })]);
    let crew = worker::start(&app.queue, &book, worker::slots(2)).await;
    app.db.reaches(id.parse().unwrap(), JobState::Dead, Duration::from_secs(20)).await;
    crew.leave(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_replay_is_asked_for_and_the_approval_runs_it() {
    let app = guarded().await;
    let id = dead(&app).await;
    app.post("/v1/dead/replay", &json!({ "dry_run": false, "confirm": true }))
        .await
        .is(409, "approval_required");
    let without = app.scoped(&["dead:write", "jobs:read"]).await;
    let replay = format!("/v1/dead/{id}/replay");
    Reply::of(app.anonymous(Method::POST, &replay).bearer_auth(&without).json(&json!({})))
        .await
        .is(403, "scope_missing");
    let asked = app.post(&replay, &json!({ "evidence": { "provider": "not paid" } })).await;
    assert_eq!(asked.status, 202, "{asked:?}");
    let asked = asked.body;
    assert_eq!(asked["job_id"], json!(id));
    assert_eq!(app.get(&format!("/v1/jobs/{id}")).await.ok()["state"], "dead", "asked for is not done");
    app.post(&replay, &json!({ "evidence": { "provider": "not paid" } })).await.is(409, "conflict");

    let (path, decision) = place(&asked);
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    let shown = ana.get(&path).await.ok();
    assert_eq!(
        (&shown["subject_kind"], &shown["evidence"]["provider"]),
        (&json!("job_replay"), &json!("not paid"))
    );
    ana.post(&format!("{path}/approve"), &decision).await.ok();
    let job = app.get(&format!("/v1/jobs/{id}")).await.ok();
    assert_eq!((&job["state"], &job["attempt"]), (&json!("queued"), &json!(0)));

    // Dead again: another replay is another approval, with another payload this time.
    die(&app, &id).await;
    ana.post(&format!("{path}/approve"), &decision).await.is(409, "conflict");
    let asked = app.post(&replay, &json!({ "payload": { "message": "edited" } })).await.ok();
    let (path, decision) = place(&asked);
    let mut ben = Browser::signed_in(&app, "ben@example.com").await;
    ben.post(&format!("{path}/approve"), &decision).await.ok();
    let job = app.get(&format!("/v1/jobs/{id}")).await.ok();
    assert_eq!((&job["state"], &job["payload"]["message"]), (&json!("queued"), &json!("edited")));
}

#[tokio::test]
async fn a_rejected_replay_can_be_asked_for_again() {
    let app = guarded().await;
    let id = dead(&app).await;
    let replay = format!("/v1/dead/{id}/replay");
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    let (path, decision) = place(&app.post(&replay, &json!({})).await.ok());
    ana.post(&format!("{path}/reject"), &decision).await.ok();
    assert_eq!(app.get(&format!("/v1/jobs/{id}")).await.ok()["state"], "dead");
    let (path, decision) =
        place(&app.post(&replay, &json!({ "summary": "Checked: it was not paid" })).await.ok());
    // Set aside meanwhile: nothing to replay, and nothing approved.
    app.post(&format!("/v1/dead/{id}/discard"), &json!({ "reason": "settled by hand" })).await.ok();
    ana.post(&format!("{path}/approve"), &decision).await.is(409, "conflict");
    assert_eq!(ana.get(&path).await.ok()["state"], "pending");
}
