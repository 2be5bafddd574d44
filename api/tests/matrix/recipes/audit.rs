//! The audit log.

use uuid::Uuid;

use super::{About, Bound, Recipe, Setting, plain};
use crate::call::Call;

impl Setting<'_> {
    /// An entry about something in the room, whose subject is named by the entry's id.
    async fn entry(&self) -> Uuid {
        self.made(
            "INSERT INTO audit_entry (entry_id, org_id, at, standing, action, subject_kind, subject_id, workspace_id, content)
             SELECT $1, $2, now(), 'system', 'job.cancel', 'job', $1::text, $3, '{}' WHERE $4::uuid IS NULL",
        )
        .await
    }
}

pub(super) fn recipes() -> Vec<Recipe> {
    vec![
        Recipe::new("GET /v1/audit", About::Many(Bound::Room), |s| {
            Box::pin(async {
                let id = s.entry().await;
                Call::plain().asking(format!("subject_id={id}")).shows(format!("\"{id}\""))
            })
        }),
        Recipe::new("GET /v1/audit/{entry_id}", About::One(Bound::Room), |s| {
            Box::pin(async { Call::at(s.entry().await) })
        }),
        Recipe::new("GET /v1/audit/export", About::Many(Bound::Room), |s| {
            Box::pin(async {
                let id = s.entry().await;
                Call::plain().asking(format!("format=csv&subject_id={id}")).shows(id)
            })
        }),
        Recipe::new("GET /v1/audit/checkpoints", About::Nothing, plain),
        Recipe::new("POST /v1/audit/verify", About::Nothing, |s| {
            Box::pin(async {
                // One that waits is answered to whoever asks next, and is what the log tells already.
                sqlx::query("DELETE FROM job_unique WHERE kind = 'audit.verify'")
                    .execute(s.world.app.db.superuser())
                    .await
                    .unwrap();
                Call::plain()
            })
        }),
    ]
}
