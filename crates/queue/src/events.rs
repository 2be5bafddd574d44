//! The live stream of changes: one bounded Redis stream an organisation, written only while somebody
//! watches, resumable by the id of the last change seen.
//!
//! It is for looking, not for remembering: a reader that fell behind is told to read the ledger again.

use std::collections::HashSet;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use domain::{ApprovalId, JobId, JobState, OrgId};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamReadOptions, StreamReadReply};
use serde::Serialize;

use crate::dispatch::Dispatch;

/// Changes kept for each watched organisation.
const KEPT: usize = 10_000;
/// A stream that nobody adds to is gone after this, in seconds.
const KEPT_FOR: i64 = 3600;
/// A watch lasts this long unless renewed.
const WATCH: Duration = Duration::from_secs(60);

/// One change of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobChange {
    /// The job.
    pub job_id: JobId,
    /// Its kind.
    pub kind: Arc<str>,
    /// Its lane.
    pub lane: Arc<str>,
    /// The state it is in now.
    pub state: JobState,
}

/// One change of one approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApprovalChange {
    /// The approval.
    pub approval_id: ApprovalId,
    /// Where it stands now.
    pub state: Arc<str>,
    /// What it is about.
    pub subject_kind: Arc<str>,
}

/// What a reader of the stream gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A change, with the id to resume after.
    Change {
        /// Stream position.
        id: String,
        /// The change as JSON text.
        json: String,
    },
    /// A change of an approval, with the id to resume after.
    Approval {
        /// Stream position.
        id: String,
        /// The change as JSON text.
        json: String,
    },
    /// Changes were missed (the stream was cut or lost): read the ledger again.
    Reset,
}

/// Publishes and reads changes.
#[derive(Clone)]
pub struct Events {
    dispatch: Dispatch,
    watched: Arc<RwLock<HashSet<OrgId>>>,
}

impl Events {
    pub(crate) fn new(dispatch: Dispatch) -> Self {
        Self { dispatch, watched: Arc::default() }
    }

    /// Learns who is watched; called about once a second by every process that changes jobs.
    pub(crate) async fn refresh(&self) -> Result<(), redis::RedisError> {
        let mut redis = self.dispatch.redis();
        let now = chrono::Utc::now().timestamp();
        let orgs: Vec<String> = redis.zrangebyscore(self.dispatch.keys().watched(), now, "+inf").await?;
        let watched = orgs.iter().filter_map(|org| org.parse().ok()).collect();
        *self.watched.write().unwrap_or_else(std::sync::PoisonError::into_inner) = watched;
        Ok(())
    }

    /// Whether anybody watches this organisation.
    #[must_use]
    pub fn is_watched(&self, org: OrgId) -> bool {
        let watched = self.watched.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        !watched.is_empty() && watched.contains(&org)
    }

    /// Publishes changes of watched organisations; others cost nothing. Losing some is allowed.
    pub async fn publish(&self, changes: Vec<(OrgId, JobChange)>) {
        self.add("c", changes).await;
    }

    /// The same for changes of approvals.
    pub async fn publish_approvals(&self, changes: Vec<(OrgId, ApprovalChange)>) {
        self.add("a", changes).await;
    }

    async fn add(&self, field: &'static str, changes: Vec<(OrgId, impl Serialize)>) {
        if changes.is_empty() {
            return;
        }
        let mut pipe = redis::pipe();
        let mut orgs = HashSet::new();
        for (org, change) in changes {
            orgs.insert(org);
            let Ok(json) = serde_json::to_string(&change) else {
                continue;
            };
            pipe.xadd_maxlen(
                self.dispatch.keys().events(org),
                redis::streams::StreamMaxlen::Approx(KEPT),
                "*",
                &[(field, json)],
            )
            .ignore();
        }
        for org in orgs {
            pipe.expire(self.dispatch.keys().events(org), KEPT_FOR).ignore();
        }
        let _: Result<(), _> = pipe.query_async(&mut self.dispatch.redis()).await;
    }

    /// Starts watching an organisation's changes, after the change `last` if it is still known.
    ///
    /// # Errors
    /// What Redis said.
    pub async fn watch(&self, org: OrgId, last: Option<String>) -> Result<Watch, redis::RedisError> {
        let mut redis = self.dispatch.redis();
        let key = self.dispatch.keys().events(org);
        mark(&self.dispatch, org).await?;
        let newest: redis::streams::StreamRangeReply = redis.xrevrange_count(&key, "+", "-", 1).await?;
        let newest = newest.ids.first().map_or_else(|| "0-0".to_owned(), |entry| entry.id.clone());
        let mut reset = false;
        let from = match last {
            None => newest,
            Some(last) => {
                let oldest: redis::streams::StreamRangeReply = redis.xrange_count(&key, "-", "+", 1).await?;
                let oldest = oldest.ids.first().map(|entry| position(&entry.id));
                // Known only while nothing between it and the stream's start was cut.
                let known = oldest.is_some_and(|oldest| position(&last) >= oldest)
                    && position(&last) <= position(&newest);
                if known {
                    last
                } else {
                    reset = true;
                    newest
                }
            }
        };
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let connection = self.dispatch.client().get_multiplexed_async_connection_with_config(&config).await?;
        self.refresh().await?;
        Ok(Watch { dispatch: self.dispatch.clone(), org, connection, key, from, reset })
    }
}

/// Position of a stream id, for comparing.
fn position(id: &str) -> (u64, u64) {
    let (ms, seq) = id.split_once('-').unwrap_or((id, "0"));
    (ms.parse().unwrap_or(0), seq.parse().unwrap_or(0))
}

async fn mark(dispatch: &Dispatch, org: OrgId) -> Result<(), redis::RedisError> {
    let now = chrono::Utc::now().timestamp();
    let until = now + i64::try_from(WATCH.as_secs()).unwrap_or(60);
    redis::pipe()
        .zadd(dispatch.keys().watched(), org.to_string(), until)
        .ignore()
        .zrembyscore(dispatch.keys().watched(), "-inf", now - 1)
        .ignore()
        .query_async(&mut dispatch.redis())
        .await
}

/// A reader's place in an organisation's stream.
pub struct Watch {
    dispatch: Dispatch,
    org: OrgId,
    connection: MultiplexedConnection,
    key: String,
    from: String,
    reset: bool,
}

impl Watch {
    /// The next changes; an empty list after some seconds without any, so that the caller can say it lives.
    ///
    /// # Errors
    /// What Redis said; watch again with the last id seen.
    pub async fn next(&mut self) -> Result<Vec<Event>, redis::RedisError> {
        if std::mem::take(&mut self.reset) {
            return Ok(vec![Event::Reset]);
        }
        mark(&self.dispatch, self.org).await?;
        let options = StreamReadOptions::default().block(10_000).count(500);
        let reply: Option<StreamReadReply> =
            self.connection.xread_options(&[&self.key], &[&self.from], &options).await?;
        let mut events = Vec::new();
        for key in reply.map(|reply| reply.keys).unwrap_or_default() {
            for entry in key.ids {
                self.from.clone_from(&entry.id);
                if let Some(json) = entry.get::<String>("c") {
                    events.push(Event::Change { id: entry.id, json });
                } else if let Some(json) = entry.get::<String>("a") {
                    events.push(Event::Approval { id: entry.id, json });
                }
            }
        }
        Ok(events)
    }
}
