//! What a receiver sees, and what its answers turn into.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::post;
use providers::webhook::{DeliverError, MAX_BODY_BYTES, WebhookClient, generate_secret};
use secrecy::{ExposeSecret as _, SecretString};
use standardwebhooks::Webhook;

use crate::receiver::{raw, serve};
use crate::{config, delivery};

fn client() -> WebhookClient {
    WebhookClient::new(config(&["127.0.0.1/32"])).unwrap()
}

/// Answers 204 when the signature holds, 401 when it does not.
fn verifier(secret: &SecretString) -> Router {
    let verifier = Arc::new(Webhook::new(secret.expose_secret()).unwrap());
    Router::new().route(
        "/hook",
        post(move |headers: HeaderMap, body: Bytes| async move {
            assert_eq!(headers["user-agent"], "Countersign-Webhooks/1");
            assert_eq!(headers["content-type"], "application/json");
            assert_eq!(headers["countersign-event-type"], "payout.sent");
            assert!(!headers.contains_key("accept-encoding"));
            match verifier.verify(&body, &headers) {
                Ok(()) => StatusCode::NO_CONTENT,
                Err(_) => StatusCode::UNAUTHORIZED,
            }
        }),
    )
}

#[tokio::test]
async fn a_receiver_verifies_with_a_third_party_library() {
    let secret = generate_secret();
    let address = serve(verifier(&secret)).await;
    let url = format!("http://{address}/hook");
    let client = client();

    let mut signed = delivery(&url);
    signed.secrets = vec![generate_secret(), secret];
    let outcome = client.deliver(signed).await.unwrap();
    assert!(outcome.accepted(), "{outcome:?}");
    assert_eq!((outcome.status, outcome.body_truncated, outcome.peer), (204, false, Some(address)));

    let outcome = client.deliver(delivery(&url)).await.unwrap();
    assert_eq!((outcome.status, outcome.accepted()), (401, false));

    let secret = generate_secret();
    let address = serve(verifier(&secret)).await;
    let mut late = delivery(format!("http://{address}/hook"));
    late.secrets = vec![secret];
    late.timestamp -= chrono::TimeDelta::minutes(6);
    assert_eq!(client.deliver(late).await.unwrap().status, 401);
}

#[tokio::test]
async fn plain_http_reaches_a_name_on_an_excepted_network() {
    let secret = generate_secret();
    let address = serve(verifier(&secret)).await;
    let mut signed = delivery(format!("http://localhost:{}/hook", address.port()));
    signed.secrets = vec![secret];
    let outcome = client().deliver(signed).await.unwrap();
    assert_eq!((outcome.status, outcome.peer), (204, Some(address)));
}

#[tokio::test]
async fn connections_are_reused() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let router = Router::new().route(
        "/",
        post(move |ConnectInfo(from): ConnectInfo<std::net::SocketAddr>| async move {
            log.lock().unwrap().push(from);
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let service = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });

    let client = client();
    for _ in 0..3 {
        client.deliver(delivery(&url)).await.unwrap();
    }
    let seen = seen.lock().unwrap();
    assert!(seen.len() == 3 && seen.iter().all(|from| *from == seen[0]), "{seen:?}");
}

#[tokio::test]
async fn a_slow_receiver_times_out() {
    let router = Router::new().route("/", post(|| tokio::time::sleep(Duration::from_secs(30))));
    let mut slow = delivery(format!("http://{}/", serve(router).await));
    slow.timeout = Duration::from_millis(200);
    let started = Instant::now();
    let error = client().deliver(slow).await.unwrap_err();
    assert!(matches!(error, DeliverError::Timeout { after } if after.as_millis() == 200), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_trickling_body_cannot_hold_the_slot_and_the_status_counts() {
    let router = Router::new().route(
        "/",
        post(|| async {
            let (sender, receiver) = tokio::io::duplex(64);
            tokio::spawn(async move {
                let mut sender = sender;
                loop {
                    let _ = tokio::io::AsyncWriteExt::write_all(&mut sender, b"x").await;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
            Body::from_stream(ReadStream(receiver))
        }),
    );
    let mut slow = delivery(format!("http://{}/", serve(router).await));
    slow.timeout = Duration::from_millis(300);
    let outcome = client().deliver(slow).await.unwrap();
    assert!(outcome.accepted() && outcome.body_truncated && outcome.body.starts_with('x'));
    assert!(outcome.duration < Duration::from_secs(3));
}

#[tokio::test]
async fn a_big_body_is_capped() {
    let router = Router::new().route("/", post(|| async { "y".repeat(5 * 1024 * 1024) }));
    let outcome = client().deliver(delivery(format!("http://{}/", serve(router).await))).await.unwrap();
    assert!(outcome.accepted() && outcome.body_truncated);
    assert_eq!(outcome.body.len(), MAX_BODY_BYTES);

    let router = Router::new().route("/", post(|| async { "z".repeat(MAX_BODY_BYTES) }));
    let outcome = client().deliver(delivery(format!("http://{}/", serve(router).await))).await.unwrap();
    assert_eq!((outcome.body.len(), outcome.body_truncated), (MAX_BODY_BYTES, false));
}

#[tokio::test]
async fn retry_after_is_read_as_seconds_and_as_a_date() {
    let at = std::time::SystemTime::now() + Duration::from_secs(90);
    let date = httpdate::fmt_http_date(at);
    let router = Router::new()
        .route(
            "/seconds",
            post(|| async { (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "17")], "slow down") }),
        )
        .route(
            "/date",
            post(
                || async move { (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", date)]).into_response() },
            ),
        );
    let address = serve(router).await;
    let client = client();

    let outcome = client.deliver(delivery(format!("http://{address}/seconds"))).await.unwrap();
    assert_eq!(outcome.retry_after, Some(Duration::from_secs(17)));
    assert_eq!((outcome.status, outcome.body.as_str()), (429, "slow down"));
    assert_eq!(outcome.headers["retry-after"], "17");

    let outcome = client.deliver(delivery(format!("http://{address}/date"))).await.unwrap();
    let wait = outcome.retry_after.unwrap();
    assert!(wait > Duration::from_secs(80) && wait <= Duration::from_secs(90), "{wait:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_keeps_its_status() {
    let address = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort\0").await;
    let outcome = client().deliver(delivery(format!("http://{address}/"))).await.unwrap();
    assert!(outcome.accepted() && outcome.body_truncated);
    assert_eq!(outcome.body, "short\u{fffd}");
}

#[tokio::test]
async fn silence_and_noise_are_a_broken_answer() {
    for answer in [&b""[..], b"SSH-2.0-OpenSSH_9.6\r\n", b"-ERR unknown command\r\n"] {
        let address = raw(answer).await;
        let error = client().deliver(delivery(format!("http://{address}/"))).await.unwrap_err();
        assert_eq!(error.code(), "broken", "{error:?}");
    }
}

#[tokio::test]
async fn a_closed_port_is_a_failed_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = client().deliver(delivery(format!("http://{address}/hush?key=hush"))).await.unwrap_err();
    assert_eq!(error.code(), "connect", "{error:?}");
    assert!(!format!("{error:?}").contains("hush"), "{error:?}");
}

#[tokio::test]
async fn what_cannot_be_sent_is_not_sent() {
    let client = client();
    let mut unsigned = delivery("https://example.com/");
    unsigned.secrets.clear();
    assert_eq!(client.deliver(unsigned).await.unwrap_err().code(), "signature");
    for event_type in ["", "a b", "a\r\nhost: x"] {
        let mut odd = delivery("https://example.com/");
        odd.event_type = event_type.to_owned();
        assert_eq!(client.deliver(odd).await.unwrap_err().code(), "event_type");
    }
}

/// Bytes as they come out of a pipe.
struct ReadStream(tokio::io::DuplexStream);

impl futures::Stream for ReadStream {
    type Item = std::io::Result<Bytes>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let mut space = [0; 64];
        let mut buffer = tokio::io::ReadBuf::new(&mut space);
        std::task::ready!(tokio::io::AsyncRead::poll_read(
            std::pin::Pin::new(&mut self.0),
            context,
            &mut buffer
        ))?;
        std::task::Poll::Ready(Some(Ok(Bytes::copy_from_slice(buffer.filled()))))
    }
}
