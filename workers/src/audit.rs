//! The audit log behind the port that jobs see.

use domain::OrgId;
use domain::ports::PortFuture;
use jobs::audit::{AuditVerifier, VerifyProgress};
use serde_json::{Value, json};
use store::Store;
use store::audit::{self, Report};
use vault::CheckpointPublicKey;

/// Problems a job's result tells in full; it counts the others.
const TOLD: usize = 50;

/// Looks through the log as the app, and checks signatures where a public key is configured.
pub struct AuditPort {
    store: Store,
    key: Option<CheckpointPublicKey>,
}

impl AuditPort {
    /// A port to this store.
    #[must_use]
    pub fn new(store: Store, key: Option<CheckpointPublicKey>) -> Self {
        Self { store, key }
    }
}

impl AuditVerifier for AuditPort {
    fn verify<'a>(
        &'a self,
        org: OrgId,
        progress: &'a VerifyProgress<'a>,
    ) -> PortFuture<'a, Result<Value, String>> {
        Box::pin(async move {
            let check = self.key.as_ref().map(|key| {
                move |id: &str, message: &[u8], signature: &[u8]| {
                    (id == key.id()).then(|| key.verify(message, signature))
                }
            });
            let check = check.as_ref().map(|check| check as &audit::CheckSignature<'_>);
            let report = audit::verify(&self.store, org, Vec::new(), check, &|done, total| progress(done, total));
            report.await.map(summary).map_err(|error| error.to_string())
        })
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
