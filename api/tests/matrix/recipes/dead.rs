//! Dead letters.

use serde_json::json;

use super::{About, Bound, Recipe};
use crate::call::Call;

pub(super) fn recipes() -> Vec<Recipe> {
    vec![
        Recipe::new("GET /v1/dead", About::Many(Bound::Private), |s| {
            Box::pin(async {
                let id = s.dead_letter().await;
                Call::plain().asking(format!("error_code={id}")).shows(format!("\"job_id\":\"{id}\""))
            })
        }),
        Recipe::new("GET /v1/dead/groups", About::Many(Bound::Private), |s| {
            Box::pin(async {
                let (id, another) = (s.dead_letter().await, s.dead_letter().await);
                // At most 200 causes are told, the most frequent first: this one shall be among them.
                sqlx::query("UPDATE job_history SET error_code = $1::text WHERE job_id = $2")
                    .bind(id)
                    .bind(another)
                    .execute(s.world.app.db.superuser())
                    .await
                    .unwrap();
                Call::plain().shows(id)
            })
        }),
        Recipe::new("POST /v1/dead/replay", About::Many(Bound::Private), |s| {
            Box::pin(async {
                let filter = json!({ "error_code": s.dead_letter().await });
                Call::with(json!({ "filter": filter, "dry_run": false })).shows("\"replayed\":1")
            })
        }),
        Recipe::new("POST /v1/dead/discard", About::Many(Bound::Private), |s| {
            Box::pin(async {
                let filter = json!({ "error_code": s.dead_letter().await });
                Call::with(json!({ "filter": filter, "reason": "no use", "dry_run": false }))
                    .shows("\"discarded\":1")
            })
        }),
        Recipe::new("POST /v1/dead/{job_id}/replay", About::One(Bound::Private), |s| {
            Box::pin(async { Call::at(s.dead_letter().await) })
        }),
        Recipe::new("POST /v1/dead/{job_id}/discard", About::One(Bound::Private), |s| {
            Box::pin(async { Call::at(s.dead_letter().await).and_with(json!({ "reason": "no use" })) })
        }),
    ]
}
