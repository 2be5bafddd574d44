//! Load: callers that enqueue at a steady rate and repeat what was refused, under the same idempotency key,
//! until it is acknowledged. As a careful customer would.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use domain::{JobId, OrgId};
use queue::{NewJob, Queue};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::stage::Stage;

/// How long a caller repeats an enqueue before it gives up, which fails the scenario.
const PATIENCE: Duration = Duration::from_secs(60);
const REPEAT_EVERY: Duration = Duration::from_millis(100);

/// A job to enqueue.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) kind: &'static str,
    pub(crate) lane: &'static str,
    pub(crate) payload: Value,
    pub(crate) key: Option<String>,
}

impl Wish {
    /// An event for the receiver.
    pub(crate) fn event(stage: &Stage) -> Self {
        let payload = json!({ "url": stage.receiver.url(), "event_type": "chaos.event", "data": {} });
        Self { kind: "webhooks.deliver", lane: "webhooks", payload, key: None }
    }

    /// Nothing.
    pub(crate) fn noop() -> Self {
        Self { kind: "system.noop", lane: "default", payload: json!({}), key: None }
    }

    /// Something that takes a while.
    pub(crate) fn slow(millis: u64) -> Self {
        let payload = json!({ "duration_ms": millis, "steps": 2 });
        Self { kind: "system.slow", lane: "default", payload, key: None }
    }

    /// The same in another lane.
    pub(crate) fn in_lane(self, lane: &'static str) -> Self {
        Self { lane, ..self }
    }

    /// As the engine takes it.
    pub(crate) fn job(&self, org: OrgId) -> NewJob {
        let payload = serde_json::value::to_raw_value(&self.payload).unwrap();
        NewJob { idempotency_key: self.key.clone(), ..NewJob::new(org, self.kind, self.lane, payload) }
    }
}

/// An enqueue that was answered with success.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) job: JobId,
    /// Its side effect is counted by the receiver.
    pub(crate) delivers: bool,
    /// When the caller asked, for the first time.
    pub(crate) asked: Instant,
    /// The same by the wall clock, to be compared with the ledger's times.
    pub(crate) asked_at: DateTime<Utc>,
    /// When it was told so.
    pub(crate) told: Instant,
}

/// Where callers enqueue.
#[derive(Clone)]
pub(crate) enum Door {
    /// The engine itself, in this process.
    Engine(Queue, OrgId),
    /// `POST /v1/jobs`.
    Http { client: reqwest::Client, url: String, token: String },
}

impl Door {
    pub(crate) async fn engine(stage: &Stage) -> Self {
        Self::Engine(stage.db.queue().await, stage.org)
    }

    pub(crate) fn http(api: std::net::SocketAddr, token: String) -> Self {
        Self::Http { client: reqwest::Client::new(), url: format!("http://{api}/v1/jobs"), token }
    }

    /// The job's id, or why it was refused.
    async fn ask(&self, wish: &Wish) -> Result<JobId, String> {
        match self {
            Self::Engine(queue, org) => match queue.enqueue(wish.job(*org)).await {
                Ok(enqueued) => Ok(enqueued.job_id),
                Err(error) => Err(error.to_string()),
            },
            Self::Http { client, url, token } => {
                let body = json!({ "kind": wish.kind, "lane": wish.lane, "payload": wish.payload });
                let key = wish.key.clone().expect("callers over HTTP name a key");
                let request = client.post(url).bearer_auth(token).header("idempotency-key", key).json(&body);
                let answer = request.send().await.expect("the API answers, whatever else is away");
                let (status, headers) = (answer.status(), answer.headers().clone());
                let body = answer.text().await.unwrap();
                if status == StatusCode::ACCEPTED {
                    let accepted: Value = serde_json::from_str(&body).unwrap();
                    return Ok(accepted["job_id"].as_str().unwrap().parse().unwrap());
                }
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
                assert!(headers.contains_key("retry-after"), "503 without Retry-After: {body}");
                assert_eq!(headers["content-type"], "application/problem+json", "{body}");
                Err(body)
            }
        }
    }

    /// Enqueues; repeats what was refused. `refusals` counts the repeats.
    pub(crate) async fn enqueue(&self, wish: &Wish, refusals: &AtomicU64) -> Acknowledged {
        let (asked, asked_at) = (Instant::now(), Utc::now());
        loop {
            match self.ask(wish).await {
                Ok(job) => {
                    let delivers = wish.kind == "webhooks.deliver";
                    return Acknowledged { job, delivers, asked, asked_at, told: Instant::now() };
                }
                Err(why) => {
                    assert!(asked.elapsed() < PATIENCE, "refused for {PATIENCE:?}: {why}");
                    refusals.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(REPEAT_EVERY).await;
                }
            }
        }
    }
}

/// Callers at work.
pub(crate) struct Load {
    stop: CancellationToken,
    refusals: Arc<AtomicU64>,
    callers: JoinHandle<Vec<Acknowledged>>,
}

impl Load {
    /// Asks for `per_second` jobs, of which the n-th is `mix(n)`.
    pub(crate) fn start(
        door: Door,
        per_second: u32,
        mix: impl Fn(u64) -> Wish + Send + Sync + 'static,
    ) -> Self {
        let (stop, refusals) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let (stopped, refused) = (stop.clone(), refusals.clone());
        let callers = tokio::spawn(async move {
            let mut clock = tokio::time::interval(Duration::from_secs(1) / per_second);
            let mut asking = JoinSet::new();
            for number in 0.. {
                tokio::select! {
                    () = stopped.cancelled() => break,
                    _ = clock.tick() => {}
                }
                let wish = Wish { key: Some(format!("load-{number}")), ..mix(number) };
                let (door, refused) = (door.clone(), refused.clone());
                asking.spawn(async move { door.enqueue(&wish, &refused).await });
            }
            asking.join_all().await
        });
        Self { stop, refusals, callers }
    }

    /// Enqueues that were refused so far.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// No more; answers what was acknowledged, when everything asked for is.
    pub(crate) async fn stop(self) -> Vec<Acknowledged> {
        self.stop.cancel();
        self.callers.await.expect("a caller failed; the lines above say why")
    }
}

/// Enqueues `count` of the same job at once, in commits of a thousand.
pub(crate) async fn pour(queue: &Queue, org: OrgId, wish: &Wish, count: usize) -> Vec<Acknowledged> {
    let mut told = Vec::with_capacity(count);
    let mut left = count;
    while left > 0 {
        let jobs: Vec<NewJob> = (0..left.min(1000)).map(|_| wish.job(org)).collect();
        left -= jobs.len();
        let (asked, asked_at) = (Instant::now(), Utc::now());
        for outcome in queue.enqueue_many(jobs).await {
            let job = outcome.expect("enqueue").job_id;
            let delivers = wish.kind == "webhooks.deliver";
            told.push(Acknowledged { job, delivers, asked, asked_at, told: Instant::now() });
        }
    }
    told
}
