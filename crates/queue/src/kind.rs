//! What the engine needs to know of a job kind, told by whoever knows the kinds.

use std::time::Duration;

use domain::{EffectClass, LimitUse, RetryPolicy};
use serde_json::value::RawValue;

/// The policy of one kind at one payload version.
#[derive(Clone, Debug)]
pub struct KindPolicy {
    /// The kind's name, such as `webhooks.deliver`; never renamed.
    pub kind: &'static str,
    /// Payload version it takes.
    pub version: i16,
    /// The lane its jobs use unless the caller names another.
    pub lane: &'static str,
    /// What it does to the world.
    pub effect: EffectClass,
    /// How it is tried again.
    pub retry: RetryPolicy,
    /// Longest run of one attempt.
    pub timeout: Duration,
    /// Days its finished jobs are kept.
    pub retention_days: u16,
}

/// Knows every kind this process can run.
pub trait KindBook: Send + Sync + 'static {
    /// The policy for `kind` at `version`, or none when no handler takes it.
    fn policy(&self, kind: &str, version: i16) -> Option<&KindPolicy>;

    /// The limits a job draws on. A payload that can't be read draws on none: its handler will say why.
    fn limits(&self, kind: &str, version: i16, payload: &RawValue) -> Vec<LimitUse>;

    /// Every policy, for retention and listings.
    fn all(&self) -> Vec<&KindPolicy>;
}
