//! Everything integration tests need: real PostgreSQL and Valkey, a fresh migrated database and Redis
//! namespace for each test, job kinds made of closures, workers that can be paused and killed.
//!
//! Refuses to fake a server and to share a database between tests. What goes wrong here is a test that
//! failed, so it panics with the reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod book;
mod database;
mod folders;
mod gate;
mod look;
mod servers;
mod template;
mod wait;
pub mod worker;

pub use book::{Book, Handled, Kind, Running, Start, kind, ok};
pub use database::TestDb;
pub use gate::Gate;
pub use look::JobRow;
pub use servers::{OwnServers, Urls, shared};
pub use wait::{Answer, eventually};

use domain::OrgId;
use queue::NewJob;

/// A job of `kind` in lane `default`, ready at once, with this payload.
#[must_use]
pub fn job(org: OrgId, kind: &str, payload: &serde_json::Value) -> NewJob {
    let payload = serde_json::value::to_raw_value(payload).expect("a JSON value can be written");
    NewJob::new(org, kind, "default", payload)
}

/// Carries out an operator's action in a transaction of its own and commits: `act!(queue, tx => call(&mut tx, …))`
/// answers what the call answered. Hand its `After` to `Queue::after` yourself.
#[macro_export]
macro_rules! act {
    ($queue:expr, $tx:ident => $call:expr) => {{
        let mut $tx = $queue.pool().begin().await.expect("open a transaction");
        let answer = $call.await.expect("the action is allowed");
        $tx.commit().await.expect("commit the action");
        answer
    }};
}

/// Enqueues `count` jobs of `kind` with the payloads `{"n": 0}`, `{"n": 1}` …; answers their ids.
pub async fn enqueue(queue: &queue::Queue, org: OrgId, kind: &str, count: usize) -> Vec<domain::JobId> {
    let jobs = (0..count).map(|n| job(org, kind, &serde_json::json!({ "n": n }))).collect();
    let outcomes = queue.enqueue_many(jobs).await;
    outcomes.into_iter().map(|done| done.expect("a job is taken").job_id).collect()
}
