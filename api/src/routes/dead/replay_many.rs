//! `POST /v1/dead/replay`: all dead letters that fit a filter, after a dry run.

use axum::Json;
use axum::extract::State;
use domain::EffectClass;
use domain::effect::ReplayNeeds;
use queue::ops;
use queue::ops::dead::DeadFilter;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Tx;
use store::audit::Entry;
use utoipa::ToSchema;

use super::effects::{self, effect_of, needs};
use super::filter::DeadLetterFilter;
use crate::auth::{Caller, DeadWrite};
use crate::input::Json as Body;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::state::Api;

/// Most jobs replayed by one request.
pub(super) const MOST: i64 = 10_000;

/// Most job ids written into the audit log for one request; the jobs' own timelines name the rest.
const NAMED: usize = 500;

/// Which, and whether in earnest.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayManyRequest {
    /// Which dead letters.
    #[serde(default)]
    filter: DeadLetterFilter,
    /// Only say what would happen; true when left out.
    #[serde(default = "yes")]
    #[schema(default = true)]
    dry_run: bool,
    /// Needed when kinds are among them that reach people or systems outside.
    #[serde(default)]
    confirm: bool,
}

fn yes() -> bool {
    true
}

/// What was, or would be, replayed.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReplayReport {
    /// Whether nothing was done.
    dry_run: bool,
    /// Dead letters that fit.
    total: i64,
    /// Dead letters that fit, by kind.
    kinds: Vec<ReplayKind>,
    /// Replayed by this request; 0 in a dry run.
    replayed: u64,
    /// Left because one request replays at most 10,000: send it again.
    remaining: i64,
}

/// Dead letters of one kind.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReplayKind {
    kind: String,
    count: i64,
    /// What a replay would do to the world; none when this program does not know the kind.
    effect: Option<EffectClass>,
    /// What a replay needs.
    replay_needs: ReplayNeeds,
}

/// Replay many dead letters
///
/// A dry run unless `dry_run` is false. When any of the kinds moves money, nothing is replayed.
#[utoipa::path(
    post,
    path = "/v1/dead/replay",
    tag = "dead letters",
    operation_id = "replayDeadLetters",
    security(("token" = ["dead:write"])),
    request_body = ReplayManyRequest,
    responses((status = 200, description = "What was, or would be, replayed.", body = ReplayReport), Changes),
)]
pub(crate) async fn replay_many(
    State(api): State<Api>,
    caller: Caller<DeadWrite>,
    Body(request): Body<ReplayManyRequest>,
) -> Result<Json<ReplayReport>, Problem> {
    let actor = &caller.actor;
    let told = json!(request.filter);
    let filter = request.filter.checked()?;
    let mut tx = Tx::for_actor(api.store(), actor).await?;
    let kinds: Vec<ReplayKind> = ops::dead::count(tx.conn(), actor.org_id, &filter)
        .await?
        .into_iter()
        .map(|(kind, count)| {
            let effect = effect_of(&api, &kind, None);
            ReplayKind { kind, count, effect, replay_needs: needs(effect) }
        })
        .collect();
    let total: i64 = kinds.iter().map(|kind| kind.count).sum();
    let mut report = ReplayReport { dry_run: request.dry_run, total, kinds, replayed: 0, remaining: total };
    if request.dry_run {
        return Ok(Json(report));
    }
    // The most dangerous first, so that the refusal names what can't be mended by a confirmation.
    let mut order: Vec<&ReplayKind> = report.kinds.iter().collect();
    order.sort_by_key(|kind| std::cmp::Reverse(kind.replay_needs as u8));
    for kind in &order {
        effects::check(kind.effect, &kind.kind, request.confirm)?;
        api.guards().check(actor.org_id, &kind.kind)?;
    }
    // Kind by kind: a dead letter of another kind that arrives meanwhile was not asked about.
    let mut afters = Vec::new();
    let mut replayed = 0;
    for kind in &order {
        let left = MOST - i64::try_from(replayed).unwrap_or(MOST);
        if left <= 0 {
            break;
        }
        let filter = DeadFilter { kind: Some(kind.kind.clone()), ..filter.clone() };
        let (count, after) =
            ops::dead::replay_where(tx.conn(), actor.org_id, &filter, Some(actor.actor_id), left).await?;
        replayed += count;
        afters.push(after);
    }
    let ids: Vec<_> = afters.iter().flat_map(ops::After::job_ids).take(NAMED).collect();
    let entry = Entry::new("dead.replay", "dead_letters", "many")
        .workspace(actor.workspaces.sole())
        .before(json!({ "filter": told, "total": total }))
        .after(json!({ "replayed": replayed, "job_ids": ids }));
    tx.record(entry).await?;
    tx.commit().await?;
    for after in afters {
        api.queue().after(after).await;
    }
    report.replayed = replayed;
    report.remaining = (total - i64::try_from(replayed).unwrap_or(total)).max(0);
    Ok(Json(report))
}
