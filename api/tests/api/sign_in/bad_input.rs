//! What is expired, forged, over-long or odd is refused clearly, and tells nothing.

use std::sync::Arc;

use api::ApiConfig;
use chrono::{Duration, Utc};
use domain::Role;
use domain::clock::ManualClock;
use reqwest::Method;
use serde_json::json;

use super::browser::Browser;
use super::people::{self, PASSWORD};
use crate::app::{App, Reply};

#[tokio::test]
async fn forged_cookies_and_tokens_let_nobody_in() {
    let app = App::start().await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    for forged in
        ["x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "'; DROP TABLE session --", &"x".repeat(5_000)]
    {
        let request = app.anonymous(Method::GET, "/v1/me").header("cookie", format!("countersign={forged}"));
        let reply = Reply::of(request).await;
        reply.is(401, "session_ended");
        assert!(reply.header("set-cookie").starts_with("countersign=;"), "{reply:?}");
    }
    let token = ana.post("/v1/auth/access-token", &json!({})).await.ok();
    let token = token["access_token"].as_str().unwrap().to_owned();
    let (body, _) = token.rsplit_once('.').unwrap();
    let none = "eyJhbGciOiJub25lIn0";
    let middle = token.split('.').nth(1).unwrap();
    for forged in [
        format!("{body}."),
        format!("{body}.{}", "a".repeat(43)),
        format!("{none}.{middle}."),
        "..".into(),
        "a.b.c".into(),
    ] {
        let request = app.anonymous(Method::GET, "/v1/me").bearer_auth(&forged);
        Reply::of(request).await.is(401, "token_refused");
    }
    // An API token is nobody, whatever it may do.
    app.get("/v1/me").await.is(403, "person_required");
    app.post("/v1/me/step-up", &json!({ "code": "1" })).await.is(403, "person_required");
}

#[tokio::test]
async fn sessions_and_access_tokens_end_by_the_clock() {
    let clock = Arc::new(ManualClock::at(Utc::now()));
    let app = App::clocked(ApiConfig::default(), clock.clone()).await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    let token = ana.post("/v1/auth/access-token", &json!({})).await.ok();
    let token = token["access_token"].as_str().unwrap().to_owned();
    let by_token = || Reply::of(app.anonymous(Method::GET, "/v1/me").bearer_auth(&token));
    clock.advance(Duration::seconds(299));
    by_token().await.ok();
    clock.advance(Duration::seconds(2));
    let expired = by_token().await;
    expired.is(401, "token_refused");
    assert!(expired.body["detail"].as_str().unwrap().contains("expired"));
    // Unused for two weeks.
    clock.advance(Duration::days(14));
    ana.get("/v1/me").await.is(401, "session_ended");
    // Used all the time, it ends after thirty days.
    let ana = Browser::signed_in(&app, "ana@example.com").await;
    let used = |at: chrono::DateTime<Utc>| {
        let statement = sqlx::query("UPDATE session SET last_seen_at = $1").bind(at);
        statement.execute(app.db.superuser())
    };
    let began = domain::Clock::now(&*clock);
    clock.advance(Duration::days(30) - Duration::seconds(1));
    used(began + Duration::days(29)).await.unwrap();
    // What this process remembers is older than its clock: it asks again for another session only.
    let fresh = Browser::signed_in(&app, "ana@example.com").await;
    Reply::of(fresh.request(Method::GET, "/v1/me")).await.ok();
    clock.advance(Duration::seconds(1));
    Reply::of(ana.request(Method::GET, "/v1/me")).await.is(401, "session_ended");
}

#[tokio::test]
async fn odd_and_over_long_values_are_named() {
    let app = App::start().await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    let long_email = format!("{}@example.com", "a".repeat(250));
    for (body, pointer) in [
        (json!({ "email": "ana", "password": "x" }), "/email"),
        (json!({ "email": "a\u{0}@b", "password": "x" }), "/email"),
        (json!({ "email": long_email, "password": "x" }), "/email"),
        (json!({ "email": "ana@example.com", "password": "x".repeat(1001) }), "/password"),
        (json!({ "email": "ana@example.com" }), ""),
        (json!({ "email": "ana@example.com", "password": "x", "admin": true }), "/admin"),
        (json!({ "email": "ana@example.com", "password": 7 }), "/password"),
    ] {
        let reply = Browser::new(&app).post("/v1/auth/sign-in", &body).await;
        assert_eq!(reply.is(422, "invalid_request"), [pointer], "{body}");
    }
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    for name in ["", "   ", &"n".repeat(201), "two\nlines", "nul\u{0}"] {
        assert_eq!(ana.patch("/v1/me", &json!({ "name": name })).await.is(422, "invalid_request"), ["/name"]);
    }
    assert_eq!(ana.patch("/v1/me", &json!({ "locale": "xx" })).await.is(422, "invalid_request"), ["/locale"]);
    for name in ["सीता थापा", "عائشة", "Ånå 'DROP TABLE' \"x\" 🦦", &"ñ".repeat(200)]
    {
        let me = ana.patch("/v1/me", &json!({ "name": name })).await.ok();
        assert_eq!(me["account"]["name"], name);
    }
    for (new, says) in [
        ("short", "12 to 200"),
        ("aaaaaaaaaaaaaaaa", "easy to guess"),
        ("my ana@example.com key", "your name"),
    ] {
        let reply = ana.post("/v1/me/password", &json!({ "current": PASSWORD, "new": new })).await;
        assert_eq!(reply.is(422, "invalid_request"), ["/new"]);
        assert!(reply.body["detail"].as_str().unwrap().contains(says), "{reply:?}");
        assert!(!reply.text.contains(new) && !reply.text.contains(PASSWORD), "{reply:?}");
    }
}

#[tokio::test]
async fn the_address_is_taken_from_trusted_proxies_only() {
    let trusting =
        ApiConfig { trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()], ..ApiConfig::default() };
    for (config, expected) in [(trusting, "203.0.113.9"), (ApiConfig::default(), "127.0.0.1")] {
        let app = App::configured(config).await;
        people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
        let mut ana = Browser::new(&app);
        ana.address = Some("6.6.6.6, 203.0.113.9".into());
        ana.sign_in("ana@example.com", PASSWORD).await.ok();
        let sessions = ana.get("/v1/me/sessions").await.ok();
        assert_eq!(sessions["sessions"][0]["address"], expected);
        assert_eq!(sessions["sessions"][0]["user_agent"], "Testing/1.0");
        let noted: Option<String> = sqlx::query_scalar(
            "SELECT content::jsonb->>'address' FROM audit_entry WHERE action = 'session.start'",
        )
        .fetch_one(app.db.superuser())
        .await
        .unwrap();
        assert_eq!(noted.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn a_secret_sent_as_something_else_than_text_is_not_repeated() {
    let app = App::start().await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    // Numbers, as forms that know no better send codes.
    let secret = 471_100_815_123_u64;
    let (address, password) = ("ana@example.com", PASSWORD);
    for (path, field, body) in [
        ("/v1/auth/sign-in", "password", json!({ "email": address, "password": secret })),
        ("/v1/auth/sign-in", "code", json!({ "email": address, "password": password, "code": secret })),
        ("/v1/auth/password-reset/complete", "token", json!({ "token": secret, "password": password })),
        ("/v1/auth/password-reset/complete", "password", json!({ "token": "x", "password": secret })),
        ("/v1/auth/invitation", "token", json!({ "token": secret })),
        ("/v1/auth/invitation/accept", "token", json!({ "token": secret })),
        ("/v1/auth/invitation/accept", "password", json!({ "token": "x", "password": secret })),
        ("/v1/me/password", "current", json!({ "current": secret, "new": password })),
        ("/v1/me/password", "new", json!({ "current": password, "new": secret })),
        ("/v1/me/totp", "password", json!({ "password": secret })),
        ("/v1/me/step-up", "code", json!({ "code": secret })),
    ] {
        let refused = ana.post(path, &body).await;
        assert_eq!(refused.is(422, "invalid_request"), [format!("/{field}")], "{path}");
        assert!(!refused.text.contains("471100815123"), "{path}: {}", refused.text);
    }
}
