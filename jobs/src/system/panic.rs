//! `system.panic`: panics. Shows that a worker outlives a broken handler.

use std::time::Duration;

use domain::{Done, EffectClass, JobError, RetryPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Ctx, Job};

/// Payload of `system.panic`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Panic {
    /// What to panic with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1_000))]
    pub message: Option<String>,
}

impl Job for Panic {
    const KIND: &'static str = "system.panic";
    const EFFECT: EffectClass = EffectClass::Read;
    // A drill has shown what it shows after one attempt; a caller may ask for more.
    const RETRY: RetryPolicy = RetryPolicy::NEVER;
    const TIMEOUT: Duration = Duration::from_secs(10);
    const SUMMARY: &'static str = "Panics, to show that the worker goes on.";

    #[allow(clippy::panic, reason = "it is what this kind is for")]
    async fn run(self, _ctx: &Ctx) -> Result<Done, JobError> {
        panic!("{}", self.message.as_deref().unwrap_or("asked to by system.panic"))
    }
}
