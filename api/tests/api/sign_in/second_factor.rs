//! The second factor: on, used once, lost, off.

use std::sync::Arc;

use api::ApiConfig;
use chrono::{DateTime, Duration, Utc};
use domain::clock::ManualClock;
use domain::{Clock, Role};
use serde_json::{Value, json};
use totp_rs::{Algorithm, Builder, Secret};

use super::browser::Browser;
use super::people::{self, PASSWORD};
use crate::app::{App, Reply};

/// The code that an authenticator app shows.
pub(crate) fn code_of(secret: &str, now: DateTime<Utc>) -> String {
    let totp = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_secret(Secret::try_from_base32(secret).unwrap())
        .with_account_name("x")
        .build()
        .unwrap();
    totp.generate(u64::try_from(now.timestamp()).unwrap()).to_string()
}

/// Turns the second factor on; answers its secret and the recovery codes.
pub(crate) async fn turn_on(ana: &mut Browser<'_>, now: DateTime<Utc>) -> (String, Vec<String>) {
    let proposed = ana.post("/v1/me/totp", &json!({ "password": PASSWORD })).await.ok();
    let secret = proposed["secret"].as_str().unwrap().to_owned();
    assert!(proposed["uri"].as_str().unwrap().contains(&secret));
    let confirmed = ana.post("/v1/me/totp/confirm", &json!({ "code": code_of(&secret, now) })).await.ok();
    let codes = confirmed["recovery_codes"].as_array().unwrap();
    (secret, codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect())
}

fn with_code(code: &str) -> Value {
    json!({ "email": "ana@example.com", "password": PASSWORD, "code": code })
}

#[tokio::test]
async fn a_code_is_asked_for_and_works_once() {
    let clock = Arc::new(ManualClock::at(Utc::now()));
    let app = App::clocked(ApiConfig::default(), clock.clone()).await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    ana.post("/v1/me/step-up", &json!({ "code": "123456" })).await.is(409, "conflict");
    ana.post("/v1/me/totp/confirm", &json!({ "code": "123456" })).await.is(409, "conflict");
    // A session that somebody took over gives itself no second factor.
    for body in [json!({}), json!({ "password": "not the password" })] {
        let refused = ana.post("/v1/me/totp", &body).await;
        assert_eq!(refused.is(422, "invalid_request"), ["/password"], "{body}");
    }
    ana.post("/v1/me/totp", &json!({ "password": PASSWORD })).await.ok();
    ana.post("/v1/me/totp/confirm", &json!({ "code": "0000" })).await.is(403, "code_refused");
    assert_eq!(ana.get("/v1/me").await.ok()["account"]["second_factor"], false);
    let (secret, codes) = turn_on(&mut ana, clock.now()).await;
    assert_eq!(codes.len(), 10);
    assert_eq!(ana.get("/v1/me").await.ok()["account"]["recovery_codes_left"], 10);
    // A second one would replace it without showing a code.
    ana.post("/v1/me/totp", &json!({ "password": PASSWORD })).await.is(409, "conflict");

    let mut there = Browser::new(&app);
    there.sign_in("ana@example.com", PASSWORD).await.is(401, "second_factor_required");
    there.sign_in("ana@example.com", "not it").await.is(401, "sign_in_refused");
    // The code that confirmed it is used up.
    there
        .post("/v1/auth/sign-in", &with_code(&code_of(&secret, clock.now())))
        .await
        .is(401, "sign_in_refused");
    clock.advance(Duration::seconds(30));
    let code = code_of(&secret, clock.now());
    let me = there.post("/v1/auth/sign-in", &with_code(&code)).await.ok();
    assert_eq!(me["me"]["session"]["second_factor"], true);
    Browser::new(&app).post("/v1/auth/sign-in", &with_code(&code)).await.is(401, "sign_in_refused");
    // Neither does it work for another purpose, in another session.
    ana.post("/v1/me/step-up", &json!({ "code": code })).await.is(403, "code_refused");
    clock.advance(Duration::seconds(30));
    let code = code_of(&secret, clock.now());
    ana.post("/v1/me/step-up", &json!({ "code": code })).await.ok();
    assert!(ana.get("/v1/me").await.ok()["session"]["step_up_at"].is_string());
    assert!(there.get("/v1/me").await.ok()["session"]["step_up_at"].is_null(), "the other session is not");
}

#[tokio::test]
async fn fifty_at_once_with_one_code_are_one() {
    let clock = Arc::new(ManualClock::at(Utc::now()));
    let app = App::clocked(ApiConfig::default(), clock.clone()).await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    let (secret, codes) = turn_on(&mut ana, clock.now()).await;
    clock.advance(Duration::hours(1));
    for code in [code_of(&secret, clock.now()), codes[0].clone()] {
        let tries = (0..50).map(|_| {
            let browser = ana.clone();
            let code = code.clone();
            async move {
                let request = browser.request(reqwest::Method::POST, "/v1/me/step-up");
                Reply::of(request.json(&json!({ "code": code }))).await
            }
        });
        let replies = futures::future::join_all(tries).await;
        let done = replies.iter().filter(|reply| reply.status == 200).count();
        let refused = replies.iter().filter(|reply| reply.code() == "code_refused").count();
        let slowed = replies.iter().filter(|reply| reply.code() == "sign_in_slowed").count();
        assert_eq!((done, done + refused + slowed), (1, 50));
        assert!(refused >= 1, "some got as far as the database");
        clock.advance(Duration::hours(1));
    }
}

#[tokio::test]
async fn a_recovery_code_stands_in_once_and_codes_are_renewed() {
    let clock = Arc::new(ManualClock::at(Utc::now()));
    let app = App::clocked(ApiConfig::default(), clock.clone()).await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    let (secret, codes) = turn_on(&mut ana, clock.now()).await;
    let typed = codes[3].to_lowercase().replace('-', " ");
    let me = Browser::new(&app).post("/v1/auth/sign-in", &with_code(&typed)).await.ok();
    assert_eq!(me["me"]["account"]["recovery_codes_left"], 9);
    Browser::new(&app).post("/v1/auth/sign-in", &with_code(&codes[3])).await.is(401, "sign_in_refused");

    clock.advance(Duration::minutes(20));
    let code = code_of(&secret, clock.now());
    let renewed = ana.post("/v1/me/recovery-codes", &json!({ "code": code })).await.ok();
    let renewed = renewed["recovery_codes"][0].as_str().unwrap().to_owned();
    Browser::new(&app).post("/v1/auth/sign-in", &with_code(&codes[4])).await.is(401, "sign_in_refused");

    ana.delete("/v1/me/totp", Some(&json!({ "code": "111111" }))).await.is(403, "code_refused");
    assert_eq!(ana.delete("/v1/me/totp", Some(&json!({ "code": renewed }))).await.status, 204);
    let mut again = Browser::new(&app);
    again.sign_in("ana@example.com", PASSWORD).await.ok();
    assert_eq!(again.get("/v1/me").await.ok()["account"]["recovery_codes_left"], 0);
}

#[tokio::test]
async fn codes_are_guessed_slowly_also_with_the_right_password() {
    let clock = Arc::new(ManualClock::at(Utc::now()));
    let app = App::clocked(ApiConfig::default(), clock.clone()).await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    let mut ana = Browser::signed_in(&app, "ana@example.com").await;
    let (secret, _) = turn_on(&mut ana, clock.now()).await;
    clock.advance(Duration::hours(1));
    let mut codes = Vec::new();
    for guess in 0..8 {
        let reply = ana.post("/v1/auth/sign-in", &with_code(&format!("00000{guess}"))).await;
        codes.push(reply.code().to_owned());
    }
    let evaluated = codes.iter().filter(|code| *code == "sign_in_refused").count();
    assert!(evaluated <= 5 && codes.last().unwrap() == "sign_in_slowed", "{codes:?}");
    // In a browser that signed in before, the owner waits and gets in.
    clock.advance(Duration::seconds(301));
    ana.post("/v1/auth/sign-in", &with_code(&code_of(&secret, clock.now()))).await.ok();
}
