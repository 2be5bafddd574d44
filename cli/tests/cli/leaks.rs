//! Secrets of every sort are planted in a running system, jobs fail beside them, and then everything that
//! comes out is searched: logs, a dump of every table, answers, metrics, events, the audit log's export.
//!
//! A new sort of secret is one more line that calls [`Planted::add`].

use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use standardwebhooks::Webhook;
use testkit::eventually;
use tokio::io::AsyncWriteExt;
use tokio::process::Child;

use crate::terminal::{Terminal, free_port};

/// What must not be found.
#[derive(Default)]
pub(crate) struct Planted(Vec<(&'static str, String)>);

impl Planted {
    pub(crate) fn add(&mut self, what: &'static str, secret: impl Into<String>) -> String {
        let secret = secret.into();
        assert!(secret.len() >= 10, "{what} is too short to be searched for");
        self.0.push((what, secret.clone()));
        secret
    }

    /// Every secret that a text holds, as it is, in hexadecimal digits or in base64.
    pub(crate) fn found_in(&self, place: &str, text: &str) -> Vec<String> {
        let low = text.to_lowercase();
        let mut found = Vec::new();
        for (what, secret) in &self.0 {
            // Base64 of its middle, at each of the three offsets it can have.
            let based = (0..3).flat_map(|cut| {
                let middle = &secret.as_bytes()[cut..];
                let middle = &middle[..middle.len() / 3 * 3];
                [STANDARD_NO_PAD.encode(middle), URL_SAFE_NO_PAD.encode(middle)]
            });
            if text.contains(secret.as_str())
                || low.contains(&hex::encode(secret))
                || based.into_iter().any(|form| text.contains(&form))
            {
                found.push(format!("{what} in {place}"));
            }
        }
        found
    }
}

pub(crate) struct Logged {
    child: Child,
    name: &'static str,
    path: std::path::PathBuf,
}

impl Logged {
    pub(crate) fn start(terminal: &Terminal, name: &'static str, arguments: &[&str]) -> Self {
        let path = terminal.folder().join(format!("{name}.log"));
        let file = std::fs::File::create(&path).unwrap();
        let child = terminal
            .command(arguments)
            .env("RUST_LOG", "trace,h2=info,hyper=info,mio=info")
            .stdout(Stdio::from(file.try_clone().unwrap()))
            .stderr(Stdio::from(file))
            .spawn()
            .unwrap();
        Self { child, name, path }
    }

    pub(crate) async fn stop(mut self) -> (&'static str, String) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().unwrap().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await.unwrap().unwrap();
        (self.name, String::from_utf8_lossy(&std::fs::read(&self.path).unwrap()).into_owned())
    }
}

/// Talks to the API and keeps what it answers.
struct Caller {
    client: Client,
    base: String,
    token: String,
    answers: std::sync::Mutex<Vec<(String, String)>>,
}

impl Caller {
    /// An answer that shows no secret, and is searched.
    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let (headers, text) = self.quietly(method.clone(), path, &body).await;
        let mut answers = self.answers.lock().unwrap();
        answers.push((format!("the answer to {method} {path}"), format!("{headers}{text}")));
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// The same for the one answer that shows a secret.
    async fn quietly(&self, method: Method, path: &str, body: &Value) -> (String, String) {
        let request = self.client.request(method.clone(), format!("{}{path}", self.base));
        let request = request.bearer_auth(&self.token);
        let request = if method == Method::GET { request } else { request.json(body) };
        let answer = request.send().await.unwrap();
        (format!("{:?}", answer.headers()), answer.text().await.unwrap())
    }
}

/// Every row of every table, as the superuser reads it.
pub(crate) async fn dump(terminal: &Terminal) -> String {
    let pool = terminal.db.as_ref().unwrap().superuser();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    let mut text = String::new();
    for table in tables {
        // Bytes are searched as digits, and as the text they may be.
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("SELECT t::text FROM {table} t")))
            .fetch_all(pool)
            .await
            .unwrap();
        text.push_str(&format!("-- {table}\n{}\n", rows.join("\n")));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_found_anywhere_but_where_it_belongs() {
    let mut terminal = Terminal::new().await;
    let address = format!("127.0.0.1:{}", free_port());
    terminal.set("COUNTERSIGN_LISTEN", &address);
    terminal.set("COUNTERSIGN_PUBLIC_URL", &format!("http://{address}"));
    let dir = terminal.folder().join("keys");
    terminal.set("COUNTERSIGN_KEYS_DIR", dir.to_str().unwrap());
    terminal.ok(&["keys", "init"]).await;
    let mut planted = Planted::default();
    let token = planted.add("an API token", terminal.ok(&["token", "create", "--scopes", "*"]).await.line());
    let password = planted.add("a password", "planted-Moss-42-harbour-lantern");
    owner(&terminal, &password).await;
    let link = terminal
        .ok(&["admin", "create-owner", "--email", "second@people.test", "--name", "Second", "--json"])
        .await
        .out;
    let link_token = link.split("#token=").nth(1).expect("a link to set the password").split('"').next();
    planted.add("a reset token", link_token.unwrap());

    let metrics = format!("127.0.0.1:{}", free_port());
    let api = Logged::start(&terminal, "api", &["api"]);
    let worker = Logged::start(&terminal, "worker", &["worker", "--metrics-listen", &metrics]);
    for base in [&address, &metrics] {
        let url = format!("http://{base}/readyz");
        eventually(Duration::from_secs(60), || async {
            terminal.run(&["probe", &url]).await.code == Some(0)
        })
        .await;
    }
    let client = Client::builder().no_proxy().build().unwrap();
    let caller =
        Caller { client, base: format!("http://{address}"), token, answers: std::sync::Mutex::default() };
    let mut events = caller.client.get(format!("{}/v1/events", caller.base)).bearer_auth(&caller.token);
    events = events.timeout(Duration::from_secs(120));
    let mut stream = events.send().await.unwrap();

    // Credentials, right and wrong.
    let value = planted.add("a credential", "sk_live_planted_c0ffee4242");
    let body =
        json!({ "name": "stripe.api_key", "kind": "api_key", "owner_system": "Stripe", "value": value });
    let secret = caller.ask(Method::POST, "/v1/secrets", body.clone()).await;
    let path = format!("/v1/secrets/{}", secret["secret_id"].as_str().unwrap());
    let second = planted.add("a replaced credential", "sk_live_planted_deadbeef99");
    caller.ask(Method::PUT, &format!("{path}/value"), json!({ "value": second })).await;
    caller.ask(Method::POST, "/v1/secrets", body.clone()).await;
    let refused = planted.add("a refused credential", "sk_live_planted_refused_77");
    for body in [
        json!({ "value": [refused] }),
        json!({ "value": { "key": refused } }),
        json!({ "value": refused, "extra": 1 }),
        json!({ "name": "Bad Name", "kind": "k", "owner_system": "s", "value": refused }),
    ] {
        caller.ask(Method::POST, "/v1/secrets", body.clone()).await;
        caller.ask(Method::PUT, &format!("{path}/value"), body).await;
    }

    // Webhook secrets, given and made; what arrives, good and bad.
    let given = planted.add("a given webhook secret", "whsec_planted_stripe_secret_123456");
    let stripe = json!({ "provider": "stripe", "name": "stripe", "secret": given });
    caller.ask(Method::POST, "/v1/hooks/endpoints", stripe).await;
    let (_, made) = caller
        .quietly(Method::POST, "/v1/hooks/endpoints", &json!({ "provider": "standard", "name": "shop" }))
        .await;
    let made: Value = serde_json::from_str(&made).unwrap();
    let hook_secret = planted.add("a made webhook secret", made["secret"].as_str().unwrap());
    let url = made["url"].as_str().unwrap();
    for (id, body) in [("msg_1", r#"{"type":"order.paid"}"#), ("msg_2", "{ not json")] {
        let time = chrono::Utc::now().timestamp();
        let signature = Webhook::new(&hook_secret).unwrap().sign(id, time, body.as_bytes()).unwrap();
        let signature = planted.add("a webhook signature", signature.trim_start_matches("v1,"));
        let sent = caller.client.post(url).header("webhook-id", id).header("webhook-timestamp", time);
        let sent = sent.header("webhook-signature", format!("v1,{signature}")).body(body);
        assert_eq!(sent.send().await.unwrap().status(), 202);
    }

    // Somebody signs in, wrongly and rightly, and begins a second factor.
    let sign_in = |email: &str, password: &str| {
        let body = json!({ "email": email, "password": password });
        caller.client.post(format!("{}/v1/auth/sign-in", caller.base)).json(&body).send()
    };
    let wrong = planted.add("a wrong password", "planted-Wrong-77-anchor-willow");
    for email in ["owner@people.test", "nobody@people.test"] {
        let text = sign_in(email, &wrong).await.unwrap().text().await.unwrap();
        caller.answers.lock().unwrap().push(("the answer to a wrong password".into(), text));
    }
    let signed_in = sign_in("owner@people.test", &password).await.unwrap();
    assert_eq!(signed_in.status(), 200);
    let cookies: Vec<String> = signed_in
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_owned())
        .collect();
    for cookie in &cookies {
        planted.add("a cookie", cookie.split_once('=').unwrap().1);
    }
    let body: Value = signed_in.json().await.unwrap();
    let csrf = planted.add("a CSRF token", body["csrf_token"].as_str().unwrap());
    let mine = |path: &str| {
        let request = caller.client.post(format!("{}{path}", caller.base));
        request.header("cookie", cookies.join("; ")).header("x-csrf-token", &csrf)
    };
    let begun = mine("/v1/me/totp").json(&json!({ "password": password })).send().await.unwrap();
    let factor: Value = begun.json().await.unwrap();
    planted.add("a second factor's seed", factor["secret"].as_str().expect("a seed"));
    let access: Value = mine("/v1/auth/access-token").send().await.unwrap().json().await.unwrap();
    planted.add("an access token", access["access_token"].as_str().expect("an access token"));

    // Jobs that fail beside them.
    for (kind, payload) in [
        ("system.flaky", json!({ "fail_percent": 100, "permanent": true })),
        ("system.panic", json!({ "message": "boom" })),
    ] {
        caller.ask(Method::POST, "/v1/jobs", json!({ "kind": kind, "payload": payload })).await;
    }
    eventually(Duration::from_secs(60), || async {
        let events = caller.ask(Method::GET, "/v1/hooks/events", Value::Null).await;
        let states: Vec<_> = events["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["state"].as_str().unwrap())
            .collect();
        states == ["failed", "processed"]
    })
    .await;

    // Everything that comes out.
    for path in [
        "/v1/secrets",
        "/v1/hooks/endpoints",
        "/v1/jobs",
        "/v1/dead/groups",
        "/v1/tokens",
        "/v1/people",
        "/v1/audit?limit=200",
        "/v1/audit/export?format=json",
        "/v1/audit/export?format=csv",
        "/metrics",
        "/openapi.json",
        "/v1/kinds",
    ] {
        caller.ask(Method::GET, path, Value::Null).await;
    }
    let jobs = caller.ask(Method::GET, "/v1/jobs", Value::Null).await;
    for job in jobs["jobs"].as_array().unwrap() {
        caller.ask(Method::GET, &format!("/v1/jobs/{}", job["job_id"].as_str().unwrap()), Value::Null).await;
    }
    let mut places = std::mem::take(&mut *caller.answers.lock().unwrap());
    assert!(places.iter().any(|(place, text)| place.contains("export") && text.contains("secret.create")));
    let worker_metrics = caller.client.get(format!("http://{metrics}/metrics")).send().await.unwrap();
    places.push(("the worker's metrics".into(), worker_metrics.text().await.unwrap()));
    let mut seen = Vec::new();
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout(Duration::from_millis(500), stream.chunk()).await {
        seen.extend_from_slice(&chunk);
    }
    drop(stream);
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert!(seen.contains("hooks.process_event"), "the events came: {seen}");
    places.push(("the event stream".into(), seen));
    for process in [api, worker] {
        let (name, log) = process.stop().await;
        assert!(log.lines().count() > 20, "the log of {name}: {log}");
        places.push((format!("the log of {name}"), log));
    }
    let dumped = dump(&terminal).await;
    assert!(dumped.contains("stripe.api_key"), "the dump holds the secrets' rows");
    places.push(("the database".into(), dumped));

    let found: Vec<String> = places.iter().flat_map(|(place, text)| planted.found_in(place, text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    // The search finds what is there.
    let shown = format!("…{}…", hex::encode("sk_live_planted_c0ffee4242"));
    assert_eq!(planted.found_in("here", &shown), ["a credential in here"]);
}

/// The first owner, with this password.
async fn owner(terminal: &Terminal, password: &str) {
    let arguments =
        ["admin", "create-owner", "--email", "owner@people.test", "--name", "Olga", "--password-stdin"];
    let mut child = terminal.command(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).await.unwrap();
    let ended = child.wait_with_output().await.unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}
