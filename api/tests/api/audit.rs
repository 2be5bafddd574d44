//! `/v1/audit`: what was done is found, exported and proved; nobody reads another's log.

use std::io::Cursor;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use store::audit;

use crate::app::App;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_listed_shown_and_belongs_to_its_request() {
    let app = App::start().await;
    let paused = app.ask(Method::POST, "/v1/lanes/default/pause").json(&json!({})).send().await.unwrap();
    let request = paused.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(paused.status(), StatusCode::OK);
    let found = app.get(&format!("/v1/audit?request={request}")).await;
    assert_eq!(found.status, StatusCode::OK, "{found:?}");
    let entries = found.body["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{found:?}");
    assert_eq!((&entries[0]["action"], &entries[0]["standing"]), (&"lane.pause".into(), &"token".into()));
    assert!(entries[0]["after"].is_object());
    let id = entries[0]["entry_id"].as_str().unwrap();
    let shown = app.get(&format!("/v1/audit/{id}")).await;
    assert_eq!(shown.body["request_id"], request.as_str());
    for nothing in ["action=lane.resume", "q=no-such-text", "until=2020-01-01T00:00:00Z"] {
        let page = app.get(&format!("/v1/audit?{nothing}")).await;
        assert_eq!(page.body["entries"], json!([]), "{nothing}");
    }
    for bad in ["limit=0", "limit=201", "q=", "actor=x", "surprise=1"] {
        let page = app.get(&format!("/v1/audit?{bad}")).await;
        assert!(page.status.is_client_error(), "{bad}: {page:?}");
    }
    let (_, other) = app.other_org("other").await;
    let theirs =
        app.anonymous(Method::GET, &format!("/v1/audit/{id}")).bearer_auth(other).send().await.unwrap();
    assert_eq!(theirs.status(), StatusCode::NOT_FOUND);
    let blind = app.scoped(&["jobs:read"]).await;
    let refused = app.anonymous(Method::GET, "/v1/audit").bearer_auth(blind).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_whole_and_proves_itself() {
    let app = App::start().await;
    // More than one page of the table and of the chain.
    for number in 0..600 {
        let mut tx = store::Tx::system(&app.store, app.org, "test").await.unwrap();
        tx.record(audit::Entry::new("limit.set", "limit", number).reason("=1+1")).await.unwrap();
        tx.commit().await.unwrap();
    }
    let text = |path: &'static str| {
        let asked = app.ask(Method::GET, path);
        async move {
            let answer = asked.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            answer.text().await.unwrap()
        }
    };
    let chain = text("/v1/audit/export?format=json").await;
    let report = audit::verify_export(Cursor::new(&chain), Vec::new(), None, &|_, _| {}).unwrap();
    assert!(report.intact && report.links > 600, "{:?}", report.problems);
    let changed = chain.replacen("=1+1", "=1+2", 1);
    let report = audit::verify_export(Cursor::new(&changed), Vec::new(), None, &|_, _| {}).unwrap();
    assert_eq!(report.problems_total, 1);

    let table = text("/v1/audit/export?format=csv&action=limit.").await;
    assert_eq!(table.lines().count(), 601);
    assert!(table.contains(",'=1+1,") && !table.contains(",=1+1"));
    let selection = text("/v1/audit/export?format=json&action=limit.").await;
    assert_eq!(selection.lines().count(), 601);
    let error = audit::verify_export(Cursor::new(&selection), Vec::new(), None, &|_, _| {}).unwrap_err();
    assert!(error.to_string().contains("no audit export"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_read_the_log_may_have_it_verified_and_that_is_recorded() {
    let app = App::start().await;
    let reader = app.scoped(&["audit:read"]).await;
    let ask = || app.anonymous(Method::POST, "/v1/audit/verify").bearer_auth(&reader);
    let answer = ask().send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let request = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let first: serde_json::Value = answer.json().await.unwrap();
    let again: serde_json::Value = ask().send().await.unwrap().json().await.unwrap();
    assert_eq!((&again["job_id"], &again["created"]), (&first["job_id"], &false.into()));
    let job = first["job_id"].as_str().unwrap();
    assert_eq!(app.get(&format!("/v1/jobs/{job}")).await.body["kind"], "audit.verify");
    let found = app.get(&format!("/v1/audit?request={request}")).await;
    assert_eq!(found.body["entries"][0]["action"], "job.enqueue", "{found:?}");
    assert_eq!(found.body["entries"][0]["job_id"], job);
    let about = app.get(&format!("/v1/audit?job={job}")).await;
    assert_eq!(about.body["entries"].as_array().unwrap().len(), 1);

    let signer = audit::Signer::new("k", |_| Ok(vec![7; 64]));
    audit::checkpoint(&app.store, app.org, &signer).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let signed = app.get("/v1/audit/checkpoints").await;
    let one = &signed.body["checkpoints"][0];
    assert!(one["message"].as_str().unwrap().starts_with("countersign-audit-checkpoint\n"), "{signed:?}");
    assert_eq!(one["hash"].as_str().unwrap().len(), 64);
}
