//! Guessing: what ten thousand tries from ten thousand addresses get, what the owner gets meanwhile, and that
//! nothing that was typed is found in a table or a log. A program of its own, so that it alone is measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

#[path = "api/app.rs"]
mod app;
#[path = "api/sign_in/browser.rs"]
mod browser;
#[path = "api/keys.rs"]
mod keys;
#[path = "guessing/logs.rs"]
mod logs;
#[path = "api/sign_in/people.rs"]
mod people;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use api::ApiConfig;
use chrono::{Duration, Utc};
use domain::clock::ManualClock;
use domain::{Clock, Role};
use futures::StreamExt;
use secrecy::ExposeSecret;
use serde_json::json;
use store::Tx;
use store::accounts::resets;

use crate::app::App;
use crate::browser::Browser;
use crate::people::PASSWORD;

fn trusting() -> ApiConfig {
    ApiConfig { trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()], ..ApiConfig::default() }
}

/// Passwords hashed by this process so far.
async fn hashes(app: &App) -> u64 {
    let reply = app.get("/metrics").await;
    let line = reply.text.lines().find(|line| line.starts_with("countersign_password_hashes_total"));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse::<f64>().unwrap() as u64)
}

fn address(n: u32) -> String {
    format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255)
}

/// Guesses from as many addresses; answers how often each code came.
async fn guess(
    app: &App,
    email: &str,
    from: std::ops::Range<u32>,
    one_address: bool,
) -> BTreeMap<String, u64> {
    let mut codes = BTreeMap::new();
    let mut guesses = futures::stream::iter(from.map(|n| async move {
        let mut stranger = Browser::new(app);
        stranger.address = Some(address(if one_address { 1 } else { n }));
        let email = email.replace('#', &n.to_string());
        stranger.sign_in(&email, &format!("guess number {n}")).await
    }))
    .buffer_unordered(24);
    while let Some(reply) = guesses.next().await {
        if reply.code() == "sign_in_slowed" {
            assert!(reply.header("retry-after").parse::<u64>().unwrap() >= 1);
        }
        *codes.entry(reply.code().to_owned()).or_insert(0) += 1;
    }
    codes
}

/// One test after the other: they share the process's counters.
#[tokio::test(flavor = "multi_thread")]
async fn guessing_gets_nowhere_and_locks_nobody_out() {
    ten_thousand_guesses().await;
    the_work_is_the_same_for_everybody().await;
    nothing_typed_is_kept().await;
}

async fn ten_thousand_guesses() {
    let clock = Arc::new(ManualClock::at(Utc::now()));
    let app = App::clocked(trusting(), clock.clone()).await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    let mut at_home = Browser::new(&app);
    at_home.address = Some("203.0.113.1".into());
    at_home.sign_in("ana@example.com", PASSWORD).await.ok();
    clock.advance(Duration::hours(1));

    let (before, began) = (hashes(&app).await, Instant::now());
    let mut codes = BTreeMap::new();
    let mut by_owner = 0;
    for round in 0..10_u32 {
        for (code, count) in guess(&app, "ana@example.com", round * 1_000..(round + 1) * 1_000, false).await {
            *codes.entry(code).or_insert(0) += count;
        }
        // Meanwhile the owner signs in as usual, in a browser that did before.
        at_home.sign_in("ana@example.com", PASSWORD).await.ok();
        by_owner += 1;
        clock.advance(Duration::seconds(60));
    }
    let evaluated = hashes(&app).await - before - by_owner;
    // Ten at once, and one each twenty seconds of the nine minutes between the rounds.
    let most = 10 + 9 * 60 / 20;
    println!("10,000 guesses in {:?}: {codes:?}, {evaluated} evaluated (at most {most})", began.elapsed());
    assert_eq!(codes.values().sum::<u64>(), 10_000);
    assert!((10..=most).contains(&evaluated), "{evaluated}");
    assert_eq!(codes["sign_in_refused"], evaluated);

    // In a new browser the owner is slowed like everybody, and gets in when told.
    guess(&app, "ana@example.com", 20_000..20_050, false).await;
    let mut new_browser = Browser::new(&app);
    new_browser.address = Some("203.0.113.2".into());
    let slowed = new_browser.sign_in("ana@example.com", PASSWORD).await;
    slowed.is(429, "sign_in_slowed");
    let wait: i64 = slowed.header("retry-after").parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    clock.advance(Duration::seconds(wait));
    new_browser.sign_in("ana@example.com", PASSWORD).await.ok();

    // One address at a thousand accounts, whether they exist or not.
    clock.advance(Duration::hours(1));
    let before = hashes(&app).await;
    let codes = guess(&app, "somebody#@example.com", 0..1_000, true).await;
    assert_eq!(hashes(&app).await - before, 20, "{codes:?}");
    // An account that does not exist is slowed like one that does.
    let before = hashes(&app).await;
    let codes = guess(&app, "nobody@example.com", 30_000..30_100, false).await;
    assert_eq!((hashes(&app).await - before, codes["sign_in_slowed"]), (10, 90));
}

async fn the_work_is_the_same_for_everybody() {
    let clock = Arc::new(ManualClock::at(Utc::now()));
    let app = App::clocked(trusting(), clock.clone()).await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    // Other programs' work shows in the times; a difference of ours would show in every round.
    let mut ratios = Vec::new();
    for round in 0..3 {
        ratios.push(measure(&app, &clock, round).await);
        if (0.75..=1.25).contains(&ratios[round as usize]) {
            return;
        }
    }
    panic!("wrong password : unknown address took {ratios:?}");
}

async fn measure(app: &App, clock: &ManualClock, round: u32) -> f64 {
    let mut times: BTreeMap<&str, Vec<std::time::Duration>> = BTreeMap::new();
    for n in 0..20 {
        for email in ["ana@example.com", "nobody@example.com"] {
            clock.advance(Duration::minutes(1));
            let mut browser = Browser::new(app);
            browser.address = Some(address(round * 20 + n));
            let before = hashes(app).await;
            let began = Instant::now();
            browser.sign_in(email, "not the password").await.is(401, "sign_in_refused");
            times.entry(email).or_default().push(began.elapsed());
            assert_eq!(hashes(app).await - before, 1, "{email}: one hash, no more and no less");
            // What is written down afterwards is not in anybody's way.
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    }
    let median = |email: &str| {
        let mut times = times[email].clone();
        times.sort();
        times[times.len() / 2]
    };
    let (known, unknown) = (median("ana@example.com"), median("nobody@example.com"));
    println!("wrong password {known:?}, unknown address {unknown:?} (medians of 20)");
    known.as_secs_f64() / unknown.as_secs_f64()
}

async fn nothing_typed_is_kept() {
    let logs = logs::Logs::catch();
    let clock = Arc::new(ManualClock::at(Utc::now()));
    let app = App::clocked(trusting(), clock.clone()).await;
    let (account, _) = people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    let mut secrets: Vec<String> = vec![PASSWORD.into(), "wrong-horse-wrong-battery".into()];
    let mut ana = Browser::new(&app);
    ana.sign_in("ana@example.com", "wrong-horse-wrong-battery").await.is(401, "sign_in_refused");
    ana.sign_in("ana@example.com", PASSWORD).await.ok();
    secrets.extend([ana.session().to_owned(), ana.device().to_owned(), ana.csrf.clone().unwrap()]);
    let token = ana.post("/v1/auth/access-token", &json!({})).await.ok();
    secrets.push(token["access_token"].as_str().unwrap().to_owned());
    let proposed = ana.post("/v1/me/totp", &json!({ "password": PASSWORD })).await.ok();
    let secret = proposed["secret"].as_str().unwrap().to_owned();
    let seed = totp_rs::Secret::try_from_base32(&secret).unwrap();
    let totp =
        totp_rs::Builder::new().with_secret(seed.as_bytes().to_vec()).with_account_name("x").build().unwrap();
    let code = totp.generate(u64::try_from(clock.now().timestamp()).unwrap()).to_string();
    let confirmed = ana.post("/v1/me/totp/confirm", &json!({ "code": code })).await.ok();
    secrets.extend(
        confirmed["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()),
    );
    secrets.extend(secrets.clone().iter().map(|secret| secret.replace('-', "")));
    secrets.push(secret);
    secrets.push(hex(seed.as_bytes()));
    let recovery = confirmed["recovery_codes"][0].as_str().unwrap();
    ana.post("/v1/me/step-up", &json!({ "code": recovery })).await.ok();
    let mut tx = Tx::system(&app.store, app.org, "ask for a reset").await.unwrap();
    let reset = resets::request(&mut tx, account, None, clock.now()).await.unwrap();
    let minted = resets::mint(&mut tx, reset, clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    let link = minted.token.expose_secret().to_owned();
    secrets.extend([link.clone(), "nine loud herons fishing".into()]);
    let body = json!({ "token": link, "password": "nine loud herons fishing" });
    let done = Browser::new(&app).post("/v1/auth/password-reset/complete", &body).await;
    assert_eq!(done.status, 204);

    let mut kept = String::new();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
    )
    .fetch_all(app.db.superuser())
    .await
    .unwrap();
    for table in tables {
        let statement = format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} t");
        let rows: String =
            sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_one(app.db.superuser()).await.unwrap();
        kept.push_str(&rows);
    }
    assert!(kept.contains("ana@example.com") && kept.contains("session.start"));
    let logged = logs.text();
    assert!(logged.contains("request refused"), "the log was caught: {logged}");
    let metrics = app.get("/metrics").await.text;
    for secret in secrets.iter().filter(|secret| secret.len() > 6) {
        for (place, text) in [("a table", &kept), ("the log", &logged), ("the metrics", &metrics)] {
            assert!(!text.contains(secret.as_str()), "{place} holds {secret}");
            let bytes = hex(secret.as_bytes());
            assert!(!text.contains(&bytes), "{place} holds {secret} as bytes");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
