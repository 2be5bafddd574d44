//! Secrets: they go in, are described, replaced and deleted, and never come out.

use domain::{OrgId, SecretId};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use store::secrets::seal_context;
use vault::Sealed;

use crate::app::{App, Reply};
use crate::keys;

const VALUE: &str = "sk_live_planted_4242424242";

fn stripe() -> Value {
    json!({ "name": "stripe.api_key", "kind": "api_key", "owner_system": "Stripe", "value": VALUE })
}

/// What a worker would read of the row.
async fn opened(app: &App, org: OrgId, id: &str) -> String {
    let id = SecretId(id.parse().unwrap());
    let (version, key_id, wrapped_key, ciphertext): (i32, String, Vec<u8>, Vec<u8>) =
        sqlx::query_as("SELECT version, key_id, wrapped_key, ciphertext FROM secret WHERE secret_id = $1")
            .bind(id.0)
            .fetch_one(app.db.superuser())
            .await
            .unwrap();
    let sealed = Sealed { key_id, wrapped_key, ciphertext };
    let value = vault::open(&keys::opening(), &sealed, &seal_context(org, id, version)).await.unwrap();
    value.expose_secret().to_owned()
}

#[tokio::test]
async fn a_secret_lives_its_life_and_its_value_never_comes_out() {
    let app = App::start().await;
    let mut answers = Vec::new();
    let made = app.post("/v1/secrets", &stripe()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let path = made.header("location").to_owned();
    let id = made.body["secret_id"].as_str().unwrap().to_owned();
    assert_eq!((&made.body["version"], &made.body["owner_system"]), (&json!(1), &json!("Stripe")));
    assert_eq!(opened(&app, app.org, &id).await, VALUE);
    app.post("/v1/secrets", &stripe()).await.is(409, "conflict");
    answers.push(made.text);

    let list = app.get("/v1/secrets").await;
    assert_eq!(list.body["secrets"][0]["name"], "stripe.api_key");
    assert_eq!(list.body["secrets"][0]["uses"], json!([]));
    answers.push(list.text);

    let put = |value: Value| Reply::of(app.ask(Method::PUT, &format!("{path}/value")).json(&value));
    let replaced = put(json!({ "value": "sk_live_second" })).await;
    assert_eq!(replaced.body["version"], 2, "{replaced:?}");
    assert_eq!(opened(&app, app.org, &id).await, "sk_live_second");
    answers.push(replaced.text);

    let patch = |value: Value| Reply::of(app.ask(Method::PATCH, &path).json(&value));
    let changed = patch(json!({ "owner_system": "Stripe EU", "expires_at": "2020-01-01T00:00:00Z" })).await;
    assert_eq!(
        (&changed.body["owner_system"], &changed.body["expired"]),
        (&json!("Stripe EU"), &json!(true))
    );
    assert_eq!(patch(json!({ "expires_at": null })).await.ok()["expires_at"], Value::Null);
    assert_eq!(put(json!({ "value": "" })).await.is(422, "invalid_request"), ["/value"]);

    let (_, other) = app.other_org("other").await;
    for (method, tail, body) in [
        (Method::PUT, "/value", json!({ "value": "x" })),
        (Method::PATCH, "", json!({})),
        (Method::DELETE, "", json!({})),
    ] {
        let theirs = app.anonymous(method, &format!("{path}{tail}")).bearer_auth(&other).json(&body);
        Reply::of(theirs).await.is(404, "not_found");
    }
    assert_eq!(Reply::of(app.ask(Method::DELETE, &path)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(app.get("/v1/secrets").await.ok()["secrets"], json!([]));
    for answer in answers {
        assert!(!answer.contains("sk_live"), "{answer}");
    }
    let log: Vec<String> =
        sqlx::query_scalar("SELECT content FROM audit_entry WHERE subject_kind = 'secret'")
            .fetch_all(app.db.superuser())
            .await
            .unwrap();
    assert_eq!(log.len(), 5, "{log:?}");
    assert!(log.iter().all(|entry| !entry.contains("sk_live")), "{log:?}");
}

#[tokio::test]
async fn what_can_be_no_secret_is_refused_and_not_repeated() {
    let app = App::start().await;
    for (field, value, pointer) in [
        ("value", json!(4_242_424_242_u64), "/value"),
        ("value", json!({ "a": "4242424242" }), "/value"),
        ("value", json!(["4242424242"]), "/value"),
        ("value", json!("4".repeat(65_537)), "/value"),
        ("value", json!(""), "/value"),
        ("name", json!("Stripe Key"), "/name"),
        ("name", json!("a\0b"), "/name"),
        ("name", json!("x".repeat(101)), "/name"),
        ("kind", json!("API key"), "/kind"),
        ("owner_system", json!(""), "/owner_system"),
        ("owner_system", json!("x'; DROP TABLE secret; --\0"), "/owner_system"),
        ("expires_at", json!("soon"), "/expires_at"),
        ("workspace_id", json!(uuid::Uuid::now_v7()), "/workspace_id"),
    ] {
        let mut body = stripe();
        body[field] = value;
        let reply = app.post("/v1/secrets", &body).await;
        assert_eq!(reply.is(422, "invalid_request"), [pointer], "{field}");
        assert!(!reply.text.contains("4242424242"), "{reply:?}");
    }
    let mut huge = stripe();
    huge["value"] = json!("4".repeat(500_000));
    app.post("/v1/secrets", &huge).await.is(413, "body_too_large");
    let mut largest = stripe();
    largest["value"] = json!("\u{1}".repeat(65_536));
    assert_eq!(app.post("/v1/secrets", &largest).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn two_replacements_at_once_take_turns() {
    let app = App::start().await;
    let id = app.post("/v1/secrets", &stripe()).await.ok()["secret_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/secrets/{id}/value");
    let puts = (0..20).map(|n| {
        let body = json!({ "value": format!("value {n}") });
        Reply::of(app.ask(Method::PUT, &path).json(&body))
    });
    let mut versions: Vec<i64> = Vec::new();
    for reply in futures::future::join_all(puts).await {
        versions.push(reply.ok()["version"].as_i64().unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (2..22).collect::<Vec<_>>());
    assert!(opened(&app, app.org, &id).await.starts_with("value "));
}
