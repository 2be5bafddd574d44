//! Forgotten passwords.

use std::sync::Arc;
use std::time::Duration;

use api::ApiConfig;
use chrono::Utc;
use domain::clock::ManualClock;
use domain::{Clock, Role};
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::json;
use store::Tx;
use store::accounts::resets;
use testkit::eventually;
use uuid::Uuid;

use super::browser::Browser;
use super::people::{self, PASSWORD};
use crate::app::{App, Reply};

const NEW: &str = "nine loud herons fishing";

/// Asks for a reset and does what the mailing worker does: makes the token.
async fn token(app: &App, clock: &ManualClock) -> String {
    let count = || async { reset_ids(app).await.len() };
    let before = count().await;
    let asked =
        Browser::new(app).post("/v1/auth/password-reset", &json!({ "email": "ana@example.com" })).await;
    assert_eq!(asked.status, 202);
    eventually(Duration::from_secs(5), || async { count().await > before }).await;
    let id = *reset_ids(app).await.last().unwrap();
    let mut tx = Tx::system(&app.store, app.org, "mail a reset").await.unwrap();
    let minted = resets::mint(&mut tx, id, clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((minted.email.as_str(), minted.locale.as_str()), ("ana@example.com", "en"));
    minted.token.expose_secret().to_owned()
}

async fn reset_ids(app: &App) -> Vec<Uuid> {
    sqlx::query_scalar("SELECT reset_id FROM password_reset ORDER BY reset_id")
        .fetch_all(app.db.superuser())
        .await
        .unwrap()
}

async fn complete(app: &App, token: &str, password: &str) -> Reply {
    let body = json!({ "token": token, "password": password });
    Browser::new(app).post("/v1/auth/password-reset/complete", &body).await
}

#[tokio::test]
async fn a_link_sets_a_password_once_and_ends_every_session() {
    let clock = Arc::new(ManualClock::at(Utc::now()));
    let app = App::clocked(ApiConfig::default(), clock.clone()).await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    let ana = Browser::signed_in(&app, "ana@example.com").await;
    let (older, token) = (token(&app, &clock).await, token(&app, &clock).await);

    let weak = complete(&app, &token, "too short").await;
    assert_eq!(weak.is(422, "invalid_request"), ["/password"]);
    let mut there = Browser::new(&app);
    let body = json!({ "token": token, "password": NEW });
    let done = there.post("/v1/auth/password-reset/complete", &body).await;
    assert_eq!((done.status.as_u16(), done.text.as_str()), (204, ""), "{done:?}");
    assert!(there.cookies.contains_key("countersign-device"), "the browser is known now");
    for used in [&token, &older] {
        complete(&app, used, "ten more slow tortoises").await.is(410, "link_refused");
    }
    Reply::of(ana.request(Method::GET, "/v1/me")).await.is(401, "session_ended");
    Browser::new(&app).sign_in("ana@example.com", PASSWORD).await.is(401, "sign_in_refused");
    there.sign_in("ana@example.com", NEW).await.ok();
    for odd in ["", "x", &"a".repeat(43), "' OR 1=1 --"] {
        complete(&app, odd, NEW).await.is(410, "link_refused");
    }
}

#[tokio::test]
async fn two_with_one_link_are_one_and_after_an_hour_nobody() {
    let clock = Arc::new(ManualClock::at(Utc::now()));
    let app = App::clocked(ApiConfig::default(), clock.clone()).await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    let link = token(&app, &clock).await;
    let tries = (0..8).map(|_| complete(&app, &link, NEW));
    let replies = futures::future::join_all(tries).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 204).count(), 1, "{replies:?}");
    assert!(replies.iter().all(|reply| reply.status == 204 || reply.code() == "link_refused"));

    clock.advance(chrono::Duration::hours(2));
    let link = token(&app, &clock).await;
    clock.advance(chrono::Duration::minutes(60));
    complete(&app, &link, "ten more slow tortoises").await.is(410, "link_refused");
}

#[tokio::test]
async fn nobody_learns_who_has_an_account_and_mails_are_bounded() {
    let app = App::start().await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    let mut bodies = Vec::new();
    for email in ["ana@example.com", "nobody@example.com"] {
        let mut codes = Vec::new();
        for _ in 0..4 {
            let reply = Browser::new(&app).post("/v1/auth/password-reset", &json!({ "email": email })).await;
            codes.push(reply.status.as_u16());
            bodies.push(reply.text.contains("request_id"));
        }
        assert_eq!(codes, [202, 202, 202, 429], "{email}");
    }
    assert_eq!(bodies, [false, false, false, true, false, false, false, true]);
    eventually(Duration::from_secs(5), || async { reset_ids(&app).await.len() == 3 }).await;
}
