//! One kind with its type erased: its policies, its schema, and functions over payload text.
//!
//! Refuses kinds that contradict themselves. Never repeats what a decoder says: its words hold values.

use std::borrow::Cow;
use std::sync::Arc;

use domain::{Done, JobError, LimitUse};
use futures::future::BoxFuture;
use queue::KindPolicy;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::registry::{KindInfo, RegistryError, RetryInfo};
use crate::schema::{Misfit, PayloadSchema};
use crate::{Ctx, Job};

/// One kind with its type erased.
pub(crate) struct Entry {
    pub(crate) kind: Arc<str>,
    pub(crate) lane: Arc<str>,
    /// The policy at the newest version.
    pub(crate) newest: KindPolicy,
    /// The policies at the older versions it takes, oldest first.
    pub(crate) older: Vec<KindPolicy>,
    pub(crate) schema: PayloadSchema,
    summary: &'static str,
    pub(crate) on_request: bool,
    /// Decodes and answers the derived key.
    pub(crate) fits: fn(&str) -> Result<Option<String>, Misfit>,
    pub(crate) upgrade: fn(i16, Value) -> Option<Value>,
    pub(crate) limits: fn(&str) -> Vec<LimitUse>,
    pub(crate) start: for<'a> fn(&str, &'a Ctx) -> Result<Running<'a>, Misfit>,
}

/// A job that runs.
pub(crate) type Running<'a> = BoxFuture<'a, Result<Done, JobError>>;

impl Entry {
    pub(crate) fn of<J: Job>() -> Result<Self, RegistryError> {
        if !is_kind_name(J::KIND) {
            return Err(RegistryError::Name(J::KIND));
        }
        let problem = if J::SINCE < 1 || J::SINCE > J::VERSION {
            Some("SINCE must lie between 1 and VERSION")
        } else if J::RETRY.max_attempts < 1 {
            Some("RETRY must allow at least one attempt")
        } else if J::TIMEOUT.is_zero() {
            Some("TIMEOUT must be longer than nothing")
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(RegistryError::Policy { kind: J::KIND, problem });
        }
        let schema =
            PayloadSchema::of::<J>().map_err(|problem| RegistryError::Schema { kind: J::KIND, problem })?;
        let policy = |version| KindPolicy {
            kind: J::KIND,
            version,
            lane: J::LANE,
            effect: J::EFFECT,
            retry: J::RETRY,
            timeout: J::TIMEOUT,
            retention_days: J::RETENTION_DAYS.unwrap_or_else(|| J::EFFECT.retention_days()),
        };
        Ok(Self {
            kind: J::KIND.into(),
            lane: J::LANE.into(),
            newest: policy(J::VERSION),
            older: (J::SINCE..J::VERSION).map(policy).collect(),
            schema,
            summary: J::SUMMARY,
            on_request: J::ON_REQUEST,
            fits: |text| decode::<J>(text).map(|job| job.derived_key()),
            upgrade: J::upgrade,
            limits: |text| serde_json::from_str::<J>(text).map(|job| job.limits()).unwrap_or_default(),
            start: |text, ctx| {
                let job = decode::<J>(text)?;
                Ok(Box::pin(job.run(ctx)))
            },
        })
    }

    pub(crate) fn since(&self) -> i16 {
        self.older.first().unwrap_or(&self.newest).version
    }

    pub(crate) fn takes(&self, version: i16) -> bool {
        self.policy(version).is_some()
    }

    pub(crate) fn policy(&self, version: i16) -> Option<&KindPolicy> {
        if version == self.newest.version {
            return Some(&self.newest);
        }
        self.older.iter().find(|policy| policy.version == version)
    }

    /// The payload's text at the newest version.
    pub(crate) fn current<'p>(&self, version: i16, payload: &'p RawValue) -> Option<Cow<'p, str>> {
        if version == self.newest.version {
            return Some(Cow::Borrowed(payload.get()));
        }
        let value = serde_json::from_str(payload.get()).ok()?;
        let value = (self.upgrade)(version, value)?;
        Some(Cow::Owned(value.to_string()))
    }

    /// What a job with such a payload dies of.
    pub(crate) fn invalid(&self, text: &str, misfit: &Misfit) -> JobError {
        let mut errors =
            serde_json::from_str(text).map(|value| self.schema.check(&value)).unwrap_or_default();
        if errors.is_empty() {
            errors.push(self.schema.explain_misfit(misfit));
        }
        let told: Vec<_> = errors
            .iter()
            .take(3)
            .map(|error| {
                format!("{} {}", if error.pointer.is_empty() { "it" } else { &error.pointer }, error.message)
            })
            .collect();
        JobError::fail("payload_invalid", format_args!("the payload does not fit: {}", told.join("; ")))
    }

    pub(crate) fn info(&self) -> KindInfo {
        let KindPolicy { kind, version, lane, effect, retry, timeout, retention_days } = self.newest;
        let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        KindInfo {
            kind,
            summary: self.summary,
            version,
            oldest_version: self.since(),
            lane,
            effect,
            replay_needs: effect.replay_needs(),
            timeout_ms: ms(timeout),
            retry: RetryInfo {
                max_attempts: retry.max_attempts,
                base_ms: ms(retry.base),
                factor: retry.factor,
                cap_ms: ms(retry.cap),
            },
            retention_days,
            schema: self.schema.json().clone(),
        }
    }
}

/// Decodes a payload; the slow way only to find out where it failed.
fn decode<J: Job>(text: &str) -> Result<J, Misfit> {
    serde_json::from_str(text).map_err(|_| {
        let mut reader = serde_json::Deserializer::from_str(text);
        let pointer = match serde_path_to_error::deserialize::<_, J>(&mut reader) {
            Ok(_) => String::new(),
            Err(error) => pointer(error.path()),
        };
        Misfit { pointer }
    })
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")));
            }
            // A variant's name is no place in the text, and beyond the unknown no place is sure.
            Segment::Enum { .. } => {}
            Segment::Unknown => break,
        }
    }
    pointer
}

fn is_kind_name(name: &str) -> bool {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    name.len() <= 64 && name.contains('.') && name.split('.').all(word)
}
