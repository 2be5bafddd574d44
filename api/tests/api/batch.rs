//! Many jobs in one request.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{App, Reply};

fn noop(n: usize) -> Value {
    json!({ "kind": "system.noop", "payload": { "pad": n.to_string() } })
}

async fn keyed(app: &App, key: &str, body: &Value) -> Reply {
    Reply::of(app.ask(Method::POST, "/v1/jobs/batch").header("idempotency-key", key).json(body)).await
}

async fn rows(app: &App) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM job").fetch_one(app.db.superuser()).await.unwrap()
}

#[tokio::test]
async fn a_thousand_jobs_are_committed_together() {
    let app = App::start().await;
    let jobs: Vec<Value> = (0..1000).map(noop).collect();
    let reply = app.post("/v1/jobs/batch", &json!({ "jobs": jobs })).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{reply:?}");
    assert_eq!(reply.body["jobs"].as_array().unwrap().len(), 1000);
    assert!(reply.body["batch_id"].is_null());
    assert!(reply.body["jobs"].as_array().unwrap().iter().all(|job| job["created"] == true));
    assert_eq!(rows(&app).await, 1000);
}

#[tokio::test]
async fn a_named_batch_is_counted() {
    let app = App::start().await;
    let body = json!({ "name": "nightly", "jobs": [noop(1), noop(2)], "on_complete": noop(3) });
    let made = app.post("/v1/jobs/batch", &body).await.ok();
    let id = made["batch_id"].as_str().unwrap();
    let batch = app.get(&format!("/v1/batches/{id}")).await.ok();
    assert_eq!((&batch["name"], &batch["total"], &batch["open"]), (&json!("nightly"), &json!(2), &json!(2)));
    let listed = app.get(batch["jobs_url"].as_str().unwrap()).await;
    assert_eq!(listed.ids("jobs").len(), 2);
    let job = app.get(made["jobs"][0]["status_url"].as_str().unwrap()).await.ok();
    assert_eq!(job["batch"]["batch_id"], id);
    assert_eq!(job["links"]["batch"], format!("/v1/batches/{id}"));

    let (_, other) = app.other_org("other").await;
    let elsewhere =
        Reply::of(app.anonymous(Method::GET, &format!("/v1/batches/{id}")).bearer_auth(other)).await;
    elsewhere.is(404, "not_found");
}

#[tokio::test]
async fn one_wrong_job_keeps_all_out_and_every_wrong_field_is_named() {
    let app = App::start().await;
    let mut jobs: Vec<Value> = (0..5).map(noop).collect();
    jobs[1]["payload"]["pad"] = json!(7);
    jobs[3] = json!({ "kind": "system.echo", "payload": {} });
    let reply = app.post("/v1/jobs/batch", &json!({ "jobs": jobs })).await;
    let pointers = reply.is(422, "invalid_payload");
    assert!(pointers.contains(&"/jobs/1/payload/pad"), "{pointers:?}");
    assert!(pointers.iter().any(|at| at.starts_with("/jobs/3/payload")), "{pointers:?}");
    jobs[4]["kind"] = json!("no.kind");
    let mixed = app.post("/v1/jobs/batch", &json!({ "jobs": jobs })).await;
    assert!(mixed.is(422, "invalid_request").contains(&"/jobs/4/kind"));
    let callback = app
        .post(
            "/v1/jobs/batch",
            &json!({ "jobs": [noop(1)], "on_complete": { "kind": "no.kind", "payload": {} } }),
        )
        .await;
    assert_eq!(callback.is(422, "unknown_kind"), ["/on_complete/kind"]);
    assert_eq!(rows(&app).await, 0);
}

#[tokio::test]
async fn sizes_and_names_are_bounded() {
    let app = App::start().await;
    for jobs in [Vec::new(), vec![noop(1); 1001]] {
        assert_eq!(
            app.post("/v1/jobs/batch", &json!({ "jobs": jobs })).await.is(422, "invalid_request"),
            ["/jobs"]
        );
    }
    for name in ["".to_owned(), "x".repeat(201), "a\0".to_owned()] {
        let reply = app.post("/v1/jobs/batch", &json!({ "name": name, "jobs": [noop(1)] })).await;
        assert_eq!(reply.is(422, "invalid_request"), ["/name"]);
    }
    let chain: Vec<Value> = (0..101).map(noop).collect();
    let reply = app.post("/v1/jobs", &json!({ "kind": "system.noop", "payload": {}, "then": chain })).await;
    assert_eq!(reply.is(422, "invalid_request"), ["/then"]);
}

#[tokio::test]
async fn a_repeated_request_makes_nothing_new() {
    let app = App::start().await;
    let body = json!({ "name": "import", "jobs": [noop(1), noop(2)] });
    let first = keyed(&app, "import-7", &body).await.ok();
    let repeat = keyed(&app, "import-7", &body).await.ok();
    assert_eq!(repeat["batch_id"], first["batch_id"]);
    for at in 0..2 {
        assert_eq!(repeat["jobs"][at]["job_id"], first["jobs"][at]["job_id"]);
        assert_eq!(repeat["jobs"][at]["created"], false);
    }
    assert_eq!(rows(&app).await, 2);
    let batches: i64 =
        sqlx::query_scalar("SELECT count(*) FROM job_batch").fetch_one(app.db.superuser()).await.unwrap();
    assert_eq!(batches, 1);

    let other = json!({ "name": "import", "jobs": [noop(1), noop(3)] });
    keyed(&app, "import-7", &other).await.is(409, "idempotency_key_reused");
    assert_eq!(rows(&app).await, 2);
}
