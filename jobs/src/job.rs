//! What a job kind is: a payload type with its policy and its run, in one place.
//!
//! Refuses defaults where a default would be a guess: effect, timeout and summary are always said.

use std::time::Duration;

use domain::{Done, EffectClass, JobError, LimitUse, RetryPolicy};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Ctx;

/// One kind of work. The implementing type is the payload of its newest version.
///
/// Give the payload `#[serde(deny_unknown_fields)]`, so that a misspelt field is refused at the door,
/// and mark fields that must not be shown with `#[schemars(extend("x-redact" = true))]`
/// (or `"x-redact" = "url"` to keep a URL's origin visible).
pub trait Job: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// `area.verb_object`, such as `payouts.send_transfer`. Never renamed: deprecated and drained.
    const KIND: &'static str;
    /// Newest payload version; raise it when older payloads no longer decode.
    const VERSION: i16 = 1;
    /// Oldest payload version that [`Job::upgrade`] still takes.
    const SINCE: i16 = Self::VERSION;
    /// The lane its jobs use unless the caller names another.
    const LANE: &'static str = "default";
    /// What it does to the world; sets what a replay needs and how long it is kept.
    const EFFECT: EffectClass;
    /// How it is tried again.
    const RETRY: RetryPolicy = RetryPolicy::STANDARD;
    /// Longest run of one attempt.
    const TIMEOUT: Duration;
    /// Days its finished jobs are kept, where its effect class's default does not fit.
    const RETENTION_DAYS: Option<u16> = None;
    /// Whether callers may ask for it by its name. False where only our own code makes such jobs: who may run one
    /// is checked where it is made, and naming the kind must be no way around that.
    const ON_REQUEST: bool = true;
    /// One sentence for the catalogue: what it does.
    const SUMMARY: &'static str;

    /// The shared limits a job draws on before it runs.
    fn limits(&self) -> Vec<LimitUse> {
        Vec::new()
    }

    /// An idempotency key derived from the payload, used when the caller gives none.
    fn derived_key(&self) -> Option<String> {
        None
    }

    /// A payload of version `from` (in `SINCE..VERSION`) as the newest version would have it, or none
    /// when it can't be told.
    ///
    /// Must be deterministic: a repeated request is recognised by its upgraded payload.
    fn upgrade(from: i16, payload: Value) -> Option<Value> {
        let _ = (from, payload);
        None
    }

    /// Does the work. May be called again after a crash at any point: effects must bear repeating.
    fn run(self, ctx: &Ctx) -> impl Future<Output = Result<Done, JobError>> + Send;
}
