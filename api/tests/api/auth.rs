//! Who gets in, and that no route was forgotten.

use std::time::Duration;

use api::ApiConfig;
use chrono::Utc;
use domain::{ActorId, Permissions};
use reqwest::Method;
use serde_json::{Value, json};
use store::{Actor, Tx, tokens};
use testkit::eventually;

use crate::app::{App, Reply};

#[tokio::test]
async fn tokens_let_in_and_everything_else_stays_out() {
    let app = App::start().await;
    let missing = Reply::of(app.anonymous(Method::GET, "/v1/jobs")).await;
    missing.is(401, "token_missing");
    assert!(missing.header("www-authenticate").starts_with("Bearer"));

    let unknown = format!("cst_{}", "a".repeat(43));
    for header in [
        "Bearer",
        "Bearer ",
        "Basic abc",
        "Bearer nonsense",
        &format!("Bearer {unknown}"),
        &format!("Token {}", app.token),
    ] {
        let reply = Reply::of(app.anonymous(Method::GET, "/v1/jobs").header("authorization", header)).await;
        reply.is(401, "token_refused");
        assert!(reply.header("www-authenticate").contains("invalid_token"));
    }
    let odd = app
        .anonymous(Method::GET, "/v1/jobs")
        .header("authorization", reqwest::header::HeaderValue::from_bytes(b"Bearer \xff").unwrap());
    Reply::of(odd).await.is(401, "token_refused");

    app.get("/v1/jobs").await.ok();
    let lower = Reply::of(
        app.anonymous(Method::GET, "/v1/jobs").header("authorization", format!("bearer {}", app.token)),
    )
    .await;
    lower.ok();
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let app = App::start().await;
    let soon = Utc::now() + chrono::Duration::milliseconds(700);
    let token = app.token_of(app.org, ActorId::new(), Permissions::TOKEN, Some(soon)).await;
    let ask = || Reply::of(app.anonymous(Method::GET, "/v1/kinds").bearer_auth(&token));
    ask().await.ok();
    tokio::time::sleep(Duration::from_millis(800)).await;
    let refused = ask().await;
    refused.is(401, "token_refused");
    assert!(refused.body["detail"].as_str().unwrap().contains("expired"));
}

#[tokio::test]
async fn a_revoked_token_stops_working_within_the_cache_time() {
    let config = ApiConfig { token_cache: Duration::from_millis(400), ..ApiConfig::default() };
    let app = App::configured(config).await;
    app.get("/v1/kinds").await.ok();
    let actor = Actor::token(app.org, ActorId::new(), Permissions::TOKEN);
    let mut tx = Tx::for_actor(&app.store, &actor).await.unwrap();
    let token = tokens::list(&mut tx).await.unwrap()[0].token_id;
    tokens::revoke(&mut tx, token).await.unwrap();
    tx.commit().await.unwrap();
    eventually(Duration::from_secs(2), || async { app.get("/v1/kinds").await.code() == "token_refused" })
        .await;
}

#[tokio::test]
async fn guessing_is_slowed_down_and_locks_nobody_out() {
    let config = ApiConfig { token_cache: Duration::from_millis(100), ..ApiConfig::default() };
    let app = App::configured(config).await;
    app.get("/v1/kinds").await.ok();
    let mut codes = std::collections::BTreeMap::new();
    for round in 0..20 {
        let guesses = (0..100).map(|n| {
            let guess = format!("cst_{:a<43}", format!("g{round}x{n}"));
            Reply::of(app.anonymous(Method::GET, "/v1/kinds").bearer_auth(guess))
        });
        for reply in futures::future::join_all(guesses).await {
            *codes.entry(reply.code().to_owned()).or_insert(0) += 1;
        }
    }
    assert!(codes["token_refused"] >= 500, "{codes:?}");
    tokio::time::sleep(Duration::from_millis(150)).await;
    app.get("/v1/kinds").await.ok();
}

#[tokio::test]
async fn the_use_of_a_token_is_noted() {
    let app = App::start().await;
    app.get("/v1/kinds").await.ok();
    let actor = Actor::token(app.org, ActorId::new(), Permissions::TOKEN);
    eventually(Duration::from_secs(2), || async {
        let mut tx = Tx::for_reader(&app.store, &actor).await.unwrap();
        tokens::list(&mut tx).await.unwrap()[0].last_used_at.is_some()
    })
    .await;
}

#[tokio::test]
async fn a_token_that_asks_too_often_is_told_when_to_come_back() {
    let one = std::num::NonZeroU32::MIN;
    let app = App::configured(ApiConfig { rate_per_s: one, burst: one, ..ApiConfig::default() }).await;
    app.get("/v1/kinds").await.ok();
    let limited = app.get("/v1/kinds").await;
    limited.is(429, "rate_limited");
    assert_eq!(limited.header("retry-after"), "1");
    let (_, other) = app.other_org("other").await;
    Reply::of(app.anonymous(Method::GET, "/v1/kinds").bearer_auth(other)).await.ok();
}

/// Every operation of the document, asked without a token, with a token of no scope that helps, and for
/// somebody else's thing. A route that somebody adds and forgets to protect fails here.
#[tokio::test]
async fn no_route_was_forgotten() {
    let app = App::start().await;
    let document: Value = serde_json::from_str(&api::openapi()).unwrap();
    let every = ["jobs:read", "jobs:write", "dead:write", "lanes:write", "limits:write", "schedules:write"];
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let place = format!("{method} {path}");
            let id = uuid::Uuid::now_v7().to_string();
            let path = path.replace("{lane}", "no-such-lane");
            let path = path
                .split('/')
                .map(|part| if part.starts_with('{') { &id } else { part })
                .collect::<Vec<_>>()
                .join("/");
            let ask = |token: Option<&str>| {
                let request =
                    app.anonymous(method.clone(), &path).json(&json!({ "reason": "x", "org_cap": 1 }));
                token.map_or_else(
                    || request.try_clone().unwrap(),
                    |token| request.try_clone().unwrap().bearer_auth(token),
                )
            };
            if operation["security"][0]["session"].is_array() {
                assert_eq!(Reply::of(ask(None)).await.code(), "token_missing", "{place}");
                let nobody = Reply::of(ask(Some(&app.token))).await;
                assert_eq!(nobody.code(), "person_required", "{place}: an API token is nobody");
                continue;
            }
            let Some(scope) = operation["security"][0]["token"][0].as_str() else {
                // Doors are tried one by one where they are described: sign_in, people, hooks.
                if ["/v1/auth/", "/v1/hooks/"].iter().any(|door| path.starts_with(door)) {
                    continue;
                }
                assert!(Reply::of(ask(None)).await.status.is_success(), "{place} is public");
                continue;
            };
            asked += 1;
            assert_eq!(Reply::of(ask(None)).await.code(), "token_missing", "{place}");
            let others: Vec<&str> = every.into_iter().filter(|other| *other != scope).collect();
            let refused = Reply::of(ask(Some(&app.scoped(&others).await))).await;
            assert_eq!(refused.code(), "scope_missing", "{place}: {refused:?}");
            assert!(refused.body["detail"].as_str().unwrap().contains(scope), "{place} names {scope}");
            // No token can decide, so none gets far enough to be told that there is no such thing.
            let grantable = Permissions::parse(&[scope]).is_ok();
            if grantable && (path.contains(&id) || path.contains("no-such-lane")) {
                let reply = Reply::of(ask(Some(&app.scoped(&[scope]).await))).await;
                // A body that is not this route's is refused before the thing is looked for.
                assert!(matches!(reply.code(), "not_found" | "invalid_request"), "{place}: {reply:?}");
            }
        }
    }
    assert!(asked >= 30, "{asked}");
}
