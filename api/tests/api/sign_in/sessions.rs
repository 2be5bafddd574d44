//! Seeing where one is signed in, and ending it.

use domain::Role;
use reqwest::Method;
use serde_json::json;

use super::browser::Browser;
use super::people::{self, PASSWORD};
use crate::app::{App, Reply};

#[tokio::test]
async fn sessions_are_listed_and_ended_one_by_one_and_all_at_once() {
    let app = App::start().await;
    for email in ["ana@example.com", "bo@example.com"] {
        people::person(&app.store, app.org, email, Role::Owner).await;
    }
    let mut here = Browser::signed_in(&app, "ana@example.com").await;
    let there = Browser::signed_in(&app, "ana@example.com").await;
    let elsewhere = Browser::signed_in(&app, "ana@example.com").await;
    let mut bo = Browser::signed_in(&app, "bo@example.com").await;
    let list = here.get("/v1/me/sessions").await.ok();
    let list = list["sessions"].as_array().unwrap();
    assert_eq!(list.len(), 3);
    assert_eq!(list.iter().filter(|session| session["current"] == true).count(), 1);
    // The newest first: elsewhere, there, here.
    let id = list[1]["session_id"].as_str().unwrap();
    // Nobody ends another person's session by this route, not an owner either.
    bo.delete(&format!("/v1/me/sessions/{id}"), None).await.is(404, "not_found");
    assert_eq!(here.delete(&format!("/v1/me/sessions/{id}"), None).await.status, 204);
    Reply::of(there.request(Method::GET, "/v1/me")).await.is(401, "session_ended");
    here.delete(&format!("/v1/me/sessions/{id}"), None).await.is(404, "not_found");
    here.delete("/v1/me/sessions/x", None).await.is(400, "bad_path");

    assert_eq!(here.post("/v1/me/sessions/end-others", &json!({})).await.ok()["ended"], 1);
    Reply::of(elsewhere.request(Method::GET, "/v1/me")).await.is(401, "session_ended");
    here.get("/v1/me").await.ok();
    bo.get("/v1/me").await.ok();
}

#[tokio::test]
async fn signing_in_again_begins_a_new_session_and_ends_the_old() {
    let app = App::start().await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    let before = ana.clone();
    ana.sign_in("ana@example.com", PASSWORD).await.ok();
    assert_ne!(before.session(), ana.session());
    assert_eq!(before.device(), ana.device());
    Reply::of(before.request(Method::GET, "/v1/me")).await.is(401, "session_ended");
    // A cookie somebody planted is not taken over.
    let mut planted = Browser::new(&app);
    planted.cookies.insert("countersign".into(), "p".repeat(43));
    planted.sign_in("ana@example.com", PASSWORD).await.ok();
    assert_ne!(planted.session(), "p".repeat(43));
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let app = App::start().await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    let mut here = Browser::signed_in(&app, "ana@example.com").await;
    let there = Browser::signed_in(&app, "ana@example.com").await;
    let new = "nine loud herons fishing";
    let wrong = here.post("/v1/me/password", &json!({ "current": "not it", "new": new })).await;
    assert_eq!(wrong.is(422, "invalid_request"), ["/current"]);
    let missing = here.post("/v1/me/password", &json!({ "new": new })).await;
    assert_eq!(missing.is(422, "invalid_request"), ["/current"]);
    let done = here.post("/v1/me/password", &json!({ "current": PASSWORD, "new": new })).await;
    assert_eq!(done.status, 204, "{done:?}");
    here.get("/v1/me").await.ok();
    Reply::of(there.request(Method::GET, "/v1/me")).await.is(401, "session_ended");
    Browser::new(&app).sign_in("ana@example.com", PASSWORD).await.is(401, "sign_in_refused");
    Browser::new(&app).sign_in("ana@example.com", new).await.ok();
}
