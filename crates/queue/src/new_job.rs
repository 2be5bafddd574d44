//! A job on its way into the ledger.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{ActorId, BatchId, JobId, MAX_PAYLOAD_BYTES, OrgId, PRIORITY_RANGE, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::error::EnqueueError;

/// Longest idempotency, unique or request key, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// Furthest a job may be scheduled ahead, in days.
pub const MAX_AHEAD_DAYS: i64 = 366;

/// Everything that is said about a job when it is enqueued. Build with [`NewJob::new`], then set fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewJob {
    /// The id the job will have.
    pub job_id: JobId,
    /// Whose job it is.
    pub org_id: OrgId,
    /// Kind name.
    pub kind: Arc<str>,
    /// Payload version.
    pub kind_version: i16,
    /// Lane it waits in.
    pub lane: Arc<str>,
    /// Attempts in all.
    pub max_attempts: i16,
    /// -100 … 100, higher is sooner.
    #[serde(default)]
    pub priority: i16,
    /// Not before this; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<DateTime<Utc>>,
    /// Expires unrun after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<DateTime<Utc>>,
    /// A repeat with the same key and payload returns the first job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// At most one job of the kind with this key waits at a time; a second returns the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<String>,
    /// The request that caused it, for the id chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Room it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<WorkspaceId>,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<ActorId>,
    /// Only this actor may see it; everybody of its room when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_to: Option<ActorId>,
    /// The job that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_job_id: Option<JobId>,
    /// The batch it counts in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<BatchId>,
    /// Enqueued in the transaction that completes this job successfully.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub successors: Vec<NewJob>,
    /// JSON text of the payload.
    pub payload: Box<RawValue>,
}

impl NewJob {
    /// A job that is ready at once, with ordinary priority and the standard attempts.
    #[must_use]
    pub fn new(
        org_id: OrgId,
        kind: impl Into<Arc<str>>,
        lane: impl Into<Arc<str>>,
        payload: Box<RawValue>,
    ) -> Self {
        Self {
            job_id: JobId::new(),
            org_id,
            kind: kind.into(),
            kind_version: 1,
            lane: lane.into(),
            max_attempts: domain::RetryPolicy::STANDARD.max_attempts,
            priority: 0,
            run_at: None,
            deadline_at: None,
            idempotency_key: None,
            unique_key: None,
            request_id: None,
            workspace_id: None,
            actor_id: None,
            private_to: None,
            parent_job_id: None,
            batch_id: None,
            successors: Vec::new(),
            payload,
        }
    }

    /// Refuses what the ledger must not hold.
    ///
    /// # Errors
    /// [`EnqueueError::PayloadTooLarge`] or [`EnqueueError::Invalid`] with the field and what is allowed.
    pub fn check(&self, now: DateTime<Utc>) -> Result<(), EnqueueError> {
        let bytes = self.payload.get().len();
        if bytes > MAX_PAYLOAD_BYTES {
            return Err(EnqueueError::PayloadTooLarge { bytes, limit: MAX_PAYLOAD_BYTES });
        }
        if self.payload.get().contains("\\u0000") {
            return Err(invalid("payload", "must not contain the character U+0000".into()));
        }
        if !PRIORITY_RANGE.contains(&self.priority) {
            return Err(invalid("priority", "must lie between -100 and 100".into()));
        }
        if self.max_attempts < 1 {
            return Err(invalid("max_attempts", "must be at least 1".into()));
        }
        for (field, key) in [
            ("idempotency_key", &self.idempotency_key),
            ("unique_key", &self.unique_key),
            ("request_id", &self.request_id),
        ] {
            let Some(key) = key else { continue };
            if key.is_empty() || key.len() > MAX_KEY_BYTES || key.chars().any(char::is_control) {
                return Err(invalid(
                    field,
                    format!("must have 1 to {MAX_KEY_BYTES} bytes and no control characters"),
                ));
            }
        }
        if let Some(run_at) = self.run_at
            && (run_at > now + chrono::Duration::days(MAX_AHEAD_DAYS)
                || run_at < now - chrono::Duration::days(MAX_AHEAD_DAYS))
        {
            return Err(invalid("run_at", format!("must lie within {MAX_AHEAD_DAYS} days of now")));
        }
        if let Some(deadline) = self.deadline_at {
            if deadline <= now {
                return Err(invalid("deadline_at", "must lie in the future".into()));
            }
            if self.run_at.is_some_and(|run_at| deadline <= run_at) {
                return Err(invalid("deadline_at", "must lie after run_at".into()));
            }
        }
        for next in &self.successors {
            if next.org_id != self.org_id {
                return Err(invalid(
                    "org_id",
                    "a successor belongs to its predecessor's organisation".into(),
                ));
            }
            next.check(now)?;
        }
        Ok(())
    }

    /// SHA-256 of kind, version and payload text: what an idempotency key is bound to.
    #[must_use]
    pub fn payload_hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.kind.as_bytes());
        hash.update([0]);
        hash.update(self.kind_version.to_be_bytes());
        hash.update(self.payload.get().as_bytes());
        hash.finalize().into()
    }

    /// Where the job stands in its lane among those of its organisation: lower is sooner.
    /// Priority first, then age; exact in an `f64` until the year 2200.
    #[must_use]
    pub fn score(priority: i16, ready_at: DateTime<Utc>) -> i64 {
        (100 - i64::from(priority)) * (1 << 43) + ready_at.timestamp_millis().max(0)
    }
}

fn invalid(field: &'static str, problem: String) -> EnqueueError {
    EnqueueError::Invalid { field, problem }
}

/// What became of one enqueued job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Enqueued {
    /// The job's id: the new one, or that of the job that was already there.
    pub job_id: JobId,
    /// False when an idempotency or unique key led to an existing job.
    pub created: bool,
}
