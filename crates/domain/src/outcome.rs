//! How a run of a job ends. A failure states its decision: retry, retry after, fail, or snooze.
//!
//! There is no blanket conversion from other errors: somebody decided each failure.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A run that went well, with what it leaves behind.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Kept with the finished job and shown to people; no secrets.
    pub result: Option<Value>,
}

impl Done {
    /// Done, with nothing to say.
    #[must_use]
    pub fn quiet() -> Self {
        Self::default()
    }

    /// Done, with a result to keep.
    #[must_use]
    pub fn with(result: Value) -> Self {
        Self { result: Some(result) }
    }
}

/// What a parked job waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitReason {
    /// The sort of thing: `limit`, `budget`, `approval`, `send_window`, …
    pub what: String,
    /// Which one.
    pub key: String,
}

/// Why a run did not succeed, and what shall happen now.
#[derive(Clone, Debug)]
pub enum JobError {
    /// Try again by the kind's policy, or after `after` when the other side named a time.
    Retry {
        /// Short, stable, snake_case: dead letters are grouped by it.
        code: String,
        /// For people; no secrets.
        message: String,
        /// Not before this, when the other side said so.
        after: Option<Duration>,
    },
    /// Permanent: straight to the dead letters.
    Fail {
        /// Short, stable, snake_case.
        code: String,
        /// For people; no secrets.
        message: String,
    },
    /// Not a failure: wait for something nameable. Uses no attempt.
    Snooze {
        /// What it waits for.
        reason: WaitReason,
        /// When to look again.
        until: DateTime<Utc>,
    },
}

impl JobError {
    /// Try again by the kind's retry policy.
    pub fn retry(code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::Retry { code: code.into(), message: message.to_string(), after: None }
    }

    /// Try again, not before `after` has passed.
    pub fn retry_after(code: impl Into<String>, message: impl fmt::Display, after: Duration) -> Self {
        Self::Retry { code: code.into(), message: message.to_string(), after: Some(after) }
    }

    /// Never try again by itself.
    pub fn fail(code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::Fail { code: code.into(), message: message.to_string() }
    }

    /// Wait for `what`/`key` until `until`, without using an attempt.
    pub fn snooze(what: impl Into<String>, key: impl Into<String>, until: DateTime<Utc>) -> Self {
        Self::Snooze { reason: WaitReason { what: what.into(), key: key.into() }, until }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { code, message, .. } | Self::Fail { code, message } => {
                write!(f, "{code}: {message}")
            }
            Self::Snooze { reason, until } => {
                write!(f, "waits for {} {} until {until}", reason.what, reason.key)
            }
        }
    }
}

impl std::error::Error for JobError {}
