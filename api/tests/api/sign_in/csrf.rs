//! A cookie alone changes nothing.

use domain::Role;
use reqwest::Method;
use serde_json::json;

use super::browser::Browser;
use super::people;
use crate::app::{App, Reply};

#[tokio::test]
async fn changes_need_the_sessions_own_code_and_our_own_pages() {
    let app = App::start().await;
    for email in ["ana@example.com", "bo@example.com"] {
        people::person(&app.store, app.org, email, Role::Owner).await;
    }
    let ana = Browser::signed_in(&app, "ana@example.com").await;
    let bo = Browser::signed_in(&app, "bo@example.com").await;
    let mut bare = ana.clone();
    bare.csrf = None;
    let attempt = |code: Option<String>, site: Option<&str>| {
        let mut request = bare.request(Method::PATCH, "/v1/me").json(&json!({ "locale": "es" }));
        if let Some(code) = code {
            request = request.header("x-csrf-token", code);
        }
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        Reply::of(request)
    };
    let own = ana.csrf.clone().unwrap();
    for (code, site) in [
        (None, None),
        (Some("x".to_owned()), None),
        (bo.csrf.clone(), None),
        (Some(format!("{own}x")), None),
        (Some(own.clone()), Some("cross-site")),
        (Some(own.clone()), Some("same-site")),
    ] {
        attempt(code, site).await.is(403, "csrf_refused");
    }
    for site in [None, Some("same-origin"), Some("none")] {
        attempt(Some(own.clone()), site).await.ok();
    }
    // Reading needs no code; API tokens need none either, and signing in from another site is refused.
    Reply::of(bare.request(Method::GET, "/v1/me")).await.ok();
    app.post("/v1/jobs", &json!({ "kind": "system.noop", "payload": {} })).await.ok();
    let foreign = app
        .anonymous(Method::POST, "/v1/auth/sign-in")
        .header("sec-fetch-site", "cross-site")
        .json(&json!({ "email": "ana@example.com", "password": people::PASSWORD }));
    Reply::of(foreign).await.is(403, "csrf_refused");
}

#[tokio::test]
async fn an_access_token_needs_no_code_and_lives_as_long_as_its_session() {
    let app = App::start().await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    let token = ana.post("/v1/auth/access-token", &json!({})).await.ok();
    let token = token["access_token"].as_str().unwrap().to_owned();
    let with = |method: Method, path: &str| app.anonymous(method, path).bearer_auth(&token);
    let me = Reply::of(with(Method::GET, "/v1/me")).await.ok();
    assert_eq!(me["account"]["email"], "ana@example.com");
    assert!(me["csrf_token"].is_null(), "only whoever shows the cookie is told its code");
    Reply::of(with(Method::PATCH, "/v1/me").json(&json!({ "locale": "ne" }))).await.ok();
    Reply::of(with(Method::GET, "/v1/jobs")).await.ok();
    // It can't make others and so outlive its session.
    Reply::of(with(Method::POST, "/v1/auth/access-token")).await.is(403, "person_required");
    ana.post("/v1/auth/sign-out", &json!({})).await;
    Reply::of(with(Method::GET, "/v1/me")).await.is(401, "session_ended");
}
