//! The content of an approval: written once as the text that is hashed, read back for showing.

use chrono::{DateTime, Utc};
use queue::NewJob;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::Problem;
use crate::state::Api;

/// Largest evidence, in bytes of JSON text.
const MAX_EVIDENCE_BYTES: usize = 64 * 1024;

/// An amount of money.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Amount {
    /// In minor units: cents, paisa.
    #[schema(minimum = 0, example = 125_000)]
    pub(super) minor: i64,
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub(super) currency: String,
}

/// What an approver is told besides the job itself.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) summary: String,
    pub(crate) evidence: Option<Box<RawValue>>,
    pub(crate) amount: Option<Amount>,
}

/// The text that is hashed. Read by the database too: see `migrations/0007_approvals.sql`.
#[derive(Serialize)]
struct Written<'a> {
    summary: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_minor: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<&'a RawValue>,
    job: &'a NewJob,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    evidence: Option<Value>,
    #[serde(default)]
    job: Option<NewJob>,
}

impl Case {
    /// The content's text for one job.
    pub(crate) fn with(&self, job: &NewJob) -> Result<Box<RawValue>, Problem> {
        self.check()?;
        if job.private_to.is_some() {
            return Err(Problem::field(
                "/job/private",
                "must be left out or false: whoever decides has to see the job",
            ));
        }
        to_raw_value(&Written {
            summary: &self.summary,
            amount_minor: self.amount.as_ref().map(|amount| amount.minor),
            currency: self.amount.as_ref().map(|amount| amount.currency.as_str()),
            evidence: self.evidence.as_deref(),
            job,
        })
        .map_err(Problem::internal)
    }

    fn check(&self) -> Result<(), Problem> {
        let chars = self.summary.chars().count();
        if self.summary.trim().is_empty() || chars > 500 || self.summary.contains('\0') {
            return Err(Problem::field("/summary", "must have 1 to 500 characters and no U+0000"));
        }
        if let Some(Amount { minor, currency }) = &self.amount {
            if *minor < 0 {
                return Err(Problem::field("/amount/minor", "must not be negative"));
            }
            if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
                return Err(Problem::field("/amount/currency", "must be three capital letters, such as EUR"));
            }
        }
        if let Some(evidence) = &self.evidence {
            let text = evidence.get();
            if text.len() > MAX_EVIDENCE_BYTES {
                let message = format!(
                    "has {} bytes; at most {MAX_EVIDENCE_BYTES} are allowed: send references",
                    text.len()
                );
                return Err(Problem::field("/evidence", message));
            }
            if text.contains("\\u0000") {
                return Err(Problem::field("/evidence", "must not contain the character U+0000"));
            }
            // Taken as text so far: what can't be read as a whole could not be shown either.
            if serde_json::from_str::<Value>(text).is_err() {
                return Err(Problem::field(
                    "/evidence",
                    "can't be read as JSON: too deep, or a number without a value",
                ));
            }
        }
        Ok(())
    }
}

/// A job as an approver sees it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownJob {
    /// The id it has or will have.
    job_id: Uuid,
    /// What it does.
    kind: String,
    /// Its payload's version.
    version: i16,
    /// Where it waits.
    lane: String,
    /// Higher is taken sooner.
    priority: i16,
    /// Attempts in all.
    max_attempts: i16,
    /// Not before this; at once when none.
    run_at: Option<DateTime<Utc>>,
    /// Expires unrun after this.
    deadline_at: Option<DateTime<Utc>>,
    /// The caller's key.
    idempotency_key: Option<String>,
    /// What it does it with; hidden values read `••••`.
    payload: Value,
    /// Jobs that follow when it succeeds.
    #[schema(no_recursion)]
    then: Vec<ShownJob>,
}

impl ShownJob {
    fn of(api: &Api, job: &NewJob) -> Result<Self, Problem> {
        let payload = serde_json::from_str(job.payload.get()).map_err(Problem::internal)?;
        Ok(Self {
            job_id: job.job_id.0,
            kind: job.kind.to_string(),
            version: job.kind_version,
            lane: job.lane.to_string(),
            priority: job.priority,
            max_attempts: job.max_attempts,
            run_at: job.run_at,
            deadline_at: job.deadline_at,
            idempotency_key: job.idempotency_key.clone(),
            payload: api.registry().redact(&job.kind, job.kind_version, &payload),
            then: job.successors.iter().map(|next| Self::of(api, next)).collect::<Result<_, _>>()?,
        })
    }
}

/// Evidence and job of a stored content.
pub(super) fn shown(api: &Api, content: &str) -> Result<(Option<Value>, Option<ShownJob>), Problem> {
    let stored: Stored = serde_json::from_str(content).map_err(Problem::internal)?;
    let job = stored.job.as_ref().map(|job| ShownJob::of(api, job)).transpose()?;
    Ok((stored.evidence, job))
}

/// The job of a stored content.
pub(super) fn job_of(content: &str) -> Result<Option<NewJob>, Problem> {
    Ok(serde_json::from_str::<Stored>(content).map_err(Problem::internal)?.job)
}

/// Reads a content hash as callers repeat it.
pub(super) fn hash_of(text: &str) -> Result<[u8; 32], Problem> {
    let wrong = || Problem::field("/content_hash", "must be the 64 hex digits that the approval shows");
    let mut hash = [0; 32];
    // Digits only: the parser below would also take a sign.
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).map_err(|_| wrong())?;
    }
    Ok(hash)
}

/// A content hash as callers see it.
pub(super) fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_comes_back_as_it_was_written() {
        let hash: [u8; 32] = std::array::from_fn(|at| (at * 7) as u8);
        assert_eq!(hash_of(&hex(&hash)).unwrap(), hash);
        for text in ["", "00", &"g".repeat(64), &"0".repeat(63), &"+0".repeat(32), &"é".repeat(32)] {
            assert!(hash_of(text).is_err(), "{text}");
        }
    }
}
