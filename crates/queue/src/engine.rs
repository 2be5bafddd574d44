//! The engine's handle: enqueue, progress, settings, and what the parts share.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{JobId, JobState, LimitUse, OrgId};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{PgConnection, PgPool, Row};
use telemetry::metric;
use tracing::{debug, warn};

use crate::batcher::Batcher;
use crate::dispatch::{Dispatch, Pusher, Ready};
use crate::error::{EnqueueError, QueueError};
use crate::events::{Events, JobChange};
use crate::ledger::insert::{Inserted, insert};
use crate::ledger::{Ledger, Profile};
use crate::limiter::{Asking, Limiter, RateTable, Verdict};
use crate::new_job::{Enqueued, NewJob};
use crate::ops::lanes::LaneMode;

/// How often settings (lanes, rates, watches) are read again.
const SETTINGS_EVERY: Duration = Duration::from_secs(1);

/// Where the engine's servers are.
#[derive(Clone)]
pub struct QueueConfig {
    /// PostgreSQL.
    pub database_url: SecretString,
    /// Redis.
    pub redis_url: SecretString,
    /// Prefix of all keys in Redis; queues with different namespaces don't see each other.
    pub namespace: String,
    /// Role to act as after connecting (`SET ROLE`), when the login is not the engine's own.
    pub role: Option<String>,
    /// Connections for operators' actions and sweeps; the group commits have their own.
    pub pool_size: u32,
}

impl QueueConfig {
    /// The usual settings for these servers.
    #[must_use]
    pub fn new(database_url: SecretString, redis_url: SecretString) -> Self {
        Self { database_url, redis_url, namespace: "countersign".into(), role: None, pool_size: 8 }
    }
}

/// Settings of the lanes, as last read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneTable {
    /// Lanes in their order.
    pub lanes: Vec<LaneSetting>,
    /// Organisations' own say.
    pub orgs: HashMap<(OrgId, Arc<str>), OrgSetting>,
}

/// The platform's settings of one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSetting {
    /// Name.
    pub lane: Arc<str>,
    /// Open, paused or draining for everybody.
    pub mode: LaneMode,
    /// Slots in each worker process.
    pub concurrency: usize,
    /// Bound of one organisation's running jobs over all workers.
    pub org_cap: Option<i32>,
}

/// One organisation's settings of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrgSetting {
    /// Open, paused or draining for this organisation.
    pub mode: LaneMode,
    /// Its own cap.
    pub org_cap: Option<i32>,
}

impl LaneTable {
    /// The lane's settings, if there is such a lane.
    #[must_use]
    pub fn get(&self, lane: &str) -> Option<&LaneSetting> {
        self.lanes.iter().find(|setting| &*setting.lane == lane)
    }

    fn is_draining(&self, lane: &LaneSetting, org: OrgId) -> bool {
        lane.mode == LaneMode::Draining
            || (!self.orgs.is_empty()
                && self
                    .orgs
                    .get(&(org, lane.lane.clone()))
                    .is_some_and(|setting| setting.mode == LaneMode::Draining))
    }

    /// The state a job starts in; none when there is no such lane.
    pub(crate) fn first_state(&self, job: &NewJob, now: DateTime<Utc>) -> Option<JobState> {
        let lane = self.get(&job.lane)?;
        Some(if job.run_at.is_some_and(|at| at > now) {
            JobState::Scheduled
        } else if self.is_draining(lane, job.org_id) {
            JobState::Parked
        } else {
            JobState::Queued
        })
    }

    async fn load(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let lanes = sqlx::query("SELECT lane, mode, concurrency, org_cap FROM lane ORDER BY position, lane")
            .fetch_all(&mut *connection)
            .await?
            .iter()
            .map(|row| {
                Ok(LaneSetting {
                    lane: row.try_get::<&str, _>(0)?.into(),
                    mode: LaneMode::of(row.try_get(1)?),
                    concurrency: usize::try_from(row.try_get::<i32, _>(2)?).unwrap_or(1),
                    org_cap: row.try_get(3)?,
                })
            })
            .collect::<Result<_, sqlx::Error>>()?;
        let orgs = sqlx::query("SELECT org_id, lane, mode, org_cap FROM lane_org")
            .fetch_all(connection)
            .await?
            .iter()
            .map(|row| {
                Ok((
                    (OrgId(row.try_get(0)?), row.try_get::<&str, _>(1)?.into()),
                    OrgSetting { mode: LaneMode::of(row.try_get(2)?), org_cap: row.try_get(3)? },
                ))
            })
            .collect::<Result<_, sqlx::Error>>()?;
        Ok(Self { lanes, orgs })
    }
}

/// A handle to the queue. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

struct Inner {
    ledger: Ledger,
    dispatch: Dispatch,
    pusher: Pusher,
    batcher: Batcher,
    limiter: Limiter,
    events: Events,
    lanes: RwLock<Arc<LaneTable>>,
}

impl Queue {
    /// Connects. Redis may be away; PostgreSQL must answer once, for the lanes are read from it.
    ///
    /// # Errors
    /// [`QueueError::DatabaseAway`] or a URL that is none.
    pub async fn connect(config: QueueConfig) -> Result<Self, QueueError> {
        let ledger = Ledger::connect(&config.database_url, config.role.as_deref(), config.pool_size)?;
        let dispatch = Dispatch::connect(config.redis_url.expose_secret(), &config.namespace).await?;
        let queue = Self {
            inner: Arc::new(Inner {
                pusher: Pusher::start(dispatch.clone()),
                batcher: Batcher::start(&ledger),
                limiter: Limiter::new(dispatch.redis(), dispatch.keys().clone()),
                events: Events::new(dispatch.clone()),
                ledger,
                dispatch,
                lanes: RwLock::default(),
            }),
        };
        queue.refresh_settings().await?;
        let weak = Arc::downgrade(&queue.inner);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SETTINGS_EVERY).await;
                let Some(inner) = weak.upgrade() else { return };
                let queue = Queue { inner };
                if let Err(error) = queue.refresh_settings().await {
                    debug!(error = %error, "settings not read; the last ones stay in force");
                }
                let _ = queue.inner.events.refresh().await;
            }
        });
        Ok(queue)
    }

    /// Takes one job into the ledger. When this returns, the job is committed.
    ///
    /// # Errors
    /// [`EnqueueError`]: nothing was written, except after `DatabaseAway`, when the commit may or may not
    /// have happened: repeat with the same idempotency key.
    pub async fn enqueue(&self, job: NewJob) -> Result<Enqueued, EnqueueError> {
        job.check(Utc::now())?;
        let state = self.first_state(&job)?;
        let (job, inserted) = self.inner.batcher.insert(job, state).await?;
        self.settle(&job, inserted?)
    }

    /// Takes many jobs into the ledger, in commits of a thousand. Outcomes come in the order of the jobs.
    pub async fn enqueue_many(&self, jobs: Vec<NewJob>) -> Vec<Result<Enqueued, EnqueueError>> {
        let now = Utc::now();
        let mut outcomes = Vec::with_capacity(jobs.len());
        for chunk in jobs.chunks(1000) {
            let checked: Result<Vec<JobState>, EnqueueError> =
                chunk.iter().map(|job| job.check(now).and_then(|()| self.first_state(job))).collect();
            if checked.is_err() {
                // Rare: let each job answer for itself.
                for job in chunk {
                    outcomes.push(self.enqueue(job.clone()).await);
                }
                continue;
            }
            match self.insert_chunk(chunk, &checked.unwrap_or_default()).await {
                Ok(inserted) => {
                    outcomes.extend(chunk.iter().zip(inserted).map(|(job, done)| self.settle(job, done)));
                }
                Err(error) => {
                    let away = matches!(&error, QueueError::DatabaseAway(_));
                    outcomes.extend(chunk.iter().map(|_| {
                        Err(EnqueueError::Queue(if away {
                            QueueError::DatabaseAway(sqlx::Error::WorkerCrashed)
                        } else {
                            QueueError::Database(sqlx::Error::Protocol(error.to_string()))
                        }))
                    }));
                }
            }
        }
        outcomes
    }

    async fn insert_chunk(&self, jobs: &[NewJob], states: &[JobState]) -> Result<Vec<Inserted>, QueueError> {
        let entries: Vec<_> = jobs.iter().zip(states.iter().copied()).collect();
        let mut connection = self.inner.ledger.pool().acquire().await?;
        Ok(insert(&mut connection, &entries).await?)
    }

    /// Takes jobs into the ledger on the caller's open transaction: they exist if and when it commits.
    /// Call [`Queue::announce`] after the commit.
    ///
    /// # Errors
    /// [`EnqueueError`]; the caller's transaction should then be rolled back.
    pub async fn enqueue_in(
        &self,
        connection: &mut PgConnection,
        jobs: &[NewJob],
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        let now = Utc::now();
        let mut entries = Vec::with_capacity(jobs.len());
        for job in jobs {
            job.check(now)?;
            entries.push((job, self.first_state(job)?));
        }
        let mut outcomes = Vec::with_capacity(jobs.len());
        for chunk in entries.chunks(1000) {
            for ((job, _), inserted) in chunk.iter().zip(insert(connection, chunk).await?) {
                outcomes.push(match inserted {
                    Inserted::Created(_) => Enqueued { job_id: job.job_id, created: true },
                    Inserted::Existing(job_id) => Enqueued { job_id, created: false },
                    Inserted::Conflict(existing) => {
                        return Err(EnqueueError::KeyReused { existing });
                    }
                });
            }
        }
        Ok(outcomes)
    }

    /// Dispatches jobs of a transaction that was committed. Without it the sweep does, within seconds.
    pub fn announce(&self, jobs: &[NewJob]) {
        for job in jobs {
            if matches!(self.first_state(job), Ok(JobState::Queued)) {
                self.settle_created(job, JobState::Queued);
            }
        }
    }

    /// The state a job starts in. A chain whose later links have no lane would break unseen: it is refused.
    fn first_state(&self, job: &NewJob) -> Result<JobState, EnqueueError> {
        let lanes = self.lanes();
        let state = lanes.first_state(job, Utc::now()).ok_or_else(|| {
            let known: Vec<&str> = lanes.lanes.iter().map(|lane| &*lane.lane).collect();
            EnqueueError::Invalid {
                field: "lane",
                problem: format!("there is no lane “{}”; use one of {}", job.lane, known.join(", ")),
            }
        })?;
        job.successors.iter().try_for_each(|next| self.first_state(next).map(|_| ()))?;
        Ok(state)
    }

    /// Refuses a job that is to be enqueued later, on behalf of `org`, when it could not be enqueued now.
    pub(crate) fn check_later(&self, org: OrgId, job: &NewJob) -> Result<(), EnqueueError> {
        if job.org_id != org {
            let problem = "a successor or callback belongs to the organisation of what it follows".into();
            return Err(EnqueueError::Invalid { field: "org_id", problem });
        }
        job.check(Utc::now())?;
        self.first_state(job).map(|_| ())
    }

    fn settle(&self, job: &NewJob, inserted: Inserted) -> Result<Enqueued, EnqueueError> {
        match inserted {
            Inserted::Created(state) => {
                self.settle_created(job, state);
                Ok(Enqueued { job_id: job.job_id, created: true })
            }
            Inserted::Existing(job_id) => Ok(Enqueued { job_id, created: false }),
            Inserted::Conflict(existing) => Err(EnqueueError::KeyReused { existing }),
        }
    }

    fn settle_created(&self, job: &NewJob, state: JobState) {
        metrics::counter!(metric::JOBS_ENQUEUED_TOTAL, "kind" => job.kind.clone(), "lane" => job.lane.clone())
            .increment(1);
        if state == JobState::Queued {
            self.inner.pusher.send(Ready {
                job_id: job.job_id,
                org_id: job.org_id,
                lane: job.lane.clone(),
                score: NewJob::score(job.priority, job.run_at.unwrap_or_else(Utc::now)),
            });
        }
        if self.inner.events.is_watched(job.org_id) {
            let change =
                JobChange { job_id: job.job_id, kind: job.kind.clone(), lane: job.lane.clone(), state };
            let (events, org) = (self.inner.events.clone(), job.org_id);
            tokio::spawn(async move { events.publish(vec![(org, change)]).await });
        }
    }

    /// Hands jobs that became ready to the dispatcher.
    pub(crate) fn send(&self, jobs: impl IntoIterator<Item = Ready>) {
        for job in jobs {
            self.inner.pusher.send(job);
        }
    }

    /// Records how far a running job is: `done` of `total` units. Ignored when the claim is no longer held.
    ///
    /// # Errors
    /// [`QueueError`] when the ledger is away.
    pub async fn progress(
        &self,
        job: JobId,
        claim_no: i32,
        done: u64,
        total: Option<u64>,
    ) -> Result<(), QueueError> {
        let clamp = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        sqlx::query(
            "UPDATE job SET progress_done = $3, progress_total = $4
             WHERE job_id = $1 AND claim_no = $2 AND state = 'running'",
        )
        .bind(job.0)
        .bind(claim_no)
        .bind(clamp(done))
        .bind(total.map(clamp))
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Reads lanes and rates again, now.
    ///
    /// # Errors
    /// [`QueueError`] when the ledger is away; the last settings stay in force.
    pub async fn refresh_settings(&self) -> Result<(), QueueError> {
        let mut connection = self.pool().acquire().await?;
        let lanes = LaneTable::load(&mut connection).await?;
        self.inner.limiter.set_table(RateTable::load(&mut connection).await?);
        let mut held = self.inner.lanes.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if **held != lanes {
            *held = Arc::new(lanes);
        }
        Ok(())
    }

    /// Tells the dispatcher which organisations' shares are held and capped.
    ///
    /// # Errors
    /// What Redis said.
    pub async fn apply_org_rules(&self) -> Result<(), QueueError> {
        let table = self.lanes();
        let lanes: Vec<Arc<str>> = table.lanes.iter().map(|lane| lane.lane.clone()).collect();
        let held: Vec<_> = table
            .orgs
            .iter()
            .filter(|(_, setting)| setting.mode == LaneMode::Paused)
            .map(|((org, lane), _)| (lane.clone(), *org))
            .collect();
        let caps: Vec<_> = table
            .orgs
            .iter()
            .filter_map(|((org, lane), setting)| setting.org_cap.map(|cap| (lane.clone(), *org, cap)))
            .collect();
        Ok(self.inner.dispatch.set_org_rules(&lanes, &held, &caps).await?)
    }

    /// Lanes and organisations' settings, as last read (at most a second old while PostgreSQL answers).
    #[must_use]
    pub fn lanes(&self) -> Arc<LaneTable> {
        self.inner.lanes.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The engine's connections for operators' actions and reports.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        self.inner.ledger.pool()
    }

    /// The shared rate limiter.
    #[must_use]
    pub fn limiter(&self) -> &Limiter {
        &self.inner.limiter
    }

    /// Asks the limiter for one job, by rates that are not older than their last edit.
    ///
    /// # Errors
    /// What Redis said.
    pub(crate) async fn ask_limits(
        &self,
        org: OrgId,
        draws: &[LimitUse],
        asking: Asking<'_>,
    ) -> Result<Verdict, redis::RedisError> {
        let verdict = self.limiter().ask(org, draws, asking).await?;
        if verdict != Verdict::Stale {
            return Ok(verdict);
        }
        if let Err(error) = self.refresh_settings().await {
            debug!(error = %error, "rates were edited but can't be read yet");
        }
        Ok(match self.limiter().ask(org, draws, asking).await? {
            Verdict::Stale => Verdict::Wait { by: 0, micros: 1_000_000 },
            verdict => verdict,
        })
    }

    /// The dispatcher.
    #[must_use]
    pub fn dispatch(&self) -> &Dispatch {
        &self.inner.dispatch
    }

    /// The live stream of changes.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.inner.events
    }

    pub(crate) async fn open(&self, profile: Profile) -> Result<PgConnection, QueueError> {
        self.inner.ledger.open(profile).await
    }

    /// Whether PostgreSQL answers.
    ///
    /// # Errors
    /// [`QueueError::DatabaseAway`].
    pub async fn ping_postgres(&self) -> Result<(), QueueError> {
        sqlx::query("SELECT 1").execute(self.pool()).await?;
        Ok(())
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// [`QueueError::DispatchAway`].
    pub async fn ping_redis(&self) -> Result<(), QueueError> {
        Ok(self.inner.dispatch.ping().await?)
    }

    /// Carries out what an operator's action left to do, after its transaction was committed.
    pub async fn after(&self, after: After) {
        self.send(after.ready);
        for bucket in after.forgotten_lines {
            let _ = self.inner.limiter.forget_line(&bucket).await;
        }
        if after.settings {
            if let Err(error) = self.refresh_settings().await {
                warn!(error = %error, "settings were changed but not read back yet");
            }
            let _ = self.apply_org_rules().await;
            let _ = self.inner.limiter.announce_rates().await;
        }
        let watched = after.changes.into_iter().filter(|(org, _)| self.inner.events.is_watched(*org));
        self.inner.events.publish(watched.collect()).await;
    }
}

/// What is left to do once an operator's transaction is committed; hand it to [`Queue::after`].
/// Dropping it loses nothing: sweeps would do the same a little later.
#[derive(Debug, Default)]
#[must_use = "hand this to Queue::after once the transaction is committed"]
pub struct After {
    pub(crate) ready: Vec<Ready>,
    pub(crate) changes: Vec<(OrgId, JobChange)>,
    pub(crate) settings: bool,
    pub(crate) forgotten_lines: Vec<String>,
}

impl After {
    /// The jobs it put into their lanes.
    pub fn job_ids(&self) -> impl Iterator<Item = JobId> {
        self.ready.iter().map(|job| job.job_id)
    }
}
