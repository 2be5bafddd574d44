//! `system.slow`: takes its time, reports progress, stops when told to.

use std::time::Duration;

use domain::{Done, EffectClass, JobError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Ctx, Job};

/// Longest time that can be asked for.
const MAX_DURATION_MS: u64 = 600_000;

/// Payload of `system.slow`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// How long to take, in milliseconds.
    #[schemars(range(max = MAX_DURATION_MS))]
    pub duration_ms: u64,
    /// In how many steps; progress is reported after each.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1_000))]
    pub steps: u32,
}

fn ten() -> u32 {
    10
}

impl Job for Slow {
    const KIND: &'static str = "system.slow";
    const EFFECT: EffectClass = EffectClass::Read;
    const TIMEOUT: Duration = Duration::from_millis(MAX_DURATION_MS + 60_000);
    const SUMMARY: &'static str = "Takes the time it is given, in steps; can be cancelled.";

    async fn run(self, ctx: &Ctx) -> Result<Done, JobError> {
        let steps = self.steps.max(1);
        let total = Duration::from_millis(self.duration_ms);
        let started = tokio::time::Instant::now();
        for step in 1..=steps {
            // Measured from the start, so that rounding of the timer does not add up.
            let due = started + total * step / steps;
            tokio::select! {
                () = ctx.cancelled() => return Err(ctx.stopped()),
                () = tokio::time::sleep_until(due) => {}
            }
            ctx.progress(u64::from(step), u64::from(steps));
        }
        Ok(Done::with(json!({ "steps": steps })))
    }
}
