//! Text search over jobs: an exact id, an exact key, or a piece of text in kind, key, error or payload.
//!
//! The database finds candidates; the caller, who knows which payload fields must stay hidden, says of
//! each whether the text is to be found in what may be seen. Else a search could be used to guess
//! redacted values letter by letter.

use sqlx::{FromRow, QueryBuilder};
use uuid::Uuid;

use super::filter::Filter;
use super::list::{Page, PageAsk, Span, ids_of_key};
use super::row::{JobRow, Table, WAIT_COLUMNS};
use crate::{StoreError, Tx};

/// Longest text to search for.
pub const MAX_QUERY_CHARS: usize = 200;

/// Rows one page searches in each table.
const BUDGET: i64 = 20_000;

/// A job that may contain the text.
#[derive(Debug, FromRow)]
pub struct Candidate {
    /// The job.
    #[sqlx(flatten)]
    pub job: JobRow,
    /// Its payload's JSON text, nothing hidden.
    pub payload: String,
}

/// A page of jobs that match `filter` and contain `q`; `shows` decides about each candidate.
///
/// # Errors
/// As [`super::list`], and [`StoreError::TooSlow`] when even a bounded search takes too long.
pub async fn search(
    tx: &mut Tx,
    filter: &Filter,
    q: &str,
    ask: &PageAsk,
    shows: &(dyn Fn(&Candidate) -> bool + Sync),
) -> Result<Page<JobRow>, StoreError> {
    if q.is_empty() || q.chars().count() > MAX_QUERY_CHARS || q.contains('\0') {
        return Err(StoreError::Invalid { field: "q", problem: "must have 1 to 200 characters" });
    }
    // An error code is looked for among open jobs: no table can hold that.
    if filter.tables().is_empty() {
        return Ok(Page::empty());
    }
    if ask.cursor.is_none() {
        let exact = match q.parse::<Uuid>() {
            Ok(id) => vec![id],
            Err(_) => ids_of_key(tx, q).await?,
        };
        let found = by_ids(tx, filter, &exact).await?;
        if !found.is_empty() {
            return Ok(Page { rows: found, next: None, searched_back_to: None });
        }
    }
    let span = Span::open(tx, filter, Some(q), ask, BUDGET).await?;
    let pattern = format!("%{}%", q.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"));
    let mut sql = QueryBuilder::new(format!("SELECT p.*, {WAIT_COLUMNS} FROM ("));
    for (position, table) in filter.tables().into_iter().enumerate() {
        if position > 0 {
            sql.push(" UNION ALL ");
        }
        sql.push(format_args!(
            "(SELECT {}, j.payload::text AS payload FROM {} j",
            table.columns(),
            table.name()
        ));
        span.push(&mut sql);
        filter.push(table, &mut sql);
        sql.push(" AND (j.kind ILIKE ").push_bind(pattern.clone());
        sql.push(" OR j.idempotency_key ILIKE ").push_bind(pattern.clone());
        if table == Table::History {
            sql.push(" OR j.error_code ILIKE ").push_bind(pattern.clone());
            sql.push(" OR j.error_message ILIKE ").push_bind(pattern.clone());
        }
        sql.push(" OR j.payload::text ILIKE ").push_bind(pattern.clone());
        sql.push(") ORDER BY j.job_id DESC LIMIT ").push_bind(i64::from(ask.limit)).push(")");
    }
    sql.push(") p LEFT JOIN job_wait w ON w.job_id = p.job_id ORDER BY p.job_id DESC LIMIT ")
        .push_bind(i64::from(ask.limit));
    let candidates: Vec<Candidate> = sql.build_query_as().fetch_all(tx.conn()).await?;
    let (taken, last) = (candidates.len(), candidates.last().map(|candidate| candidate.job.job_id));
    let rows = candidates.into_iter().filter(shows).map(|candidate| candidate.job).collect();
    Ok(span.page(taken, last, rows, ask))
}

async fn by_ids(tx: &mut Tx, filter: &Filter, ids: &[Uuid]) -> Result<Vec<JobRow>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = QueryBuilder::new(format!("SELECT p.*, {WAIT_COLUMNS} FROM ("));
    for (position, table) in filter.tables().into_iter().enumerate() {
        if position > 0 {
            sql.push(" UNION ALL ");
        }
        sql.push(format_args!(
            "(SELECT {} FROM {} j WHERE j.org_id = current_org()",
            table.columns(),
            table.name()
        ));
        sql.push(" AND j.job_id = ANY(").push_bind(ids.to_vec()).push(")");
        filter.push(table, &mut sql);
        sql.push(")");
    }
    sql.push(") p LEFT JOIN job_wait w ON w.job_id = p.job_id ORDER BY p.job_id DESC");
    Ok(sql.build_query_as().fetch_all(tx.conn()).await?)
}
