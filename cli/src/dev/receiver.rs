//! The demo's subscriber: takes webhooks on loopback and verifies each with the signature crate that
//! subscribers use, not with the code that signed.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use domain::OrgId;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::{Digest, Sha256};
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use url::Url;
use uuid::Uuid;
use workers::DerivedSecrets;

use super::home::Home;

/// One delivery that came in.
pub(super) struct Arrival {
    /// `webhook-id`.
    pub(super) event_id: String,
    /// `type` of the body.
    pub(super) event_type: String,
    /// Whether the signature holds.
    pub(super) verified: bool,
    /// When it came.
    pub(super) at: Instant,
}

/// Where to send, and what comes in there.
pub(super) struct Incoming {
    /// The endpoint.
    pub(super) url: Url,
    /// Deliveries in their order.
    pub(super) arrivals: mpsc::UnboundedReceiver<Arrival>,
}

/// The subscriber, not yet listening for anybody in particular.
pub(super) struct Receiver {
    listener: TcpListener,
    address: SocketAddr,
    key: String,
}

impl Receiver {
    /// Listens where it did the last time, if that is free: events that were still on their way then
    /// arrive now.
    pub(super) async fn start(home: &Home) -> anyhow::Result<Self> {
        let path = home.receiver();
        let (port, key) = remembered(&path).unwrap_or_else(|| (0, fresh_key()));
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("there is no free port")?,
        };
        let address = listener.local_addr()?;
        Home::write_private(&path, &format!("{} {key}", address.port()))?;
        Ok(Self { listener, address, key })
    }

    /// The platform key that the endpoint's secret is derived from.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// What the workers must be allowed to reach.
    pub(super) fn exception(&self) -> String {
        format!("{}/32:{}", self.address.ip(), self.address.port())
    }

    /// Takes deliveries for `org`, signed with what `keys` give.
    pub(super) fn open(self, org: OrgId, keys: &[String]) -> anyhow::Result<Incoming> {
        let url: Url = format!("http://{}/hook", self.address).parse()?;
        let keys: Vec<SecretString> = keys.iter().map(|key| key.as_str().into()).collect();
        let secrets =
            DerivedSecrets::new(&keys).context("COUNTERSIGN_WEBHOOK_KEYS can't be used")?.of(org, &url);
        let secret = secrets.first().context("the endpoint has no signing secret")?;
        let webhook = Webhook::new(secret.expose_secret()).context("the signing secret can't be read")?;
        let (sender, arrivals) = mpsc::unbounded_channel();
        let state = Arc::new(Subscriber { webhook, arrivals: sender });
        let router = Router::new().route("/hook", post(take)).with_state(state);
        let listener = self.listener;
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Incoming { url, arrivals })
    }
}

struct Subscriber {
    webhook: Webhook,
    arrivals: mpsc::UnboundedSender<Arrival>,
}

async fn take(State(subscriber): State<Arc<Subscriber>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let at = Instant::now();
    let verified = subscriber.webhook.verify(&body, &headers).is_ok();
    let event_id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or("?").to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let event_type = body["type"].as_str().unwrap_or("?").to_owned();
    // Nobody listens any more only while everything stops.
    let _ = subscriber.arrivals.send(Arrival { event_id, event_type, verified, at });
    if verified { StatusCode::NO_CONTENT } else { StatusCode::UNAUTHORIZED }
}

fn remembered(path: &std::path::Path) -> Option<(u16, String)> {
    let text = Home::read_private(path)?;
    let (port, key) = text.split_once(' ')?;
    (key.len() >= 32).then(|| Some((port.parse().ok()?, key.to_owned())))?
}

/// 256 bits of two random UUIDs' 244.
fn fresh_key() -> String {
    hex::encode(Sha256::digest([*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat()))
}
