//! The audit log, looked through in the background.

mod verify;

use domain::OrgId;
use domain::ports::PortFuture;
use serde_json::Value;

pub use verify::VerifyLog;

/// Hears how many of how many links are done.
pub type VerifyProgress<'a> = dyn Fn(u64, u64) + Send + Sync + 'a;

/// Looks through an organisation's audit log.
pub trait AuditVerifier: Send + Sync + 'static {
    /// Answers the report as JSON, with `intact` and what was found. The error is a sentence: the log could
    /// not be read to its end, and trying again may help.
    fn verify<'a>(
        &'a self,
        org: OrgId,
        progress: &'a VerifyProgress<'a>,
    ) -> PortFuture<'a, Result<Value, String>>;
}
