//! Pages of the log, newest first, filtered and searched.
//!
//! A page with a filter looks at a bounded stretch of entries, says how far it looked, and goes on from there
//! with the next page. Refuses to show what the transaction's actor may not see: row-level security does.

use chrono::{DateTime, Utc};
use domain::{ActorId, JobId, WorkspaceId};
use serde_json::Value;
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::cursor::{Cursor, first_id_at, time_of};
use crate::jobs::{MAX_PAGE, Page, PageAsk};
use crate::{StoreError, Tx};

/// Entries one filtered page looks at.
const BUDGET: i64 = 100_000;

/// Entries one page searches for a text.
const SEARCH_BUDGET: i64 = 20_000;

/// Longest text to search for.
const MAX_QUERY_CHARS: usize = 200;

/// Everything must match; an empty filter matches every entry.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Done by this actor.
    pub actor: Option<ActorId>,
    /// The action begins with this: `lane.` or `lane.pause`.
    pub action: Option<String>,
    /// Done to something of this sort.
    pub subject_kind: Option<String>,
    /// Done to this very thing.
    pub subject_id: Option<String>,
    /// About this job, or done by it.
    pub job: Option<JobId>,
    /// Done by this request.
    pub request: Option<String>,
    /// Happened in this room.
    pub workspace: Option<WorkspaceId>,
    /// At or after this moment.
    pub from: Option<DateTime<Utc>>,
    /// Before this moment.
    pub until: Option<DateTime<Utc>>,
    /// The entry holds this text.
    pub q: Option<String>,
}

/// One entry, and its place in the chain.
#[derive(Clone, Debug, FromRow)]
pub struct Recorded {
    /// Its id.
    pub entry_id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// Who; none for the platform itself.
    pub actor_id: Option<Uuid>,
    /// That actor's name, as it is now.
    pub actor_name: Option<String>,
    /// What they were: a role, `token` or `system`.
    pub standing: String,
    /// What was done, `noun.verb`.
    pub action: String,
    /// What sort of thing it was done to.
    pub subject_kind: String,
    /// Which one.
    pub subject_id: String,
    /// In which room.
    pub workspace_id: Option<Uuid>,
    /// The job that did it, or whose life it is about.
    pub job_id: Option<Uuid>,
    /// The request that did it.
    pub request_id: Option<String>,
    /// The entry as it was written: what is hashed.
    pub content: String,
    /// Its number in the chain; none while it is not linked, a second at most.
    pub seq: Option<i64>,
    /// Its link's hash.
    pub hash: Option<Vec<u8>>,
}

impl Recorded {
    /// The content, taken apart; null when it is no JSON.
    #[must_use]
    pub fn parsed(&self) -> Value {
        serde_json::from_str(&self.content).unwrap_or_default()
    }
}

const COLUMNS: &str = "SELECT e.entry_id, e.at, e.actor_id, a.name AS actor_name, e.standing, e.action, \
e.subject_kind, e.subject_id, e.workspace_id, e.job_id, e.request_id, e.content, l.seq, l.hash \
FROM audit_entry e LEFT JOIN audit_link l ON l.entry_id = e.entry_id AND l.org_id = e.org_id \
LEFT JOIN actor a ON a.actor_id = e.actor_id WHERE e.org_id = current_org()";

/// A page of the organisation's log.
///
/// # Errors
/// [`StoreError::BadCursor`] for a cursor of another list, [`StoreError::Invalid`] for a limit or text out of
/// range, [`StoreError::TooSlow`].
pub async fn list(tx: &mut Tx, filter: &Filter, ask: &PageAsk) -> Result<Page<Recorded>, StoreError> {
    if !(1..=MAX_PAGE).contains(&ask.limit) {
        return Err(StoreError::Invalid { field: "limit", problem: "must lie between 1 and 200" });
    }
    if let Some(q) = &filter.q
        && (q.is_empty() || q.chars().count() > MAX_QUERY_CHARS || q.contains('\0'))
    {
        return Err(StoreError::Invalid { field: "q", problem: "must have 1 to 200 characters" });
    }
    let fingerprint = format!("audit {} {filter:?}", tx.org_id()).into_bytes();
    let cursor = match &ask.cursor {
        Some(text) => Some(Cursor::decode(text, &fingerprint)?.before),
        None => None,
    };
    let below = cursor.into_iter().chain(filter.until.map(first_id_at)).min();
    let mut from = filter.from.map(first_id_at);
    let mut cut = false;
    let budget = if filter.q.is_some() { SEARCH_BUDGET } else { BUDGET };
    if filter.is_selective()
        && let Some(floor) = floor(tx, below, from, budget).await?
    {
        from = Some(from.map_or(floor, |from| from.max(floor)));
        cut = true;
    }
    let mut sql = QueryBuilder::new(COLUMNS);
    span(&mut sql, below, from);
    filter.push(&mut sql);
    sql.push(" ORDER BY e.entry_id DESC LIMIT ").push_bind(i64::from(ask.limit));
    let rows: Vec<Recorded> = sql.build_query_as().fetch_all(tx.conn()).await?;
    let (before, searched_back_to) = match (rows.len() >= usize::from(ask.limit), cut) {
        (true, _) => (rows.last().map(|row| row.entry_id), None),
        (false, true) => (from, from.map(time_of)),
        (false, false) => (None, None),
    };
    Ok(Page { rows, next: before.map(|before| Cursor { before }.encode(&fingerprint)), searched_back_to })
}

/// One entry.
///
/// # Errors
/// [`StoreError::NotFound`] when there is none here.
pub async fn get(tx: &mut Tx, entry: Uuid) -> Result<Recorded, StoreError> {
    let mut sql = QueryBuilder::new(COLUMNS);
    sql.push(" AND e.entry_id = ").push_bind(entry);
    let row: Option<Recorded> = sql.build_query_as().fetch_optional(tx.conn()).await?;
    row.ok_or(StoreError::NotFound("audit entry"))
}

/// The id at which the budget ends, if the log reaches that far.
async fn floor(
    tx: &mut Tx,
    below: Option<Uuid>,
    from: Option<Uuid>,
    budget: i64,
) -> Result<Option<Uuid>, StoreError> {
    let mut sql = QueryBuilder::new("SELECT e.entry_id FROM audit_entry e WHERE e.org_id = current_org()");
    span(&mut sql, below, from);
    sql.push(" ORDER BY e.entry_id DESC OFFSET ").push_bind(budget - 1).push(" LIMIT 1");
    Ok(sql.build_query_scalar().fetch_optional(tx.conn()).await?)
}

fn span(sql: &mut QueryBuilder<Postgres>, below: Option<Uuid>, from: Option<Uuid>) {
    if let Some(below) = below {
        sql.push(" AND e.entry_id < ").push_bind(below);
    }
    if let Some(from) = from {
        sql.push(" AND e.entry_id >= ").push_bind(from);
    }
}

/// A text as a pattern that matches only itself.
fn literal(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

impl Filter {
    /// Whether entries in its span may fail to match.
    fn is_selective(&self) -> bool {
        self.actor.is_some()
            || self.action.is_some()
            || self.subject_kind.is_some()
            || self.job.is_some()
            || self.request.is_some()
            || self.workspace.is_some()
            || self.subject_id.is_some()
            || self.q.is_some()
    }

    fn push(&self, sql: &mut QueryBuilder<Postgres>) {
        if let Some(actor) = self.actor {
            sql.push(" AND e.actor_id = ").push_bind(actor.0);
        }
        if let Some(action) = &self.action {
            sql.push(" AND e.action LIKE ").push_bind(format!("{}%", literal(action)));
        }
        if let Some(kind) = &self.subject_kind {
            sql.push(" AND e.subject_kind = ").push_bind(kind.clone());
        }
        if let Some(id) = &self.subject_id {
            sql.push(" AND e.subject_id = ").push_bind(id.clone());
        }
        if let Some(job) = self.job {
            sql.push(" AND (e.job_id = ").push_bind(job.0);
            // An entry about many jobs names them in its content.
            sql.push(" OR e.content LIKE ").push_bind(format!("%\"{job}\"%")).push(")");
        }
        if let Some(request) = &self.request {
            sql.push(" AND e.request_id = ").push_bind(request.clone());
        }
        if let Some(workspace) = self.workspace {
            sql.push(" AND e.workspace_id = ").push_bind(workspace.0);
        }
        if let Some(q) = &self.q {
            sql.push(" AND e.content ILIKE ").push_bind(format!("%{}%", literal(q)));
        }
    }
}
