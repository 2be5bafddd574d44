//! Attempts to reach what must not be reached. Every trap counts connections,
//! and the count has to be zero.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use providers::webhook::{AddressKind, DeliverError, Lookup, LookupFuture, WebhookClient, WebhookConfig};
use tokio::net::TcpListener;

use crate::receiver::{Trap, serve, serve_on};
use crate::{config, delivery};

/// Answers one reply after the other, the last one for ever, and counts.
#[derive(Clone)]
struct Scripted {
    replies: Arc<Mutex<VecDeque<Vec<IpAddr>>>>,
    asked: Arc<AtomicUsize>,
}

impl Scripted {
    fn new(replies: &[&[&str]]) -> Self {
        let replies =
            replies.iter().map(|reply| reply.iter().map(|text| text.parse().unwrap()).collect()).collect();
        Self { replies: Arc::new(Mutex::new(replies)), asked: Arc::default() }
    }
}

impl Lookup for Scripted {
    fn lookup(&self, _host: &str) -> LookupFuture {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut replies = self.replies.lock().unwrap();
        let reply = if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() };
        Box::pin(async move { reply.ok_or_else(|| io::ErrorKind::NotFound.into()) })
    }
}

fn http_everywhere() -> WebhookConfig {
    WebhookConfig { allow_http: true, ..config(&[]) }
}

fn refused_kind(error: &DeliverError) -> AddressKind {
    match error {
        DeliverError::RefusedAddress(refusal) => refusal.kind,
        other => panic!("not a refused address: {other:?}"),
    }
}

#[tokio::test]
async fn no_spelling_of_loopback_is_dialled() {
    let trap = Trap::new().await;
    let port = trap.address.port();
    let client = WebhookClient::new(http_everywhere()).unwrap();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "0.0.0.0",
        "0",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/");
            let error = client.deliver(delivery(&url)).await.unwrap_err();
            // Some systems do not know `localhost` with a dot at its end.
            let unknown = host == "localhost." && error.code() == "resolve";
            assert!(unknown || error.code() == "refused_address", "{url}: {error:?}");
        }
    }
    assert_eq!(trap.hits().await, 0);
}

#[tokio::test]
async fn names_that_point_inside_are_refused_whatever_the_range() {
    for inside in [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "169.254.1.1",
        "168.63.129.16",
        "0.0.0.0",
        "192.0.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "203.0.113.1",
        "::1",
        "::",
        "::ffff:10.0.0.1",
        "fe80::1",
        "fec0::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001::1",
        "2002:a00:1::",
        "64:ff9b::10.0.0.1",
        "2001:db8::1",
    ] {
        let lookup = Scripted::new(&[&[inside]]);
        let client = WebhookClient::with_lookup(http_everywhere(), lookup.clone()).unwrap();
        let error = client.deliver(delivery("https://inside.example/")).await.unwrap_err();
        assert_ne!(refused_kind(&error), AddressKind::Public, "{inside}");
        assert!(!error.to_string().contains(inside), "{error}");
        assert_eq!(lookup.asked.load(Ordering::SeqCst), 1, "{inside}");
    }
}

#[tokio::test]
async fn a_name_that_rebinds_never_reaches_the_second_address() {
    // 127.0.0.2 stands for the attacker's public server and 127.0.0.1 for what
    // is inside; both listen on the same port, as rebinding requires.
    let trap = Trap::new().await;
    let port = trap.address.port();
    let outside = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    // The receiver hangs up, so each delivery has to connect, and to resolve, anew.
    let router = Router::new().route("/", post(|| async { ([("connection", "close")], "first") }));
    serve_on(outside, router);

    let lookup = Scripted::new(&[&["127.0.0.2"], &["127.0.0.1"]]);
    let client = WebhookClient::with_lookup(config(&["127.0.0.2/32"]), lookup.clone()).unwrap();
    let url = format!("http://rebind.example:{port}/");
    let outcome = client.deliver(delivery(&url)).await.unwrap();
    assert_eq!((outcome.body.as_str(), outcome.peer.unwrap().ip()), ("first", "127.0.0.2".parse().unwrap()));
    // Asked once: the address that was judged is the one that was dialled.
    assert_eq!(lookup.asked.load(Ordering::SeqCst), 1);

    for _ in 0..3 {
        let error = client.deliver(delivery(&url)).await.unwrap_err();
        assert_eq!(refused_kind(&error), AddressKind::Loopback);
    }
    assert_eq!(lookup.asked.load(Ordering::SeqCst), 4);
    assert_eq!(trap.hits().await, 0);
}

#[tokio::test]
async fn a_mixed_reply_does_not_fall_back_to_the_inside() {
    // Nobody listens on the allowed address, so a client that held the private
    // one in reserve would try it next.
    let trap = Trap::new().await;
    let lookup = Scripted::new(&[&["127.0.0.3", "127.0.0.1", "::1"]]);
    let client = WebhookClient::with_lookup(config(&["127.0.0.3/32"]), lookup).unwrap();
    let url = format!("http://mixed.example:{}/", trap.address.port());
    assert_eq!(client.deliver(delivery(&url)).await.unwrap_err().code(), "connect");
    assert_eq!(trap.hits().await, 0);
}

#[tokio::test]
async fn an_exception_for_one_port_opens_no_other() {
    let trap = Trap::new().await;
    let open = serve(Router::new().route("/", post(|| async {}))).await;
    let rule = format!("127.0.0.0/8:{}", open.port());
    for allow_http in [false, true] {
        let config = WebhookConfig { allow_http, ..config(&[&rule]) };
        let client = WebhookClient::with_lookup(config, Scripted::new(&[&["127.0.0.1"]])).unwrap();
        for host in ["127.0.0.1", "named.example"] {
            let url = format!("http://{host}:{}/", open.port());
            assert!(client.deliver(delivery(&url)).await.unwrap().accepted());
            for scheme in ["http", "https"] {
                let url = format!("{scheme}://{host}:{}/", trap.address.port());
                let code = client.deliver(delivery(&url)).await.unwrap_err().code();
                let expected = if allow_http || scheme == "https" { "refused_address" } else { "bad_url" };
                assert_eq!(code, expected, "{url}");
            }
        }
    }
    assert_eq!(trap.hits().await, 0);
}

#[tokio::test]
async fn plain_http_is_for_excepted_networks_unless_allowed() {
    let closed = WebhookClient::new(config(&[])).unwrap();
    assert_eq!(closed.check("http://example.com/").unwrap_err().code(), "bad_url");
    assert!(closed.check("https://example.com/").is_ok());
    assert!(WebhookClient::new(http_everywhere()).unwrap().check("http://example.com/").is_ok());

    let dev = WebhookClient::with_lookup(config(&["127.0.0.0/8"]), Scripted::new(&[&["8.8.8.8"]])).unwrap();
    let error = dev.deliver(delivery("http://public.example/")).await.unwrap_err();
    assert_eq!(refused_kind(&error), AddressKind::Public);
    assert!(error.to_string().contains("https"), "{error}");
    assert_eq!(dev.check("http://8.8.8.8/").unwrap_err().code(), "refused_address");
    assert!(dev.check("http://127.0.0.1:8099/").is_ok());
}

#[tokio::test]
async fn redirects_are_named_and_not_followed() {
    let trap = Trap::new().await;
    let target = format!("http://{}/inside", trap.address);
    let client = WebhookClient::new(config(&["127.0.0.1/32"])).unwrap();
    for status in [300, 301, 302, 303, 307, 308] {
        let (location, code) = (target.clone(), StatusCode::from_u16(status).unwrap());
        let router = Router::new().route("/", post(move || async move { (code, [("location", location)]) }));
        let address = serve(router).await;
        match client.deliver(delivery(format!("http://{address}/"))).await.unwrap_err() {
            DeliverError::Redirect { status: seen, location } => {
                assert_eq!((seen, location), (status, Some(target.clone())));
            }
            other => panic!("{status}: {other:?}"),
        }
    }
    assert_eq!(trap.hits().await, 0);
}

#[tokio::test]
async fn a_name_without_an_answer_and_a_lookup_that_hangs() {
    struct Hangs;
    impl Lookup for Hangs {
        fn lookup(&self, _host: &str) -> LookupFuture {
            Box::pin(std::future::pending())
        }
    }
    let nowhere = WebhookClient::with_lookup(config(&[]), Scripted::new(&[])).unwrap();
    assert_eq!(nowhere.deliver(delivery("https://gone.example/")).await.unwrap_err().code(), "resolve");

    let hangs = WebhookClient::with_lookup(config(&[]), Hangs).unwrap();
    let mut short = delivery("https://slow-dns.example/");
    short.timeout = Duration::from_millis(100);
    assert_eq!(hangs.deliver(short).await.unwrap_err().code(), "timeout");
}

const IN_CHILD: &str = "WEBHOOK_TEST_TARGET";

/// A proxy would do its own name resolution, so one from the environment is a
/// way around the guard. The environment is set for a child process that runs
/// this same test.
#[tokio::test]
async fn proxies_from_the_environment_are_ignored() {
    if let Ok(url) = std::env::var(IN_CHILD) {
        let client = WebhookClient::new(config(&["127.0.0.1/32"])).unwrap();
        assert!(client.deliver(delivery(url)).await.unwrap().accepted());
        return;
    }
    let proxy = Trap::new().await;
    let direct = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&direct);
    let router = Router::new().route(
        "/",
        post(move || async move {
            counter.fetch_add(1, Ordering::SeqCst);
        }),
    );
    let url = format!("http://{}/", serve(router).await);
    let through = format!("http://{}", proxy.address);
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "attacks::proxies_from_the_environment_are_ignored"]).env(IN_CHILD, url);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        child.env(name, &through);
    }
    child.env_remove("NO_PROXY").env_remove("no_proxy");
    let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((direct.load(Ordering::SeqCst), proxy.hits().await), (1, 0));
}
