//! Getting in, staying out, going.

use std::sync::Arc;
use std::time::Duration;

use api::ApiConfig;
use chrono::Utc;
use domain::Role;
use domain::clock::ManualClock;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;

use super::browser::Browser;
use super::people::{self, PASSWORD};
use crate::app::{App, Reply};

#[tokio::test]
async fn somebody_signs_in_looks_around_and_leaves() {
    let app = App::start().await;
    people::person(&app.store, app.org, "ana@example.com", Role::Manager).await;
    let mut ana = Browser::new(&app);
    let reply = ana.sign_in(" Ana@Example.com", PASSWORD).await;
    let cookies: Vec<String> =
        reply.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap().to_owned()).collect();
    assert!(cookies.iter().all(|line| line.contains("HttpOnly; SameSite=Strict; Path=/")), "{cookies:?}");
    let body = reply.ok();
    assert_eq!(body["me"]["account"]["email"], "ana@example.com");
    assert_eq!(body["me"]["org"]["role"], "manager");
    assert_eq!(body["csrf_token"], body["me"]["csrf_token"]);
    assert!(!body.to_string().contains(ana.session()), "the session's token is in the cookie only");

    let me = ana.get("/v1/me").await.ok();
    assert_eq!(me["csrf_token"], body["csrf_token"]);
    assert_eq!(me["workspaces"][0]["slug"], "main");
    let permissions = ana.get("/v1/me/permissions").await.ok();
    let words: Vec<&str> = permissions["permissions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["permission"].as_str().unwrap())
        .collect();
    assert!(words.contains(&"jobs:write") && !words.contains(&"people:write"), "{words:?}");
    ana.get("/v1/jobs").await.ok();

    let old = ana.clone();
    assert_eq!(ana.post("/v1/auth/sign-out", &Value::Null).await.status, 204);
    assert!(!ana.cookies.contains_key("countersign"), "the cookie is taken away");
    Reply::of(old.request(Method::GET, "/v1/me")).await.is(401, "session_ended");
    ana.get("/v1/me").await.is(401, "token_missing");
}

#[tokio::test]
async fn every_refusal_reads_the_same() {
    let app = App::start().await;
    let (disabled, _) = people::person(&app.store, app.org, "disabled@example.com", Role::Support).await;
    let (bare, _) = people::person(&app.store, app.org, "bare@example.com", Role::Support).await;
    let (_, outside) = people::person(&app.store, app.org, "outside@example.com", Role::Support).await;
    people::person(&app.store, app.org, "ana@example.com", Role::Support).await;
    for (statement, id) in [
        ("UPDATE account SET disabled_at = now() WHERE account_id = $1", disabled.0),
        ("UPDATE account SET password_hash = NULL WHERE account_id = $1", bare.0),
        ("UPDATE member SET disabled_at = now() WHERE actor_id = $1", outside.0),
    ] {
        sqlx::query(statement).bind(id).execute(app.db.superuser()).await.unwrap();
    }
    let mut seen = Vec::new();
    for (email, password) in [
        ("nobody@example.com", PASSWORD),
        ("ana@example.com", "not the password"),
        ("ana@example.com", ""),
        ("disabled@example.com", PASSWORD),
        ("bare@example.com", PASSWORD),
        ("outside@example.com", PASSWORD),
    ] {
        let reply = Browser::new(&app).sign_in(email, password).await;
        reply.is(401, "sign_in_refused");
        assert!(reply.headers.get("set-cookie").is_none(), "{email}");
        let mut body = reply.body;
        body["request_id"] = Value::Null;
        seen.push(body);
    }
    assert!(seen.iter().all(|body| *body == seen[0]), "{seen:?}");
    // An organisation that somebody does not belong to is only told to those who know the password.
    let wrong = json!({ "email": "ana@example.com", "password": "no", "org": "other" });
    Browser::new(&app).post("/v1/auth/sign-in", &wrong).await.is(401, "sign_in_refused");
    let right = json!({ "email": "ana@example.com", "password": PASSWORD, "org": "other" });
    assert_eq!(
        Browser::new(&app).post("/v1/auth/sign-in", &right).await.is(422, "invalid_request"),
        ["/org"]
    );
}

#[tokio::test]
async fn a_refused_try_is_recorded_once_a_minute() {
    let clock = Arc::new(ManualClock::at(Utc::now()));
    let app = App::clocked(ApiConfig::default(), clock.clone()).await;
    people::person(&app.store, app.org, "ana@example.com", Role::Support).await;
    let count = || async {
        let entries: i64 =
            sqlx::query_scalar("SELECT count(*) FROM audit_entry WHERE action = 'session.refuse'")
                .fetch_one(app.db.superuser())
                .await
                .unwrap();
        entries
    };
    for _ in 0..3 {
        Browser::new(&app).sign_in("ana@example.com", "not it").await.is(401, "sign_in_refused");
    }
    eventually(Duration::from_secs(5), || async { count().await == 1 }).await;
    clock.advance(chrono::Duration::seconds(61));
    Browser::new(&app).sign_in("ana@example.com", "not it").await.is(401, "sign_in_refused");
    eventually(Duration::from_secs(5), || async { count().await == 2 }).await;
}

#[tokio::test]
async fn a_role_is_checked_by_its_table_and_a_change_is_felt_at_once_or_within_the_cache_time() {
    let config = ApiConfig { token_cache: Duration::from_millis(300), ..ApiConfig::default() };
    let app = App::configured(config).await;
    let (_, actor) = people::person(&app.store, app.org, "ana@example.com", Role::Support).await;
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    let refused = ana.post("/v1/lanes/default/pause", &json!({ "reason": "x" })).await;
    refused.is(403, "role_insufficient");
    assert!(refused.body["detail"].as_str().unwrap().contains("lanes:write"), "{refused:?}");

    let root = app.db.superuser();
    let set = |statement: &'static str| async move {
        sqlx::query(statement).bind(actor.0).execute(root).await.unwrap();
    };
    set("UPDATE member SET role = 'auditor' WHERE actor_id = $1").await;
    let mut other = ana.clone();
    eventually(Duration::from_secs(2), || {
        let mut other = other.clone();
        async move { other.get("/v1/me/permissions").await.ok()["role"] == "auditor" }
    })
    .await;
    set("UPDATE member SET disabled_at = now() WHERE actor_id = $1").await;
    eventually(Duration::from_secs(2), || {
        let mut other = other.clone();
        async move { other.get("/v1/me").await.code() == "session_ended" }
    })
    .await;
    other.get("/v1/jobs").await.is(401, "session_ended");
}

#[tokio::test]
async fn one_account_works_in_several_organisations() {
    let app = App::start().await;
    let (account, _) = people::person(&app.store, app.org, "ana@example.com", Role::Support).await;
    let (other, _) = app.other_org("other").await;
    people::join(&app.store, other, account, "ana@example.com", Role::Owner).await;
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    let before = ana.clone();
    let there = ana.post("/v1/me/org", &json!({ "org": "other" })).await.ok();
    assert_eq!(
        (&there["me"]["org"]["slug"], &there["me"]["org"]["role"]),
        (&json!("other"), &json!("owner"))
    );
    assert_eq!(there["me"]["orgs"].as_array().unwrap().len(), 2);
    assert_ne!(before.session(), ana.session());
    assert_ne!(before.csrf, ana.csrf);
    Reply::of(before.request(Method::GET, "/v1/me")).await.is(401, "session_ended");
    assert_eq!(
        ana.post("/v1/me/org", &json!({ "org": "nowhere" })).await.is(422, "invalid_request"),
        ["/org"]
    );

    let body = json!({ "email": "ana@example.com", "password": PASSWORD, "org": "other" });
    assert_eq!(Browser::new(&app).post("/v1/auth/sign-in", &body).await.ok()["me"]["org"]["slug"], "other");
}

#[tokio::test]
async fn an_old_hash_is_renewed_at_sign_in() {
    let app = App::start().await;
    let (account, _) = people::person(&app.store, app.org, "ana@example.com", Role::Support).await;
    // Argon2id with m=64, t=1 of the same password, computed by the reference implementation's rules.
    let weak = {
        use argon2::PasswordHasher;
        let params = argon2::Params::new(64, 1, 1, None).unwrap();
        let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let hash: argon2::PasswordHash = hasher.hash_password(PASSWORD.as_bytes()).unwrap();
        hash.to_string()
    };
    let set = "UPDATE account SET password_hash = $2 WHERE account_id = $1";
    sqlx::query(set).bind(account.0).bind(&weak).execute(app.db.superuser()).await.unwrap();
    Browser::signed_in(&app, "ana@example.com").await;
    let kept: String = sqlx::query_scalar("SELECT password_hash FROM account WHERE account_id = $1")
        .bind(account.0)
        .fetch_one(app.db.superuser())
        .await
        .unwrap();
    assert!(kept != weak && kept.contains("m=19456,t=2,p=1"), "{kept}");
    Browser::signed_in(&app, "ana@example.com").await;
}
