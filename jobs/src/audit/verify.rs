//! `audit.verify`: follows the organisation's audit log from its first entry to its last.
//!
//! What it finds is its result, also when that is tampering: the job did its work. Refuses to judge by
//! checkpoints kept elsewhere; whoever has them uses `countersign audit verify --checkpoints`.

use std::time::Duration;

use domain::{Done, EffectClass, JobError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::audit::{self, Report};

use crate::{Ctx, Job};

/// Problems the result tells in full; it counts the others.
const TOLD: usize = 50;

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
        let keys = &ctx.ports.audit_keys;
        let check = |id: &str, message: &[u8], signature: &[u8]| keys.check(id, message, signature);
        let check: Option<&audit::CheckSignature<'_>> = if keys.any() { Some(&check) } else { None };
        let verifying = audit::verify(ctx.store(), ctx.job.org_id, Vec::new(), check, &progress);
        tokio::select! {
            () = ctx.cancelled() => Err(ctx.stopped()),
            report = verifying => match report {
                Ok(report) => Ok(Done::with(summary(report))),
                Err(why) => Err(JobError::retry("audit_unreadable", why)),
            }
        }
    }
}

fn summary(mut report: Report) -> Value {
    report.problems.truncate(TOLD);
    let sentence = match (report.intact, report.problems_total) {
        (true, _) => format!("{} entries, nothing was changed", report.links),
        (false, 1) => "1 thing is not as it was written".to_owned(),
        (false, found) => format!("{found} things are not as they were written"),
    };
    json!({ "intact": report.intact, "summary": sentence, "report": report })
}
