//! Deciding: by people, on what they saw, once.

use chrono::Utc;
use domain::Role;
use reqwest::Method;
use serde_json::json;

use super::desk::{echo, guarded, place, put};
use crate::app::Reply;
use crate::sign_in::browser::Browser;
use crate::sign_in::people;
use crate::sign_in::second_factor::{code_of, turn_on};

#[tokio::test]
async fn the_last_approval_enqueues_the_job() {
    let app = guarded().await;
    let asked = app.post("/v1/approvals", &echo("hello")).await.ok();
    let (path, decision) = place(&asked);
    // No token decides.
    app.post(&format!("{path}/approve"), &decision).await.is(403, "scope_missing");
    let mut mia = Browser::signed_in(&app, "mia@example.com").await;
    mia.post(&format!("{path}/approve"), &decision).await.is(403, "role_insufficient");
    people::person(&app.store, app.org, "sue@example.com", Role::Support).await;
    let mut sue = Browser::signed_in(&app, "sue@example.com").await;
    sue.post(&format!("{path}/reject"), &decision).await.is(403, "role_insufficient");

    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    let wrong = json!({ "content_hash": "0".repeat(64) });
    ana.post(&format!("{path}/approve"), &wrong).await.is(409, "conflict");
    let short = json!({ "content_hash": "00" });
    assert_eq!(
        ana.post(&format!("{path}/approve"), &short).await.is(422, "invalid_request"),
        ["/content_hash"]
    );
    assert_eq!(ana.get(&path).await.ok()["may_approve"], true);
    let done = ana.post(&format!("{path}/approve"), &decision).await.ok();
    assert_eq!((&done["state"], &done["released_job_id"]), (&json!("approved"), &asked["job_id"]));
    let job = app.get(&format!("/v1/jobs/{}", asked["job_id"].as_str().unwrap())).await.ok();
    assert_eq!((&job["state"], &job["payload"]["message"]), (&json!("queued"), &json!("hello")));
    ana.post(&format!("{path}/approve"), &decision).await.is(409, "conflict");
    let shown = ana.get(&path).await.ok();
    assert_eq!(shown["decisions"][0]["comment"], "seen");

    let actions: Vec<String> =
        sqlx::query_scalar("SELECT action FROM audit_entry WHERE subject_id = $1 ORDER BY entry_id")
            .bind(asked["approval_id"].as_str().unwrap())
            .fetch_all(app.db.superuser())
            .await
            .unwrap();
    assert_eq!(actions, ["approval.request", "approval.approve", "approval.release"]);
}

#[tokio::test]
async fn a_maker_does_not_decide_and_a_rejection_says_why() {
    let app = guarded().await;
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    let asked = ana.post("/v1/approvals", &echo("mine")).await.ok();
    let (path, decision) = place(&asked);
    ana.post(&format!("{path}/approve"), &decision).await.is(409, "conflict");
    assert_eq!(ana.get(&path).await.ok()["why_not"]["code"], "maker");
    let mut ben = Browser::signed_in(&app, "ben@example.com").await;
    let silent = json!({ "content_hash": asked["content_hash"], "comment": " " });
    assert_eq!(ben.post(&format!("{path}/reject"), &silent).await.is(422, "invalid_request"), ["/comment"]);
    assert_eq!(ben.post(&format!("{path}/reject"), &decision).await.ok()["state"], "rejected");
    ben.post(&format!("{path}/approve"), &decision).await.is(409, "conflict");
    assert!(app.get("/v1/jobs?kind=system.echo").await.ids("jobs").is_empty());
}

#[tokio::test]
async fn a_job_whose_key_is_taken_is_not_approved() {
    let app = guarded().await;
    let mut request = echo("once");
    request["job"]["idempotency_key"] = json!("order-7");
    let (first, second) =
        (app.post("/v1/approvals", &request).await.ok(), app.post("/v1/approvals", &request).await.ok());
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    for (asked, status) in [(&first, 200), (&second, 409)] {
        let (path, decision) = place(asked);
        assert_eq!(ana.post(&format!("{path}/approve"), &decision).await.status, status);
    }
    let (path, _) = place(&second);
    assert_eq!(ana.get(&path).await.ok()["state"], "pending", "nothing of the second stays");
    assert_eq!(app.get("/v1/jobs?kind=system.echo").await.ids("jobs").len(), 1);
}

#[tokio::test]
async fn a_rule_may_ask_for_a_fresh_second_factor() {
    let app = guarded().await;
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    let rule = json!({ "step_up_above": { "minor": 100_000, "currency": "EUR" } });
    put(&mut ana, "/v1/approvals/rules/job:system.echo", &rule).await.ok();
    let (secret, _) = turn_on(&mut ana, Utc::now()).await;
    let mut request = echo("pay");
    request["amount"] = json!({ "minor": 100_000, "currency": "EUR" });
    let asked = app.post("/v1/approvals", &request).await.ok();
    let (path, decision) = place(&asked);
    sqlx::query("UPDATE session SET step_up_at = NULL").execute(app.db.superuser()).await.unwrap();
    ana.post(&format!("{path}/approve"), &decision).await.is(403, "step_up_required");
    assert_eq!(ana.get(&path).await.ok()["why_not"]["code"], "step_up");
    // The code that turned it on works once; the next one comes with the next half minute.
    let next = Utc::now() + chrono::Duration::seconds(30);
    ana.post("/v1/me/step-up", &json!({ "code": code_of(&secret, next) })).await.ok();
    ana.post(&format!("{path}/approve"), &decision).await.ok();
}

#[tokio::test]
async fn whoever_watches_sees_approvals_come_and_go() {
    let app = guarded().await;
    let mut stream = app.ask(Method::GET, "/v1/events").send().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let asked = app.post("/v1/approvals", &echo("seen")).await.ok();
    let id = asked["approval_id"].as_str().unwrap();
    let mut text = String::new();
    while !text.contains(id) {
        let chunk = tokio::time::timeout(std::time::Duration::from_secs(15), stream.chunk()).await;
        text.push_str(&String::from_utf8_lossy(&chunk.expect("an event in time").unwrap().unwrap()));
    }
    assert!(text.contains("event: approval") && text.contains(r#""state":"pending""#), "{text}");
    assert!(text.contains("job:system.echo"), "{text}");
    Reply::of(app.ask(Method::GET, "/v1/approvals")).await.ok();
}
