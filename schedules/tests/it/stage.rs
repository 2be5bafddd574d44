//! A migrated database of one test, with an organisation, a queue and a registry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use domain::clock::ManualClock;
use domain::{ActorId, JobId, OrgId, Permissions, ScheduleId};
use jobs::Registry;
use queue::{NewJob, Queue, QueueConfig};
use schedules::{Schedule, ScheduleError, Spec, Ticker, TickerConfig, table};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use serde_json::value::to_raw_value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use store::{Actor, Store, Tx, orgs};

use crate::servers::{Held, servers};

pub(crate) struct Stage {
    pub(crate) url: SecretString,
    pub(crate) redis_url: String,
    pub(crate) namespace: String,
    pub(crate) queue: Queue,
    pub(crate) registry: Arc<Registry>,
    pub(crate) store: Store,
    pub(crate) org: Actor,
    /// Bypasses row-level security.
    pub(crate) admin: PgPool,
    // Dropped last: the servers go when nobody holds them.
    _servers: Option<Arc<Held>>,
}

/// One job as the ledger has it.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct JobRow {
    pub(crate) job_id: uuid::Uuid,
    pub(crate) org_id: uuid::Uuid,
    pub(crate) kind: String,
    pub(crate) lane: String,
    pub(crate) priority: i16,
    pub(crate) max_attempts: i16,
    pub(crate) actor_id: Option<uuid::Uuid>,
    pub(crate) run_at: DateTime<Utc>,
    pub(crate) idempotency_key: String,
    pub(crate) payload: Value,
    pub(crate) state: String,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let held = servers().await;
        let name = format!("schedules_{}", uuid::Uuid::now_v7().simple());
        let mut root = PgConnection::connect(&held.database_url("postgres")).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut root).await.unwrap();
        let (url, redis_url) = (held.database_url(&name), held.redis_url.clone());
        Self::on(url, redis_url, Some(held)).await
    }

    /// On servers of the test's own.
    pub(crate) async fn on(url: String, redis_url: String, held: Option<Arc<Held>>) -> Self {
        let url = SecretString::from(url);
        store::migrate::run(&url).await.unwrap();
        let namespace = format!("t{}", uuid::Uuid::now_v7().simple());
        let queue = connect(&url, &redis_url, &namespace).await;
        let store = Store::connect(url.clone(), Some("countersign_app")).unwrap();
        let admin = PgPool::connect(url.expose_secret()).await.unwrap();
        let registry = Arc::new(Registry::standard().unwrap());
        let org = actor(&store, "first").await;
        Self { url, redis_url, namespace, queue, registry, store, org, admin, _servers: held }
    }

    pub(crate) async fn other_org(&self) -> Actor {
        actor(&self.store, "other").await
    }

    /// Another process' handle to the same queue.
    pub(crate) async fn another_queue(&self) -> Queue {
        connect(&self.url, &self.redis_url, &self.namespace).await
    }

    pub(crate) async fn tx(&self) -> Tx {
        Tx::for_actor(&self.store, &self.org).await.unwrap()
    }

    pub(crate) fn work(&self, kind: &str, payload: &Value) -> NewJob {
        self.registry.prepare(self.org.org_id, kind, None, to_raw_value(payload).unwrap()).unwrap()
    }

    pub(crate) fn echo(&self) -> NewJob {
        self.work("system.echo", &serde_json::json!({ "message": "tick" }))
    }

    /// A schedule of echoes, made at `now` by the app.
    pub(crate) async fn schedule(&self, spec: &Spec, now: DateTime<Utc>) -> Schedule {
        self.try_schedule(spec, now).await.unwrap()
    }

    pub(crate) async fn try_schedule(
        &self,
        spec: &Spec,
        now: DateTime<Utc>,
    ) -> Result<Schedule, ScheduleError> {
        let (org, who) = (self.org.org_id, self.org.actor_id);
        let mut tx = self.tx().await;
        let made = table::create(tx.conn(), org, Some(who), spec, &self.echo(), now).await?;
        tx.commit_unrecorded("a test").await.unwrap();
        Ok(made)
    }

    pub(crate) async fn get(&self, id: ScheduleId) -> Schedule {
        table::get(self.tx().await.conn(), self.org.org_id, id).await.unwrap()
    }

    /// A ticker that looks often.
    pub(crate) fn ticker(&self, clock: &Arc<ManualClock>) -> Ticker {
        let config = TickerConfig { longest_sleep: Duration::from_millis(5), ..TickerConfig::default() };
        Ticker::new(self.queue.clone(), self.registry.clone()).with_clock(clock.clone()).with_config(config)
    }

    /// All jobs there are, by key.
    pub(crate) async fn jobs(&self) -> Vec<JobRow> {
        sqlx::query_as(
            "SELECT job_id, org_id, kind, lane, priority, max_attempts, actor_id, run_at, idempotency_key, payload,
                    state::text AS state
             FROM job ORDER BY idempotency_key",
        )
        .fetch_all(&self.admin)
        .await
        .unwrap()
    }

    /// The keys of all jobs, without `schedule:<id>@`.
    pub(crate) async fn ticks(&self, of: ScheduleId) -> Vec<String> {
        let prefix = format!("schedule:{of}@");
        let keys = self.jobs().await.into_iter().map(|job| job.idempotency_key);
        keys.filter_map(|key| key.strip_prefix(&prefix).map(str::to_owned)).collect()
    }
}

async fn connect(url: &SecretString, redis_url: &str, namespace: &str) -> Queue {
    let mut config = QueueConfig::new(url.clone(), redis_url.to_owned().into());
    config.namespace = namespace.to_owned();
    config.role = Some("countersign_engine".into());
    Queue::connect(config).await.unwrap()
}

async fn actor(store: &Store, slug: &str) -> Actor {
    let org = orgs::create(store, slug, slug).await.unwrap();
    Actor::token(org.org_id, org.system_actor_id, Permissions::TOKEN)
}

pub(crate) fn clock(at: DateTime<Utc>) -> Arc<ManualClock> {
    Arc::new(ManualClock::at(at))
}

/// A moment of this year, so that the ledger takes its jobs.
pub(crate) fn this_year(month: u32, day: u32, hour: u32, minute: u32) -> DateTime<Utc> {
    let date = NaiveDate::from_ymd_opt(Utc::now().year(), month, day).unwrap();
    date.and_hms_opt(hour, minute, 0).unwrap().and_utc()
}

/// Midnight (UTC) of this year's last Sunday of a month of 31 days: when clocks change in Europe.
pub(crate) fn last_sunday(month: u32) -> DateTime<Utc> {
    let last = this_year(month, 31, 0, 0);
    last - TimeDelta::days(i64::from(last.weekday().num_days_from_sunday()))
}

/// Waits until the check holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let began = Instant::now();
    while !check().await {
        assert!(began.elapsed() < Duration::from_secs(30), "it did not come to pass: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn ids(org: &Actor) -> (OrgId, ActorId) {
    (org.org_id, org.actor_id)
}

pub(crate) fn job_id(job: &JobRow) -> JobId {
    JobId(job.job_id)
}
