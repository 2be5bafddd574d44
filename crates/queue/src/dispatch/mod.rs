//! Dispatch in Redis: which queued job is next, for whom, and who is waiting for one.
//!
//! Holds ids only, and only what can be rebuilt from the ledger. Every lane keeps one sorted set an
//! organisation (score: priority, then age) and one rotation of organisations, so that a flood of one
//! never starves another. A take is one bounded script for all lanes a worker has room in; an empty
//! worker sleeps in a blocking pop. Sending an id twice leaves one id.
//!
//! Refuses to decide anything about a job: a worker must claim what it takes in the ledger.

mod keys;
mod pusher;
mod scripts;
mod waiter;

use std::collections::HashMap;
use std::time::Duration;

use domain::{JobId, OrgId};
use redis::AsyncCommands;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use uuid::Uuid;

pub(crate) use keys::Keys;
pub(crate) use pusher::Pusher;
pub(crate) use waiter::{Nudger, Waiter};

/// At most this many ids go through one call of a script, whatever the backlog.
pub const SCRIPT_BATCH: usize = 500;

/// One queued job, as the dispatcher sees it.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The job.
    pub job_id: JobId,
    /// Whose it is: lanes are fair over organisations.
    pub org_id: OrgId,
    /// Which lane it waits in.
    pub lane: std::sync::Arc<str>,
    /// Order within its organisation's share of the lane: lower is sooner ([`crate::NewJob::score`]).
    pub score: i64,
}

/// How much a worker can take from one lane now.
#[derive(Clone, Debug)]
pub struct Want {
    /// Lane name.
    pub lane: std::sync::Arc<str>,
    /// Free slots.
    pub slots: usize,
    /// Bound of one organisation's running jobs over all workers; 0 for none.
    pub org_cap: i32,
}

/// One id that a worker took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The job.
    pub job_id: JobId,
    /// Whose it is, when it counts against a cap until it is released; none otherwise.
    pub counted: Option<OrgId>,
}

impl Taken {
    /// Reads an id, or an id and its organisation.
    fn read(entry: &[u8]) -> Option<Self> {
        let (job, org) = entry.split_at_checked(16)?;
        let job_id = JobId(Uuid::from_slice(job).ok()?);
        Some(Self { job_id, counted: Uuid::from_slice(org).ok().map(OrgId) })
    }
}

/// A connection to the dispatcher. Cheap to clone; reconnects by itself.
#[derive(Clone)]
pub struct Dispatch {
    redis: ConnectionManager,
    client: redis::Client,
    keys: Keys,
}

impl Dispatch {
    /// Prepares a connection; Redis may be away and come later.
    ///
    /// # Errors
    /// Only when the URL is not one.
    pub async fn connect(url: &str, namespace: &str) -> Result<Self, redis::RedisError> {
        let client = redis::Client::open(url)?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(Duration::from_secs(3)))
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(20))
            .set_max_delay(Duration::from_millis(500));
        let redis = ConnectionManager::new_lazy_with_config(client.clone(), config)?;
        Ok(Self { redis, client, keys: Keys::new(namespace) })
    }

    /// The raw connection, for the limiter and the event streams that share it.
    pub(crate) fn redis(&self) -> ConnectionManager {
        self.redis.clone()
    }

    pub(crate) fn client(&self) -> &redis::Client {
        &self.client
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// What Redis or the way to it said.
    pub async fn ping(&self) -> Result<(), redis::RedisError> {
        redis::cmd("PING").query_async::<()>(&mut self.redis()).await
    }

    /// Makes jobs ready to be taken. Idempotent: an id that is there already only moves to its score.
    ///
    /// # Errors
    /// What Redis said; some of the jobs may have been sent.
    pub async fn push(&self, jobs: &[Ready]) -> Result<(), redis::RedisError> {
        for chunk in jobs.chunks(SCRIPT_BATCH) {
            let mut groups: HashMap<(&str, Uuid), Vec<&Ready>> = HashMap::new();
            for job in chunk {
                groups.entry((&job.lane, job.org_id.0)).or_default().push(job);
            }
            let mut call = scripts::PUSH.key(self.keys.prefix());
            for ((lane, org), jobs) in groups {
                call.arg(lane).arg(org.as_bytes().as_slice()).arg(jobs.len());
                for job in jobs {
                    call.arg(job.score).arg(job.job_id.0.as_bytes().as_slice());
                }
            }
            call.invoke_async::<()>(&mut self.redis()).await?;
        }
        Ok(())
    }

    /// Takes up to the wanted number of ids from each lane, in fair order. The ids are no longer in
    /// Redis: claim them, or they return with the next sweep.
    ///
    /// # Errors
    /// What Redis said; ids that were on their way back are found by the sweep.
    pub async fn take(&self, wants: &[Want], most: usize) -> Result<Vec<Vec<Taken>>, redis::RedisError> {
        let mut call = scripts::TAKE.key(self.keys.prefix());
        call.arg(most.min(SCRIPT_BATCH));
        for want in wants {
            call.arg(&*want.lane).arg(want.slots.min(SCRIPT_BATCH)).arg(want.org_cap);
        }
        let taken: Vec<Vec<Vec<u8>>> = call.invoke_async(&mut self.redis()).await?;
        Ok(taken
            .into_iter()
            // An entry that is no id is somebody else's writing: dropped, never fatal.
            .map(|lane| lane.iter().filter_map(|entry| Taken::read(entry)).collect())
            .collect())
    }

    /// Tells the dispatcher that jobs of capped lanes are no longer running.
    ///
    /// # Errors
    /// What Redis said; the sweep corrects counts that were missed.
    pub async fn release(
        &self,
        jobs: &[(std::sync::Arc<str>, OrgId, JobId)],
    ) -> Result<(), redis::RedisError> {
        for chunk in jobs.chunks(SCRIPT_BATCH) {
            let mut call = scripts::RELEASE.key(self.keys.prefix());
            for (lane, org, job) in chunk {
                call.arg(&**lane).arg(org.0.as_bytes().as_slice()).arg(job.0.as_bytes().as_slice());
            }
            call.invoke_async::<()>(&mut self.redis()).await?;
        }
        Ok(())
    }

    /// Counts jobs of capped lanes as running. Only what was taken through [`Dispatch::take`] is counted by
    /// itself: this is for a dispatcher that forgot.
    ///
    /// # Errors
    /// What Redis said.
    pub(crate) async fn count_running(
        &self,
        jobs: &[(std::sync::Arc<str>, OrgId, JobId)],
    ) -> Result<(), redis::RedisError> {
        let now = chrono::Utc::now().timestamp_millis();
        for chunk in jobs.chunks(SCRIPT_BATCH) {
            let mut pipe = redis::pipe();
            for (lane, org, job) in chunk {
                pipe.zadd(self.keys.running(lane, *org), job.0.as_bytes().as_slice(), now).ignore();
            }
            pipe.query_async::<()>(&mut self.redis()).await?;
        }
        Ok(())
    }

    /// Says which organisations' shares of which lanes are held (paused), and which caps differ from
    /// their lane's. Replaces what was said before.
    ///
    /// # Errors
    /// What Redis said.
    pub async fn set_org_rules(
        &self,
        lanes: &[std::sync::Arc<str>],
        held: &[(std::sync::Arc<str>, OrgId)],
        caps: &[(std::sync::Arc<str>, OrgId, i32)],
    ) -> Result<(), redis::RedisError> {
        let mut call = scripts::RULES.key(self.keys.prefix());
        call.arg(lanes.len());
        for lane in lanes {
            call.arg(&**lane);
        }
        call.arg(held.len());
        for (lane, org) in held {
            call.arg(&**lane).arg(org.0.as_bytes().as_slice());
        }
        call.arg(caps.len());
        for (lane, org, cap) in caps {
            call.arg(&**lane).arg(org.0.as_bytes().as_slice()).arg(*cap);
        }
        call.invoke_async::<()>(&mut self.redis()).await
    }

    /// Members of one organisation's running set in a capped lane that were taken before `before_ms`.
    pub(crate) async fn running_before(
        &self,
        lane: &str,
        org: OrgId,
        before_ms: i64,
    ) -> Result<Vec<JobId>, redis::RedisError> {
        let ids: Vec<Vec<u8>> =
            self.redis().zrangebyscore(self.keys.running(lane, org), "-inf", before_ms).await?;
        Ok(ids.into_iter().filter_map(|id| Uuid::from_slice(&id).ok().map(JobId)).collect())
    }

    /// Whether this Redis is the one that was filled from the ledger: `Some(run id)` when the marker is
    /// missing or belongs to another life of the server, and everything queued must be sent again.
    ///
    /// # Errors
    /// What Redis said.
    pub async fn stale_generation(&self) -> Result<Option<String>, redis::RedisError> {
        let mut redis = self.redis();
        let info: redis::InfoDict = redis::cmd("INFO").arg("server").query_async(&mut redis).await?;
        let run_id: String = info.get("run_id").unwrap_or_default();
        let marker: Option<String> = redis.get(self.keys.generation()).await?;
        Ok((marker.as_deref() != Some(run_id.as_str())).then_some(run_id))
    }

    /// Records that everything queued was sent to this life of the server.
    ///
    /// # Errors
    /// What Redis said.
    pub async fn set_generation(&self, run_id: &str) -> Result<(), redis::RedisError> {
        self.redis().set(self.keys.generation(), run_id).await
    }

    /// Leaves a wake-up in each lane: a worker that goes may have taken one with it.
    ///
    /// # Errors
    /// What Redis said.
    pub(crate) async fn wake(&self, lanes: &[std::sync::Arc<str>]) -> Result<(), redis::RedisError> {
        let mut pipe = redis::pipe();
        for lane in lanes {
            pipe.del(self.keys.wake(lane)).ignore().lpush(self.keys.wake(lane), 1).ignore();
        }
        pipe.query_async(&mut self.redis()).await
    }

    /// Forgets everything of this namespace. Jobs are not lost by it: the ledger has them. For tests and
    /// benchmarks, and for operators who want the dispatcher filled anew.
    ///
    /// # Errors
    /// What Redis said.
    pub async fn forget_everything(&self) -> Result<(), redis::RedisError> {
        let mut redis = self.redis();
        let pattern = format!("{}:*", self.keys.prefix());
        let mut cursor = 0_u64;
        loop {
            let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(&pattern)
                .arg("COUNT")
                .arg(1000)
                .query_async(&mut redis)
                .await?;
            if !keys.is_empty() {
                redis.unlink::<_, ()>(keys).await?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }

    /// Ids waiting in a lane over all organisations (bounded work: at most 1,000 organisations are added).
    ///
    /// # Errors
    /// What Redis said.
    pub async fn depth(&self, lane: &str) -> Result<u64, redis::RedisError> {
        let mut redis = self.redis();
        let orgs: Vec<Vec<u8>> = redis.zrange(self.keys.rotation(lane), 0, 999).await?;
        let mut pipe = redis::pipe();
        for org in orgs.iter().filter_map(|org| Uuid::from_slice(org).ok()) {
            pipe.zcard(self.keys.ready(lane, OrgId(org)));
        }
        let counts: Vec<u64> =
            if orgs.is_empty() { Vec::new() } else { pipe.query_async(&mut redis).await? };
        Ok(counts.into_iter().sum())
    }
}
