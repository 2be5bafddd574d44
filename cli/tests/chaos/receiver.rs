//! The side effect: a subscriber on loopback that counts what it is sent, event by event.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use domain::JobId;
use tokio::net::TcpListener;

/// How long it takes over each delivery, so that some are always under way.
const TAKES: Duration = Duration::from_millis(5);

/// One event's deliveries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivered {
    /// How many.
    pub(crate) count: u32,
    /// When the first came.
    pub(crate) first: Instant,
}

type Counts = Arc<Mutex<HashMap<JobId, Delivered>>>;

/// A running receiver; ends with the runtime.
pub(crate) struct Receiver {
    address: SocketAddr,
    counts: Counts,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Counts::default();
        let router = Router::new().fallback(count).with_state(counts.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, counts }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where events are to be sent.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// What came so far, by event; an event's id is its job's.
    pub(crate) fn delivered(&self) -> HashMap<JobId, Delivered> {
        lock(&self.counts).clone()
    }
}

fn lock(counts: &Counts) -> MutexGuard<'_, HashMap<JobId, Delivered>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn count(State(counts): State<Counts>, headers: HeaderMap) -> StatusCode {
    let now = Instant::now();
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let Some(id) = id else { return StatusCode::BAD_REQUEST };
    lock(&counts).entry(id).or_insert(Delivered { count: 0, first: now }).count += 1;
    tokio::time::sleep(TAKES).await;
    StatusCode::NO_CONTENT
}
