//! `POST /v1/dead/discard`: all dead letters that fit a filter are set aside.

use axum::Json;
use axum::extract::State;
use queue::ops;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Tx;
use store::audit::Entry;
use utoipa::ToSchema;

use super::filter::DeadLetterFilter;
use super::replay_many::MOST;
use crate::auth::{Caller, DeadWrite};
use crate::input::Json as Body;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::check_reason;
use crate::state::Api;

/// Which, why, and whether in earnest.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiscardManyRequest {
    /// Which dead letters.
    #[serde(default)]
    filter: DeadLetterFilter,
    /// Kept with each job.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
    /// Only say how many; true when left out.
    #[serde(default = "yes")]
    #[schema(default = true)]
    dry_run: bool,
}

fn yes() -> bool {
    true
}

/// What was, or would be, set aside.
#[derive(Serialize, ToSchema)]
pub(crate) struct DiscardReport {
    /// Whether nothing was done.
    dry_run: bool,
    /// Dead letters that fit.
    total: i64,
    /// Set aside by this request; 0 in a dry run.
    discarded: u64,
    /// Left because one request discards at most 10,000: send it again.
    remaining: i64,
}

/// Discard many dead letters
///
/// A dry run unless `dry_run` is false.
#[utoipa::path(
    post,
    path = "/v1/dead/discard",
    tag = "dead letters",
    operation_id = "discardDeadLetters",
    security(("token" = ["dead:write"])),
    request_body = DiscardManyRequest,
    responses((status = 200, description = "What was, or would be, set aside.", body = DiscardReport), Changes),
)]
pub(crate) async fn discard_many(
    State(api): State<Api>,
    caller: Caller<DeadWrite>,
    Body(request): Body<DiscardManyRequest>,
) -> Result<Json<DiscardReport>, Problem> {
    let reason = check_reason(&request.reason)?;
    let actor = &caller.actor;
    let told = json!(request.filter);
    let filter = request.filter.checked()?;
    let mut tx = Tx::for_actor(api.store(), actor).await?;
    let counts = ops::dead::count(tx.conn(), actor.org_id, &filter).await?;
    let total: i64 = counts.iter().map(|(_, count)| count).sum();
    let mut discarded = 0;
    if !request.dry_run {
        discarded =
            ops::dead::discard_where(tx.conn(), actor.org_id, &filter, Some(actor.actor_id), reason, MOST)
                .await?;
        let entry = Entry::new("dead.discard", "dead_letters", "many")
            .workspace(actor.workspaces.sole())
            .before(json!({ "filter": told, "total": total }))
            .after(json!({ "discarded": discarded }));
        tx.record(entry.reason(reason)).await?;
        tx.commit().await?;
    }
    Ok(Json(DiscardReport {
        dry_run: request.dry_run,
        total,
        discarded,
        remaining: (total - i64::try_from(discarded).unwrap_or(total)).max(0),
    }))
}
