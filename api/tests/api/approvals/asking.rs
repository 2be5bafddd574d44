//! Asking, editing and withdrawing; what is refused on the way.

use reqwest::Method;
use serde_json::{Value, json};

use super::desk::{echo, guarded, place, put};
use crate::app::Reply;
use crate::sign_in::browser::Browser;

#[tokio::test]
async fn a_guarded_kind_is_refused_wherever_it_could_enter() {
    let app = guarded().await;
    let job = json!({ "kind": "system.echo", "payload": { "message": "hi" } });
    let noop = json!({ "kind": "system.noop", "payload": {} });
    let with_then = json!({ "kind": "system.noop", "payload": {}, "then": [job] });
    app.post("/v1/jobs", &job).await.is(409, "approval_required");
    app.post("/v1/jobs", &with_then).await.is(409, "approval_required");
    app.post("/v1/jobs/batch", &json!({ "jobs": [noop, job] })).await.is(409, "approval_required");
    let batch = json!({ "jobs": [noop], "on_complete": job });
    app.post("/v1/jobs/batch", &batch).await.is(409, "approval_required");
    let schedule =
        json!({ "name": "s", "expression": "@daily", "kind": "system.echo", "payload": { "message": "hi" } });
    app.post("/v1/schedules", &schedule).await.is(409, "approval_required");
    app.post("/v1/jobs", &noop).await.ok();
    assert!(app.get("/v1/jobs?kind=system.echo").await.ids("jobs").is_empty());
    // Another organisation has its own rules.
    let (_, other) = app.other_org("other").await;
    Reply::of(app.anonymous(Method::POST, "/v1/jobs").bearer_auth(&other).json(&job)).await.ok();

    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    ana.delete("/v1/approvals/rules/job:system.echo", None).await.ok();
    ana.delete("/v1/approvals/rules/job:system.echo", None).await.is(404, "not_found");
    app.post("/v1/jobs", &job).await.ok();
}

#[tokio::test]
async fn a_process_that_does_not_know_the_rule_yet_is_told_by_the_ledger() {
    let app = guarded().await;
    // Past the routes: as another process would, whose rules are seconds old.
    let job = testkit::job(app.org, "system.echo", &json!({ "message": "hi" }));
    let refused = app.queue.enqueue(job).await.unwrap_err();
    assert!(refused.to_string().contains("POST /v1/approvals"), "{refused}");
}

#[tokio::test]
async fn what_is_asked_for_is_shown_as_it_is_and_hides_what_is_hidden() {
    let app = guarded().await;
    let request = json!({
        "job": { "kind": "webhooks.deliver", "priority": 3, "payload": {
            "url": "https://hooks.example.com/very-secret", "event_type": "order.paid", "data": { "n": 1 } } },
        "summary": "Tell the shop", "evidence": { "order": 7 }, "amount": { "minor": 1250, "currency": "EUR" },
    });
    let asked = app.post("/v1/approvals", &request).await;
    assert_eq!(asked.status, 201, "{asked:?}");
    let asked = asked.body;
    let (path, _) = place(&asked);
    let reply = app.get(&path).await;
    assert!(!reply.text.contains("very-secret"), "{reply:?}");
    let shown = reply.ok();
    assert_eq!(
        (&shown["state"], &shown["content_hash"], &shown["evidence"], &shown["amount"]["minor"]),
        (&json!("pending"), &asked["content_hash"], &json!({ "order": 7 }), &json!(1250))
    );
    assert_eq!((&shown["job"]["priority"], &shown["job"]["payload"]["data"]["n"]), (&json!(3), &json!(1)));
    assert_eq!(shown["job"]["job_id"], asked["job_id"]);
    assert_eq!((&shown["may_approve"], &shown["why_not"]["code"]), (&json!(false), &json!("person")));
    app.get(&format!("/v1/jobs/{}", asked["job_id"].as_str().unwrap())).await.is(404, "not_found");

    let list = |query: &str| format!("/v1/approvals{query}");
    let found = |reply: Reply| reply.ok()["approvals"].as_array().unwrap().len();
    assert_eq!(found(app.get(&list("?state=pending&subject_kind=job:webhooks.deliver")).await), 1);
    assert_eq!(found(app.get(&list("?state=approved")).await), 0);
    assert_eq!(found(app.get(&list("?mine_to_decide=true")).await), 0);
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    assert_eq!(found(ana.get(&list("?mine_to_decide=true")).await), 1);
    app.get(&list("?state=open")).await.is(400, "bad_query");
    let (_, other) = app.other_org("other").await;
    let theirs = |path: &str| Reply::of(app.anonymous(Method::GET, path).bearer_auth(&other));
    theirs(&path).await.is(404, "not_found");
    assert_eq!(found(theirs("/v1/approvals").await), 0);
}

#[tokio::test]
async fn bad_requests_are_named() {
    let app = guarded().await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut request = echo("hi");
        change(&mut request);
        request
    };
    let table: [(Value, &str); 9] = [
        (with(&|r| r["summary"] = json!("")), "/summary"),
        (with(&|r| r["summary"] = json!("x".repeat(501))), "/summary"),
        (with(&|r| r["amount"] = json!({ "minor": -1, "currency": "EUR" })), "/amount/minor"),
        (with(&|r| r["amount"] = json!({ "minor": 1, "currency": "eur" })), "/amount/currency"),
        (with(&|r| r["evidence"] = json!("x".repeat(70_000))), "/evidence"),
        (with(&|r| r["evidence"] = json!({ "a": "\u{0}" })), "/evidence"),
        (with(&|r| r["job"]["priority"] = json!(1000)), "/priority"),
        (with(&|r| r["job"]["private"] = json!(true)), "/job/private"),
        (with(&|r| r["colour"] = json!("red")), "/colour"),
    ];
    for (request, pointer) in table {
        let reply = app.post("/v1/approvals", &request).await;
        let pointers = reply.is(422, "invalid_request");
        assert!(pointers.iter().any(|found| found.ends_with(pointer)), "{pointer}: {pointers:?}");
    }
    let wrong = with(&|r| r["job"]["payload"] = json!({ "message": 1 }));
    assert_eq!(app.post("/v1/approvals", &wrong).await.is(422, "invalid_payload"), ["/job/payload/message"]);
    let follows = with(&|r| r["job"]["then"] = json!([r["job"].clone()]));
    app.post("/v1/approvals", &follows).await.is(409, "approval_required");

    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    for (kind, rule, pointer) in [
        ("job:no.such_kind", json!({}), "/subject_kind"),
        ("Job", json!({}), "/subject_kind"),
        ("job_replay", json!({ "roles": ["support"] }), "/roles"),
        ("job_replay", json!({ "roles": [] }), "/roles"),
        ("job_replay", json!({ "needed": 0 }), "/needed"),
        ("job_replay", json!({ "expires_after_s": 1 }), "/expires_after_s"),
        ("job_replay", json!({ "step_up_above": { "minor": 1, "currency": "Euro" } }), "/currency"),
    ] {
        let reply = put(&mut ana, &format!("/v1/approvals/rules/{kind}"), &rule).await;
        assert_eq!(reply.is(422, "invalid_request"), [pointer], "{kind} {rule}");
    }
    let mut mia = Browser::signed_in(&app, "mia@example.com").await;
    put(&mut mia, "/v1/approvals/rules/job_replay", &json!({})).await.is(403, "role_insufficient");
    assert_eq!(mia.get("/v1/approvals/rules").await.ok()["rules"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_edit_voids_and_takes_the_place() {
    let app = guarded().await;
    let asked = app.post("/v1/approvals", &echo("one")).await.ok();
    let (path, decision) = place(&asked);
    let mut mia = Browser::signed_in(&app, "mia@example.com").await;
    let edited = put(&mut mia, &format!("{path}/content"), &echo("two")).await;
    assert_eq!(edited.status, 201, "{edited:?}");
    let edited = edited.body;
    assert_eq!(edited["job_id"], asked["job_id"]);
    assert_ne!(edited["content_hash"], asked["content_hash"]);
    let old = app.get(&path).await.ok();
    assert_eq!((&old["state"], &old["replaced_by"]), (&json!("voided"), &edited["approval_id"]));
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    ana.post(&format!("{path}/approve"), &decision).await.is(409, "conflict");
    put(&mut mia, &format!("{path}/content"), &echo("three")).await.is(409, "conflict");
    let other_kind = json!({ "job": { "kind": "system.noop", "payload": {} }, "summary": "nothing" });
    let (new, decision) = place(&edited);
    assert_eq!(
        put(&mut mia, &format!("{new}/content"), &other_kind).await.is(422, "invalid_request"),
        ["/job/kind"]
    );
    ana.post(&format!("{new}/approve"), &decision).await.ok();
    let job = app.get(&format!("/v1/jobs/{}", asked["job_id"].as_str().unwrap())).await.ok();
    assert_eq!(job["payload"]["message"], "two");
    put(&mut mia, &format!("{new}/content"), &echo("four")).await.is(409, "conflict");
}

#[tokio::test]
async fn what_was_asked_for_is_taken_back() {
    let app = guarded().await;
    let asked = app.post("/v1/approvals", &echo("one")).await.ok();
    let (path, decision) = place(&asked);
    let mut mia = Browser::signed_in(&app, "mia@example.com").await;
    mia.post(&format!("{path}/withdraw"), &json!({})).await.is(409, "conflict");
    let done = app.post(&format!("{path}/withdraw"), &json!({ "reason": "a mistake" })).await.ok();
    assert_eq!(done["state"], "withdrawn");
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    ana.post(&format!("{path}/approve"), &decision).await.is(409, "conflict");
    assert_eq!(ana.get(&path).await.ok()["why_not"]["code"], "decided");
}
