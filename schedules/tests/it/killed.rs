//! A scheduler process that dies between locking a schedule and the commit.

use std::process::{Child, Command};

use chrono::{TimeDelta, Utc};
use domain::SystemClock;
use jobs::Registry;
use queue::{Queue, QueueConfig};
use schedules::{Spec, Ticker};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, eventually};

const CHILD: &str = "SCHEDULES_TEST_CHILD_DATABASE_URL";
const CHILD_REDIS: &str = "SCHEDULES_TEST_CHILD_REDIS_URL";
const NAME: &str = "killed::a_tick_fires_once_when_its_scheduler_is_killed_before_the_commit";

/// Ended when dropped, also by a failed assertion.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the child process does: a scheduler and nothing else.
async fn be_a_scheduler(database_url: String) {
    let redis_url = std::env::var(CHILD_REDIS).unwrap();
    let mut config = QueueConfig::new(database_url.into(), redis_url.into());
    config.role = Some("countersign_engine".into());
    let queue = Queue::connect(config).await.unwrap();
    let ticker = Ticker::new(queue, Registry::standard().unwrap().into());
    ticker.with_clock(std::sync::Arc::new(SystemClock)).run(CancellationToken::new()).await;
}

async fn backends(stage: &Stage, waiting: bool) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE '%job_key%' AND pid <> pg_backend_pid()
           AND state = 'active' AND ($1 = (wait_event_type = 'Lock')) IS NOT FALSE",
    )
    .bind(waiting)
    .fetch_one(&stage.admin)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_tick_fires_once_when_its_scheduler_is_killed_before_the_commit() {
    if let Ok(database_url) = std::env::var(CHILD) {
        return be_a_scheduler(database_url).await;
    }
    let stage = Stage::new().await;
    // A day's tick has passed since.
    let made =
        stage.schedule(&Spec::new("daily", "@every 1d", "UTC"), Utc::now() - TimeDelta::hours(25)).await;

    // The child can lock the schedule, but its insert has to wait.
    let mut gate = stage.admin.begin().await.unwrap();
    sqlx::query("LOCK TABLE job_key IN EXCLUSIVE MODE").execute(&mut *gate).await.unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(CHILD, stage.url.expose_secret())
        .env(CHILD_REDIS, &stage.redis_url)
        .spawn()
        .unwrap();
    let mut child = Process(child);
    eventually("the child waits inside its transaction", || async { backends(&stage, true).await == 1 })
        .await;

    let ticker = Ticker::new(stage.queue.clone(), stage.registry.clone());
    // The schedule is locked: this one passes it by.
    assert_eq!(ticker.round().await.unwrap().schedules, 0);
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    gate.rollback().await.unwrap();

    eventually("the tick fires", || async { ticker.round().await.unwrap().enqueued == 1 }).await;
    assert_eq!(ticker.round().await.unwrap().schedules, 0);
    assert_eq!(stage.ticks(made.schedule_id).await.len(), 1);
    assert!(stage.get(made.schedule_id).await.last_job_id.is_some());
}
