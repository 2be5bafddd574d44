//! Sweeps: nothing that is queued in the ledger stays unknown to the dispatcher, nothing that a lost
//! worker held stays running, nothing outlives its deadline.

use std::time::{Duration, Instant};

use domain::{JobState, OrgId};
use sqlx::{Connection, PgConnection};
use telemetry::metric;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::TendConfig;
use crate::dispatch::Ready;
use crate::engine::Queue;
use crate::error::QueueError;
use crate::events::JobChange;
use crate::ledger::finish::count_batch;
use crate::ledger::insert::insert;
use crate::ledger::{Profile, open_rows};

/// Rows looked at in one statement.
const CHUNK: i64 = 5_000;
/// Rows changed in one statement.
const BATCH: i64 = 500;
/// How long the ledger must have been back after an outage before it is swept out of turn: by then what
/// the workers had in hand is settled.
const AFTER_OUTAGE: Duration = Duration::from_secs(2);
/// Longest silence of a process that holds a lock; filling an emptied Redis takes pauses, but none so long.
const HOLDER_IDLE: &str = "30s";
/// Advisory lock: one process recovers and resends at a time.
const LOCK: i64 = 0x636f_756e_7465_7273;

pub(super) async fn run(queue: Queue, config: TendConfig, stop: CancellationToken) {
    let mut sweeper = Sweeper {
        queue,
        config,
        connection: None,
        well_since: None,
        outage: false,
        swept: None,
        rules: None,
    };
    loop {
        if let Err(error) = sweeper.round().await {
            debug!(error = %error, "sweep waits");
            sweeper.connection = None;
            sweeper.well_since = None;
            sweeper.outage = true;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(config.watch_every) => {}
        }
    }
}

struct Sweeper {
    queue: Queue,
    config: TendConfig,
    connection: Option<PgConnection>,
    /// Since when this process has seen the ledger without a gap. Workers are judged only after a full
    /// lease of that: while PostgreSQL was away nobody could show that he lives.
    well_since: Option<(Instant, Instant)>,
    /// The ledger was away since the last sweep. Claims that it lost by crashing left their jobs queued
    /// and unknown to the dispatcher.
    outage: bool,
    swept: Option<Instant>,
    rules: Option<std::sync::Arc<crate::engine::LaneTable>>,
}

impl Sweeper {
    async fn round(&mut self) -> Result<(), QueueError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.queue.open(Profile::General).await?,
        };
        self.observe();
        let mut lost_any = false;
        let workers_judged = self.well_since.is_some_and(|(since, _)| since.elapsed() > self.config.lease);
        if workers_judged {
            let lost = open_rows::lose_workers(&mut connection, self.config.lease.as_secs_f64()).await?;
            for worker in &lost {
                warn!(%worker, "a worker stopped answering: its jobs are taken back");
            }
            lost_any = !lost.is_empty();
        }
        let settled = self.well_since.is_some_and(|(since, _)| since.elapsed() >= AFTER_OUTAGE);
        let due = self.swept.is_none_or(|swept| swept.elapsed() >= self.config.sweep_every)
            || (self.outage && settled);
        if lost_any || due {
            self.recover(&mut connection).await?;
        }
        // Redis may be away while PostgreSQL is well: that is no reason to forget what we know of workers.
        if let Err(error) = self.dispatch_side(&mut connection, lost_any || due).await {
            match error {
                QueueError::DispatchAway(error) => debug!(error = %error, "Redis is away"),
                error => return Err(error),
            }
        } else if due {
            self.swept = Some(Instant::now());
            self.outage = self.outage && !settled;
        }
        if due {
            loop {
                let expired = open_rows::expire(&mut connection, BATCH).await?;
                if expired.is_empty() {
                    break;
                }
                self.tell(expired).await;
            }
            self.close_batches(&mut connection).await?;
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// Notes that the ledger answers. A gap (a stopped process, a stalled machine) starts the count anew.
    fn observe(&mut self) {
        let now = Instant::now();
        let longest = self.config.watch_every * 3 + Duration::from_millis(500);
        self.well_since = Some(match self.well_since {
            Some((since, last)) if now - last <= longest => (since, now),
            _ => (now, now),
        });
    }

    /// Takes back the running jobs of workers that are lost or gone.
    async fn recover(&self, connection: &mut PgConnection) -> Result<(), QueueError> {
        loop {
            let recovered = open_rows::recover(connection, BATCH).await?;
            let count = recovered.len();
            if count == 0 {
                return Ok(());
            }
            let mut back: Vec<Ready> = Vec::with_capacity(count);
            let mut idle = Vec::with_capacity(count);
            let mut changes = Vec::with_capacity(count);
            for job in recovered {
                idle.push((job.ready.lane.clone(), job.ready.org_id, job.ready.job_id));
                let state = if job.poison { JobState::Dead } else { JobState::Queued };
                let (job_id, lane) = (job.ready.job_id, job.ready.lane.clone());
                changes.push((job.ready.org_id, JobChange { job_id, kind: job.kind, lane, state }));
                metrics::counter!(metric::JOBS_RECOVERED_TOTAL, "lane" => job.ready.lane.clone())
                    .increment(1);
                if job.poison {
                    warn!(job = %job.ready.job_id, "its worker died each time it ran: a dead letter now");
                } else {
                    back.push(job.ready);
                }
            }
            info!(jobs = count, "took back jobs of a lost worker");
            if let Err(error) = self.queue.dispatch().release(&idle).await {
                debug!(error = %error, "capped lanes' counts are corrected later");
            }
            self.tell(changes).await;
            self.queue.send(back);
        }
    }

    /// Counts the ends among these changes and shows all of them to whoever watches.
    async fn tell(&self, mut changes: Vec<(OrgId, JobChange)>) {
        for (_, change) in changes.iter().filter(|(_, change)| change.state.is_final()) {
            metrics::counter!(metric::JOBS_FINISHED_TOTAL, "kind" => change.kind.clone(),
                "lane" => change.lane.clone(), "outcome" => change.state.as_str())
            .increment(1);
        }
        changes.retain(|(org, _)| self.queue.events().is_watched(*org));
        self.queue.events().publish(changes).await;
    }

    async fn dispatch_side(&mut self, connection: &mut PgConnection, full: bool) -> Result<(), QueueError> {
        let table = self.queue.lanes();
        let stale = self.queue.dispatch().stale_generation().await?;
        if stale.is_some() || self.rules.as_ref() != Some(&table) {
            self.queue.apply_org_rules().await?;
            self.rules = Some(table);
        }
        if let Some(run_id) = stale {
            // Another life of Redis, or an emptied one: what it held is unknown, the ledger is not.
            let started = Instant::now();
            let running = open_rows::running_capped(connection).await?;
            self.queue.dispatch().count_running(&running).await?;
            if let Some(jobs) = self.resend(connection, 0.0).await? {
                self.queue.dispatch().set_generation(&run_id).await?;
                info!(jobs, took = ?started.elapsed(), "Redis was new or emptied: everything queued was sent again");
            }
        } else if full {
            // Popped by a worker that died before claiming, or lost between commit and dispatch. Jobs
            // that are only just queued are on their way.
            let age = if self.swept.is_none() || self.outage { 1.0 } else { 5.0 };
            self.resend(connection, age).await?;
        }
        if full {
            self.correct_caps(connection).await?;
        }
        Ok(())
    }

    /// Sends everything queued for at least `age_secs` to the dispatcher; what is there already stays.
    /// One process does it at a time; none when another is at it.
    async fn resend(&self, connection: &mut PgConnection, age_secs: f64) -> Result<Option<u64>, QueueError> {
        if !try_lock(connection, 0).await? {
            return Ok(None);
        }
        let sent = self.resend_all(connection, age_secs).await;
        unlock(connection, 0).await?;
        sent.map(Some)
    }

    async fn resend_all(&self, connection: &mut PgConnection, age_secs: f64) -> Result<u64, QueueError> {
        let mut after = Uuid::nil();
        let mut sent = 0;
        loop {
            let jobs = open_rows::queued_after(connection, after, age_secs, CHUNK).await?;
            let Some(last) = jobs.last() else { break };
            after = last.job_id.0;
            self.queue.dispatch().push(&jobs).await?;
            sent += jobs.len() as u64;
            if i64::try_from(jobs.len()).is_ok_and(|n| n < CHUNK) {
                break;
            }
        }
        metrics::counter!(metric::DISPATCH_RESENDS_TOTAL).increment(sent);
        Ok(sent)
    }

    /// Ids that count as running in a capped lane but are not, leave the count.
    async fn correct_caps(&self, connection: &mut PgConnection) -> Result<(), QueueError> {
        let capped: Vec<(String, Uuid)> = sqlx::query_as(
            "SELECT DISTINCT j.lane, j.org_id FROM job j WHERE j.state IN ('running', 'queued')
             AND (EXISTS (SELECT FROM lane l WHERE l.lane = j.lane AND l.org_cap IS NOT NULL)
               OR EXISTS (SELECT FROM lane_org o WHERE o.lane = j.lane AND o.org_id = j.org_id
                          AND o.org_cap IS NOT NULL))
             LIMIT 1000",
        )
        .fetch_all(&mut *connection)
        .await?;
        let before = chrono::Utc::now().timestamp_millis() - 5_000;
        for (lane, org) in capped {
            let org = OrgId(org);
            let counted = self.queue.dispatch().running_before(&lane, org, before).await?;
            if counted.is_empty() {
                continue;
            }
            let ids: Vec<Uuid> = counted.iter().map(|job| job.0).collect();
            let running = open_rows::running_among(&mut *connection, &ids).await?;
            let lane: std::sync::Arc<str> = lane.into();
            let gone: Vec<_> = counted
                .into_iter()
                .filter(|job| !running.contains(&job.0))
                .map(|job| (lane.clone(), org, job))
                .collect();
            self.queue.dispatch().release(&gone).await?;
        }
        Ok(())
    }

    /// Batches whose last job ended by a sweep get their callback.
    async fn close_batches(&self, connection: &mut PgConnection) -> Result<(), QueueError> {
        for batch in open_rows::full_batches(connection).await? {
            let mut tx = connection.begin().await?;
            let callback = count_batch(&mut tx, batch, 0, 0).await?;
            if let Some(job) = &callback {
                insert(&mut tx, &[(job, JobState::Queued)]).await?;
            }
            tx.commit().await?;
            self.queue.announce(callback.as_slice());
        }
        Ok(())
    }
}

/// Whether this process may do a piece of work that one should do at a time; released with the connection
/// or by [`unlock`]. A holder that is stopped or cut off loses its connection, and the lock with it.
pub(super) async fn try_lock(connection: &mut PgConnection, offset: i64) -> Result<bool, sqlx::Error> {
    idle_at_most(connection, HOLDER_IDLE).await?;
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK + offset).fetch_one(connection).await
}

/// The same until the transaction's end.
pub(super) async fn try_lock_here(connection: &mut PgConnection, offset: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(LOCK + offset).fetch_one(connection).await
}

/// Gives the lock back.
pub(super) async fn unlock(connection: &mut PgConnection, offset: i64) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK + offset).execute(&mut *connection).await?;
    idle_at_most(connection, "0").await
}

async fn idle_at_most(connection: &mut PgConnection, length: &str) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('idle_session_timeout', $1, false)")
        .bind(length)
        .execute(connection)
        .await?;
    Ok(())
}
