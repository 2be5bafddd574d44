//! `system.noop`: does nothing, as fast as it can. What the benchmark drains.

use std::time::Duration;

use domain::{Done, EffectClass, JobError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Ctx, Job};

/// Payload of `system.noop`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Noop {
    /// Ballast, to give the payload a size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad: Option<String>,
}

impl Job for Noop {
    const KIND: &'static str = "system.noop";
    const EFFECT: EffectClass = EffectClass::Read;
    const TIMEOUT: Duration = Duration::from_secs(10);
    const SUMMARY: &'static str = "Does nothing; measures what a job costs.";

    async fn run(self, _ctx: &Ctx) -> Result<Done, JobError> {
        Ok(Done::quiet())
    }
}
