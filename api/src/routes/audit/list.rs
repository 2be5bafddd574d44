//! `GET /v1/audit`: the log, newest first, filtered and searched.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::{ActorId, JobId, WorkspaceId};
use serde::{Deserialize, Serialize};
use store::Tx;
use store::audit::Filter;
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::AuditItem;
use crate::auth::{AuditRead, Caller};
use crate::input::Params;
use crate::openapi::Reads;
use crate::problem::Problem;
use crate::routes::jobs::{no_nul, page_ask};
use crate::state::Api;

/// What to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditParams {
    /// Done by this actor.
    actor: Option<Uuid>,
    /// The action begins with this.
    #[param(example = "lane.")]
    action: Option<String>,
    /// Done to something of this sort.
    subject_kind: Option<String>,
    /// Done to this very thing.
    subject_id: Option<String>,
    /// About this job, or done by it.
    job: Option<Uuid>,
    /// Done by this request.
    request: Option<String>,
    /// Happened in this workspace.
    workspace: Option<Uuid>,
    /// At or after this moment.
    from: Option<DateTime<Utc>>,
    /// Before this moment.
    until: Option<DateTime<Utc>>,
    /// The entry holds this text, in any case.
    #[param(min_length = 1, max_length = 200)]
    q: Option<String>,
    /// The `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
    /// Entries wanted; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// A page of entries, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditList {
    /// The entries. Fewer than asked for does not mean that there are no more.
    entries: Vec<AuditItem>,
    /// Send it as `cursor` to get the next page; none at the end.
    next_cursor: Option<String>,
    /// Set when the page stopped looking before the end: nothing older was looked at yet.
    searched_back_to: Option<DateTime<Utc>>,
}

/// List and search the audit log
///
/// Newest first. A filtered or searched page looks at a bounded stretch of entries; when it stops before the
/// end it says how far it looked (`searched_back_to`) and goes on from there with `next_cursor`.
#[utoipa::path(
    get,
    path = "/v1/audit",
    tag = "audit",
    operation_id = "listAudit",
    security(("token" = ["audit:read"])),
    params(AuditParams),
    responses((status = 200, description = "A page of entries.", body = AuditList), Reads),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller<AuditRead>,
    Params(params): Params<AuditParams>,
) -> Result<Json<AuditList>, Problem> {
    let ask = page_ask(params.cursor, params.limit)?;
    let filter = filter(Filter {
        actor: params.actor.map(ActorId),
        action: params.action,
        subject_kind: params.subject_kind,
        subject_id: params.subject_id,
        job: params.job.map(JobId),
        request: params.request,
        workspace: params.workspace.map(WorkspaceId),
        from: params.from,
        until: params.until,
        q: params.q,
    })?;
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let page = store::audit::list(&mut tx, &filter, &ask).await?;
    Ok(Json(AuditList {
        entries: page.rows.into_iter().map(AuditItem::from).collect(),
        next_cursor: page.next,
        searched_back_to: page.searched_back_to,
    }))
}

/// Refuses texts that nothing can hold.
pub(super) fn filter(filter: Filter) -> Result<Filter, Problem> {
    let texts = [&filter.action, &filter.subject_kind, &filter.subject_id, &filter.request, &filter.q];
    for text in texts {
        no_nul(text.as_deref())?;
    }
    Ok(filter)
}
