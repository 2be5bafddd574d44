//! The organisation's share of a lane.

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{App, Reply};

fn lane<'a>(list: &'a Value, name: &str) -> &'a Value {
    list["lanes"].as_array().unwrap().iter().find(|lane| lane["lane"] == name).unwrap()
}

#[tokio::test]
async fn a_share_is_paused_drained_and_resumed_for_one_organisation_only() {
    let app = App::start().await;
    app.echo().await;
    let lanes = app.get("/v1/lanes").await.ok();
    assert_eq!(lanes["lanes"].as_array().unwrap().len(), 9);
    assert_eq!(lane(&lanes, "default")["depth"]["queued"], 1);
    assert!(lane(&lanes, "default")["oldest_queued_at"].is_string());

    for (action, mode) in [("pause", "paused"), ("drain", "draining"), ("resume", "open")] {
        let changed = app.post(&format!("/v1/lanes/default/{action}"), &json!({})).await.ok();
        assert_eq!((&changed["org_mode"], &changed["mode"]), (&json!(mode), &json!("open")));
    }
    app.post("/v1/lanes/default/drain", &json!({})).await.ok();
    let parked = app.echo().await;
    let job = app.get(&format!("/v1/jobs/{parked}")).await.ok();
    assert_eq!((&job["state"], &job["waiting_on"]["what"]), (&json!("parked"), &json!("lane")));
    assert!(job["waiting_on"]["explanation"].as_str().unwrap().contains("draining"));

    let (_, other) = app.other_org("other").await;
    let theirs = Reply::of(app.anonymous(Method::GET, "/v1/lanes").bearer_auth(other)).await.ok();
    assert_eq!(lane(&theirs, "default")["org_mode"], "open");
    assert_eq!(lane(&theirs, "default")["depth"]["queued"], 0);
}

#[tokio::test]
async fn caps_are_set_and_taken_away() {
    let app = App::start().await;
    let patch = |body: Value| Reply::of(app.ask(Method::PATCH, "/v1/lanes/bulk").json(&body));
    assert_eq!(patch(json!({ "org_cap": 3 })).await.ok()["org_cap"], 3);
    assert_eq!(patch(json!({ "org_cap": null })).await.ok()["org_cap"], Value::Null);
    for bad in [json!({ "org_cap": 0 }), json!({ "org_cap": "3" })] {
        assert_eq!(patch(bad).await.is(422, "invalid_request"), ["/org_cap"]);
    }
    patch(json!({})).await.is(422, "invalid_request");
    let missing = Reply::of(app.ask(Method::PATCH, "/v1/lanes/express").json(&json!({ "org_cap": 3 }))).await;
    missing.is(404, "not_found");
    app.post("/v1/lanes/a%00b/pause", &json!({})).await.is(404, "not_found");
}
