//! `audit.verify`: follows the organisation's audit log from its first entry to its last.
//!
//! What it finds is its result, also when that is tampering: the job did its work. Refuses to judge by
//! checkpoints kept elsewhere; whoever has them uses `countersign audit verify --checkpoints`.

use std::time::Duration;

use domain::{Done, EffectClass, JobError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Ctx, Job};

/// Payload of `audit.verify`: nothing; the log is that of the job's organisation.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyLog {}

impl Job for VerifyLog {
    const KIND: &'static str = "audit.verify";
    const LANE: &'static str = "reports";
    const EFFECT: EffectClass = EffectClass::Read;
    const TIMEOUT: Duration = Duration::from_secs(3600);
    const RETENTION_DAYS: Option<u16> = Some(365);
    const SUMMARY: &'static str =
        "Looks through the organisation's audit log: every hash, every column, every checkpoint.";

    async fn run(self, ctx: &Ctx) -> Result<Done, JobError> {
        let progress = |done: u64, total: u64| ctx.progress(done, total);
        tokio::select! {
            () = ctx.cancelled() => Err(ctx.stopped()),
            report = ctx.ports.audit.verify(ctx.job.org_id, &progress) => match report {
                Ok(report) => Ok(Done::with(report)),
                Err(why) => Err(JobError::retry("audit_unreadable", why)),
            }
        }
    }
}
