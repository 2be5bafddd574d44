//! An inbound webhook's way through a running system: taken in, processed, sent on, replayed.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use http::HeaderMap;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use testkit::eventually;
use tokio::sync::mpsc;

use crate::terminal::{Terminal, free_port};

const BODY: &str = r#"{"type":"order.paid","data":{"total":12345678901234567890}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_is_processed_sent_on_and_replayed() {
    let mut terminal = Terminal::new().await;
    let address = format!("127.0.0.1:{}", free_port());
    let (seen, mut arrived) = mpsc::unbounded_channel::<(HeaderMap, Bytes)>();
    let receiver = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = receiver.local_addr().unwrap();
    let router = Router::new().route(
        "/in",
        post(move |headers: HeaderMap, body: Bytes| {
            seen.send((headers, body)).unwrap();
            async { "ok" }
        }),
    );
    tokio::spawn(async move { axum::serve(receiver, router).await });
    terminal.set("COUNTERSIGN_WEBHOOK_ALLOW", &format!("127.0.0.1/32:{}", target.port()));
    terminal.set("COUNTERSIGN_LISTEN", &address);
    terminal.set("COUNTERSIGN_PUBLIC_URL", &format!("http://{address}"));
    let dir = terminal.folder().join("keys");
    terminal.set("COUNTERSIGN_KEYS_DIR", dir.to_str().unwrap());
    terminal.ok(&["keys", "init"]).await;
    let token = terminal.ok(&["token", "create", "--scopes", "*"]).await.line().to_owned();
    let _processes = [terminal.start(&["api"]), terminal.start(&["worker"])];
    let ready = format!("http://{address}/readyz");
    eventually(Duration::from_secs(60), || async { terminal.run(&["probe", &ready]).await.code == Some(0) })
        .await;
    let client = Client::builder().no_proxy().build().unwrap();
    let ask = async |method: Method, path: &str, body: Value| -> Value {
        let request = client.request(method, format!("http://{address}{path}")).bearer_auth(&token);
        request.json(&body).send().await.unwrap().json().await.unwrap()
    };
    let made = ask(
        Method::POST,
        "/v1/hooks/endpoints",
        json!({ "provider": "standard", "name": "shop", "forward_url": format!("http://{target}/in") }),
    )
    .await;
    let secret = made["secret"].as_str().unwrap();
    let send = async |id: &str, body: &'static str| -> String {
        let time = chrono::Utc::now().timestamp();
        let signature = Webhook::new(secret).unwrap().sign(id, time, body.as_bytes()).unwrap();
        let sent = client.post(made["url"].as_str().unwrap()).header("webhook-id", id);
        let sent = sent.header("webhook-timestamp", time).header("webhook-signature", signature).body(body);
        let answer: Value = sent.send().await.unwrap().json().await.unwrap();
        answer["event_id"].as_str().unwrap().to_owned()
    };
    let event = send("msg_1", BODY).await;
    let path = format!("/v1/hooks/events/{event}");
    let mut next =
        async || tokio::time::timeout(Duration::from_secs(60), arrived.recv()).await.unwrap().unwrap();
    let (headers, body) = next().await;
    assert_eq!(headers["webhook-id"], event.as_str());
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(body.contains(r#""type":"order.paid""#) && body.contains(&format!(r#""data":{BODY}"#)), "{body}");
    let shown = ask(Method::GET, &path, Value::Null).await;
    assert_eq!((&shown["state"], &shown["event_type"]), (&json!("processed"), &json!("order.paid")));

    let replayed = ask(Method::POST, &format!("{path}/replay"), Value::Null).await;
    let (headers, again) = next().await;
    assert_eq!(headers["webhook-id"], event.as_str(), "the same event for whoever receives it");
    assert_eq!(again, body);
    let job =
        ask(Method::GET, &format!("/v1/jobs/{}", replayed["job_id"].as_str().unwrap()), Value::Null).await;
    assert_eq!(job["result"]["event_type"], "order.paid", "{job}");

    let broken = send("msg_2", "{ not json").await;
    let path = format!("/v1/hooks/events/{broken}");
    eventually(Duration::from_secs(60), || async {
        ask(Method::GET, &path, Value::Null).await["state"] == "failed"
    })
    .await;
    let shown = ask(Method::GET, &path, Value::Null).await;
    let cause = shown["result"].as_str().unwrap();
    assert!(cause.starts_with("hook_body_malformed") && cause.contains("line 1 column 3"), "{cause}");
    assert_eq!(shown["body"], "{ not json");
}
