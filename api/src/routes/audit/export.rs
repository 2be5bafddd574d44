//! `GET /v1/audit/export`: the log as a file: for spreadsheets, or to be verified elsewhere.
//!
//! It is read page by page while it is sent, so that a slow reader holds no transaction open.

use std::collections::VecDeque;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::{ActorId, JobId, OrgId, WorkspaceId};
use futures::stream;
use http::{HeaderValue, header};
use serde::Deserialize;
use serde_json::json;
use store::audit::{self, CSV_HEAD, ExportLine, Filter, Range};
use store::jobs::{MAX_PAGE, PageAsk};
use store::{StoreError, Tx, Workspaces};
use utoipa::ToSchema;
use uuid::Uuid;

use super::list::filter;
use crate::auth::{AuditRead, Caller};
use crate::input::Params;
use crate::openapi::Reads;
use crate::problem::Problem;
use crate::state::Api;

/// Links read at once.
const BATCH: i64 = 500;

/// What to export, and how.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportParams {
    /// The file's form.
    #[param(inline)]
    format: Format,
    /// Done by this actor.
    actor: Option<Uuid>,
    /// The action begins with this.
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
    q: Option<String>,
}

/// The file's form.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// A table, newest first.
    Csv,
    /// One JSON object a line.
    Json,
}

/// Export the audit log
///
/// `csv` is a table, newest first. `json` has one object a line; narrowed by nothing but time, for somebody who
/// sees the whole organisation, it holds the chain itself, oldest first, and
/// `countersign audit verify --export FILE` proves it without a database. Otherwise it is a selection, which
/// can't be proved as a whole.
#[utoipa::path(
    get,
    path = "/v1/audit/export",
    tag = "audit",
    operation_id = "exportAudit",
    security(("token" = ["audit:read"])),
    params(ExportParams),
    responses(
        (status = 200, description = "The file.", content(
            (String = "text/csv"),
            (String = "application/x-ndjson"),
        )),
        Reads,
    ),
)]
pub(crate) async fn export(
    State(api): State<Api>,
    caller: Caller<AuditRead>,
    Params(params): Params<ExportParams>,
) -> Result<Response, Problem> {
    let narrowed = params.actor.is_some()
        || params.action.is_some()
        || params.subject_kind.is_some()
        || params.subject_id.is_some()
        || params.job.is_some()
        || params.request.is_some()
        || params.workspace.is_some()
        || params.q.is_some();
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
    let (body, kind, name) = match params.format {
        Format::Csv => (selection(api, caller, filter, true).await?, "text/csv; charset=utf-8", "audit.csv"),
        Format::Json if !narrowed && caller.actor.workspaces == Workspaces::All => {
            let body = chain(api, caller, filter.from, filter.until).await?;
            (body, "application/x-ndjson", "audit.jsonl")
        }
        Format::Json => {
            (selection(api, caller, filter, false).await?, "application/x-ndjson", "audit-selection.jsonl")
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let disposition = format!("attachment; filename=\"{name}\"");
    headers
        .insert(header::CONTENT_DISPOSITION, HeaderValue::from_str(&disposition).map_err(Problem::internal)?);
    Ok(response)
}

/// Entries that match, newest first. The first page is read before the answer begins, so that what can't be
/// read is an error and no half file.
async fn selection(api: Api, caller: Caller<AuditRead>, filter: Filter, csv: bool) -> Result<Body, Problem> {
    let first = page(&api, &caller, &filter, None, csv).await?;
    let head = if csv {
        CSV_HEAD.to_owned()
    } else {
        format!("{}\n", json!({ "countersign_audit_selection": 1, "org_id": caller.actor.org_id }))
    };
    let begin = (Some((head + &first.0, first.1)), api, caller, filter);
    Ok(Body::from_stream(stream::try_unfold(begin, move |(next, api, caller, filter)| async move {
        let Some((text, cursor)) = next else { return Ok::<_, StoreError>(None) };
        let next = match cursor {
            Some(cursor) => Some(page(&api, &caller, &filter, Some(cursor), csv).await?),
            None => None,
        };
        Ok(Some((Bytes::from(text), (next, api, caller, filter))))
    })))
}

async fn page(
    api: &Api,
    caller: &Caller<AuditRead>,
    filter: &Filter,
    cursor: Option<String>,
    csv: bool,
) -> Result<(String, Option<String>), StoreError> {
    let mut tx = read(api, caller).await?;
    let page = audit::list(&mut tx, filter, &PageAsk { cursor, limit: MAX_PAGE }).await?;
    let rows = page.rows.iter().map(|row| {
        if csv {
            return audit::csv_row(row);
        }
        let hash = row.hash.as_deref().map(super::view::encode);
        format!("{}\n", json!({ "seq": row.seq, "hash": hash, "content": row.content }))
    });
    Ok((rows.collect(), page.next))
}

/// For the next part. A file may take long: whoever may read the log no longer gets no more of it.
async fn read(api: &Api, caller: &Caller<AuditRead>) -> Result<Tx, StoreError> {
    let actor =
        caller.still(api).await.map_err(|problem| StoreError::Refused(problem.detail().to_owned()))?;
    Tx::for_reader(api.store(), &actor).await
}

/// Where the export of a chain is.
enum Part {
    Links { after: i64 },
    Checkpoints,
    Done,
}

struct Chain {
    api: Api,
    caller: Caller<AuditRead>,
    range: Range,
    part: Part,
    waiting: VecDeque<String>,
    links: u64,
}

async fn chain(
    api: Api,
    caller: Caller<AuditRead>,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
) -> Result<Body, Problem> {
    let org: OrgId = caller.actor.org_id;
    audit::extend(api.store(), org).await?;
    let mut tx = read(&api, &caller).await?;
    let range = audit::range(&mut tx, from, until).await?;
    drop(tx);
    let part = Part::Links { after: range.after_seq };
    let head = line(&range.head(org))?;
    let begin = Chain { api, caller, range, part, waiting: VecDeque::from([head]), links: 0 };
    Ok(Body::from_stream(stream::try_unfold(begin, |mut chain| async move {
        let text = chain.next().await?;
        Ok::<_, StoreError>(text.map(|text| (Bytes::from(text), chain)))
    })))
}

impl Chain {
    async fn next(&mut self) -> Result<Option<String>, StoreError> {
        if let Some(text) = self.waiting.pop_front() {
            return Ok(Some(text));
        }
        let mut tx = match self.part {
            Part::Done => return Ok(None),
            _ => read(&self.api, &self.caller).await?,
        };
        if let Part::Links { after } = self.part {
            let links = audit::linked(&mut tx, after, self.range.to_seq, BATCH).await?;
            if let Some(last) = links.last() {
                self.part = Part::Links { after: last.seq };
                self.links += u64::try_from(links.len()).unwrap_or_default();
                let lines: Result<String, StoreError> =
                    links.into_iter().map(|link| line(&ExportLine::Link(link))).collect();
                return lines.map(Some);
            }
            self.part = Part::Checkpoints;
        }
        let to = self.range.to_seq.saturating_add(1);
        let mut found = audit::checkpoints(&mut tx, Some(to), 100_000).await?;
        found.retain(|one| one.seq > self.range.after_seq);
        let checkpoints = u64::try_from(found.len()).unwrap_or_default();
        let mut text = String::new();
        for checkpoint in found.into_iter().rev() {
            text.push_str(&line(&ExportLine::Checkpoint { checkpoint })?);
        }
        let end = audit::Counts { links: self.links, checkpoints };
        text.push_str(&line(&ExportLine::End { end })?);
        self.part = Part::Done;
        Ok(Some(text))
    }
}

fn line(line: &ExportLine) -> Result<String, StoreError> {
    let text = serde_json::to_string(line)
        .map_err(|error| StoreError::Database(sqlx::Error::Encode(Box::new(error))))?;
    Ok(text + "\n")
}
