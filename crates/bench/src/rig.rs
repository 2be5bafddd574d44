//! The servers and the queue under test.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use domain::OrgId;
use embedded::{Options, Servers};
use jobs::Registry;
use queue::{NewJob, Queue, QueueConfig};
use secrecy::SecretString;
use serde_json::value::RawValue;
use sqlx::PgPool;

/// Everything a scenario needs.
pub(crate) struct Rig {
    pub(crate) servers: Servers,
    pub(crate) queue: Queue,
    pub(crate) admin: PgPool,
    pub(crate) registry: Arc<Registry>,
    pub(crate) org: OrgId,
    payload: Box<RawValue>,
}

impl Rig {
    pub(crate) async fn start() -> Result<Self> {
        let servers = Servers::start(Options::temporary()?).await.context("private servers")?;
        let url = SecretString::from(servers.database_url("postgres", "postgres"));
        store::migrate::run(&url).await.context("migrations")?;
        let admin = PgPool::connect(&servers.database_url("postgres", "postgres")).await?;
        let queue = Queue::connect(Self::config(&servers)).await?;
        let payload = RawValue::from_string(format!(r#"{{"pad":"{}"}}"#, "x".repeat(190)))?;
        Ok(Self {
            servers,
            queue,
            admin,
            registry: Arc::new(Registry::standard()?),
            org: OrgId::new(),
            payload,
        })
    }

    fn config(servers: &Servers) -> QueueConfig {
        let mut config =
            QueueConfig::new(servers.database_url("postgres", "postgres").into(), servers.redis_url().into());
        config.role = Some("countersign_engine".into());
        config
    }

    /// One no-op with a payload of 200 bytes.
    pub(crate) fn job(&self) -> NewJob {
        NewJob::new(self.org, "system.noop", "default", self.payload.clone())
    }

    pub(crate) fn jobs(&self, count: usize) -> Vec<NewJob> {
        (0..count).map(|_| self.job()).collect()
    }

    /// Queues `count` jobs in bulk.
    pub(crate) async fn fill(&self, count: usize) -> Result<()> {
        for outcome in self.queue.enqueue_many(self.jobs(count)).await {
            outcome?;
        }
        self.settle_dispatch(count).await
    }

    /// Waits until the dispatcher knows of everything queued.
    async fn settle_dispatch(&self, count: usize) -> Result<()> {
        while self.queue.dispatch().depth("default").await? < count as u64 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        Ok(())
    }

    pub(crate) async fn open_jobs(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM job").fetch_one(&self.admin).await?)
    }

    /// Jobs that ended well, by the ledger.
    pub(crate) async fn succeeded(&self) -> Result<i64> {
        let sql = "SELECT count(*) FROM job_history WHERE state = 'succeeded' AND org_id = $1";
        Ok(sqlx::query_scalar(sql).bind(self.org.0).fetch_one(&self.admin).await?)
    }

    pub(crate) async fn expect_succeeded(&self, count: usize) -> Result<()> {
        let (open, done) = (self.open_jobs().await?, self.succeeded().await?);
        ensure!(
            open == 0 && usize::try_from(done).is_ok_and(|done| done == count),
            "the ledger says {done} of {count} jobs succeeded and {open} are open"
        );
        Ok(())
    }

    /// An empty ledger and an empty dispatcher.
    pub(crate) async fn clear(&self) -> Result<()> {
        sqlx::query("TRUNCATE job, job_wait, job_attempt, job_event, job_key, job_unique")
            .execute(&self.admin)
            .await?;
        sqlx::query("DELETE FROM job_history WHERE org_id = $1")
            .bind(self.org.0)
            .execute(&self.admin)
            .await?;
        self.queue.dispatch().forget_everything().await?;
        // A checkpoint in the middle of a run would be measured instead of the queue.
        sqlx::query("VACUUM ANALYZE job_history").execute(&self.admin).await?;
        sqlx::query("CHECKPOINT").execute(&self.admin).await?;
        Ok(())
    }
}
