//! `system.echo`: returns its message. The shortest way to see a job go through.

use std::time::Duration;

use domain::{Done, EffectClass, JobError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Ctx, Job};

/// Payload of `system.echo`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Echo {
    /// What to say back.
    #[schemars(length(max = 10_000))]
    pub message: String,
}

impl Job for Echo {
    const KIND: &'static str = "system.echo";
    const EFFECT: EffectClass = EffectClass::Read;
    const TIMEOUT: Duration = Duration::from_secs(10);
    const SUMMARY: &'static str = "Returns its message as the job's result.";

    async fn run(self, _ctx: &Ctx) -> Result<Done, JobError> {
        Ok(Done::with(json!({ "message": self.message })))
    }
}
