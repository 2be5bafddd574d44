//! Dead letters: seen by cause, replayed by what they would do, set aside with a reason.

use std::time::Duration;

use domain::{JobError, JobState};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Book, kind, worker};

use crate::app::{App, Reply};

fn webhook() -> Value {
    json!({ "kind": "webhooks.deliver", "payload": { "url": "https://hooks.example.com/a", "event_type": "order.paid", "data": { "n": 1 } } })
}

/// Lets every job in the ledger die: echoes of `gone`, webhooks of `refused`.
async fn let_die(app: &App, ids: &[&String]) {
    let book = Book::of([
        kind("system.echo").run(|_| async { Err(JobError::fail("gone", "nobody listens")) }),
        kind("webhooks.deliver").run(|_| async { Err(JobError::fail("refused", "no")) }),
    ]);
    let crew = worker::start(&app.queue, &book, worker::slots(4)).await;
    for id in ids {
        app.db.reaches(id.parse().unwrap(), JobState::Dead, Duration::from_secs(20)).await;
    }
    crew.leave(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn dead_letters_are_grouped_and_listed() {
    let app = App::start().await;
    let (a, b, c) = (app.echo().await, app.echo().await, app.enqueue(&webhook()).await);
    let_die(&app, &[&a, &b, &c]).await;

    let groups = app.get("/v1/dead/groups").await.ok();
    let first = &groups["groups"][0];
    assert_eq!(
        (&first["kind"], &first["error_code"], &first["count"]),
        (&json!("system.echo"), &json!("gone"), &json!(2))
    );
    assert_eq!((&first["effect"], &first["replay_needs"]), (&json!("read"), &json!("nothing")));
    assert_eq!(groups["groups"][1]["replay_needs"], "confirmation");

    let page = app.get("/v1/dead?limit=2").await;
    assert_eq!(page.ids("jobs"), [&c, &b]);
    let rest =
        app.get(&format!("/v1/dead?limit=2&cursor={}", page.body["next_cursor"].as_str().unwrap())).await;
    assert_eq!(rest.ids("jobs"), [&a]);
    assert_eq!(app.get("/v1/dead?kind=system.echo&error_code=gone").await.ids("jobs"), [&b, &a]);
    app.get("/v1/dead?cursor=x").await.is(400, "bad_cursor");

    let (_, other) = app.other_org("other").await;
    let ask = |path: &str| Reply::of(app.anonymous(Method::GET, path).bearer_auth(&other));
    assert!(ask("/v1/dead").await.ids("jobs").is_empty());
    assert_eq!(ask("/v1/dead/groups").await.ok()["groups"], json!([]));
}

#[tokio::test]
async fn a_replay_asks_for_what_its_effect_needs() {
    let app = App::start().await;
    let (echo, hook) = (app.echo().await, app.enqueue(&webhook()).await);
    let_die(&app, &[&echo, &hook]).await;

    let (_, other) = app.other_org("other").await;
    let theirs =
        app.anonymous(Method::POST, &format!("/v1/dead/{echo}/replay")).bearer_auth(&other).json(&json!({}));
    Reply::of(theirs).await.is(404, "not_found");

    let edited = json!({ "payload": { "message": "again" } });
    assert_eq!(
        app.post(&format!("/v1/dead/{echo}/replay"), &json!({ "payload": { "message": 1 } }))
            .await
            .is(422, "invalid_payload"),
        ["/payload/message"]
    );
    app.post(&format!("/v1/dead/{echo}/replay"), &edited).await.ok();
    let job = app.get(&format!("/v1/jobs/{echo}")).await.ok();
    assert_eq!(
        (&job["state"], &job["payload"], &job["attempt"]),
        (&json!("queued"), &edited["payload"], &json!(0))
    );
    app.post(&format!("/v1/dead/{echo}/replay"), &json!({})).await.is(409, "conflict");

    app.post(&format!("/v1/dead/{hook}/replay"), &json!({})).await.is(409, "confirmation_required");
    let shown = app.get(&format!("/v1/jobs/{hook}")).await.ok();
    let masked = json!({ "payload": shown["payload"], "confirm": true });
    app.post(&format!("/v1/dead/{hook}/replay"), &masked).await.is(422, "invalid_payload");
    app.post(&format!("/v1/dead/{hook}/replay"), &json!({ "confirm": true })).await.ok();
}

#[tokio::test]
async fn many_are_replayed_after_a_dry_run() {
    let app = App::start().await;
    let (a, b, hook) = (app.echo().await, app.echo().await, app.enqueue(&webhook()).await);
    let_die(&app, &[&a, &b, &hook]).await;

    let dry = app.post("/v1/dead/replay", &json!({})).await.ok();
    assert_eq!((&dry["dry_run"], &dry["total"], &dry["replayed"]), (&json!(true), &json!(3), &json!(0)));
    assert_eq!(
        dry["kinds"][1],
        json!({ "kind": "webhooks.deliver", "count": 1, "effect": "send", "replay_needs": "confirmation" })
    );
    app.post("/v1/dead/replay", &json!({ "dry_run": false })).await.is(409, "confirmation_required");
    app.post("/v1/dead/replay", &json!({ "filter": { "kinds": [] } })).await.is(422, "invalid_request");

    let echoes = json!({ "filter": { "kind": "system.echo", "error_code": "gone" }, "dry_run": false });
    let done = app.post("/v1/dead/replay", &echoes).await.ok();
    assert_eq!((&done["replayed"], &done["remaining"]), (&json!(2), &json!(0)));
    let done = app.post("/v1/dead/replay", &json!({ "dry_run": false, "confirm": true })).await.ok();
    assert_eq!(done["replayed"], 1);
    assert_eq!(app.get("/v1/jobs?state=queued").await.ids("jobs").len(), 3);
}

#[tokio::test]
async fn money_and_unknown_kinds_are_not_replayed() {
    let app = App::start().await;
    let id = app.echo().await;
    let_die(&app, &[&id]).await;
    sqlx::query("UPDATE job_history SET kind = 'payouts.gone_kind'")
        .execute(app.db.superuser())
        .await
        .unwrap();
    app.post(&format!("/v1/dead/{id}/replay"), &json!({ "confirm": true })).await.is(409, "conflict");
    let dry = app.post("/v1/dead/replay", &json!({})).await.ok();
    assert_eq!(
        (&dry["kinds"][0]["effect"], &dry["kinds"][0]["replay_needs"]),
        (&Value::Null, &json!("approval"))
    );
    app.post("/v1/dead/replay", &json!({ "dry_run": false, "confirm": true })).await.is(409, "conflict");
}

#[tokio::test]
async fn dead_letters_are_set_aside_with_a_reason() {
    let app = App::start().await;
    let (a, b, c) = (app.echo().await, app.echo().await, app.echo().await);
    let_die(&app, &[&a, &b, &c]).await;
    assert_eq!(
        app.post(&format!("/v1/dead/{a}/discard"), &json!({ "reason": "" })).await.is(422, "invalid_request"),
        ["/reason"]
    );
    app.post(&format!("/v1/dead/{a}/discard"), &json!({ "reason": "customer left" })).await.ok();
    app.post(&format!("/v1/dead/{a}/discard"), &json!({ "reason": "again" })).await.is(404, "not_found");
    let job = app.get(&format!("/v1/jobs/{a}")).await.ok();
    assert_eq!((&job["state"], &job["discard_reason"]), (&json!("dead"), &json!("customer left")));
    app.post(&format!("/v1/dead/{a}/replay"), &json!({})).await.is(409, "conflict");

    let dry = app.post("/v1/dead/discard", &json!({ "reason": "clean up" })).await.ok();
    assert_eq!((&dry["total"], &dry["discarded"]), (&json!(2), &json!(0)));
    let done = app.post("/v1/dead/discard", &json!({ "reason": "clean up", "dry_run": false })).await.ok();
    assert_eq!((&done["discarded"], &done["remaining"]), (&json!(2), &json!(0)));
    assert!(app.get("/v1/dead").await.ids("jobs").is_empty());
}
