//! People around an approval.

use domain::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{App, Reply};
use crate::sign_in::browser::Browser;
use crate::sign_in::people;

/// An organisation in which echoes and webhooks need an approval.
pub(super) async fn guarded() -> App {
    let app = App::start().await;
    for (email, role) in [
        ("ana@example.com", Role::Owner),
        ("ben@example.com", Role::Owner),
        ("mia@example.com", Role::Manager),
    ] {
        people::person(&app.store, app.org, email, role).await;
    }
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    for kind in ["system.echo", "webhooks.deliver"] {
        put(&mut ana, &format!("/v1/approvals/rules/job:{kind}"), &json!({})).await.ok();
    }
    app
}

pub(super) async fn put(browser: &mut Browser<'_>, path: &str, body: &Value) -> Reply {
    browser.send(browser.request(Method::PUT, path).json(body)).await
}

pub(super) fn echo(message: &str) -> Value {
    json!({ "job": { "kind": "system.echo", "payload": { "message": message } }, "summary": format!("Say {message}") })
}

/// Where to decide, and what a decision says.
pub(super) fn place(asked: &Value) -> (String, Value) {
    let id = asked["approval_id"].as_str().unwrap();
    (format!("/v1/approvals/{id}"), json!({ "content_hash": asked["content_hash"], "comment": "seen" }))
}
