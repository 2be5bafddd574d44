//! Pages of jobs, newest first, by keyset.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::filter::Filter;
use super::row::{JobRow, Table, WAIT_COLUMNS};
use crate::cursor::{Cursor, time_of};
use crate::{StoreError, Tx};

/// Largest page.
pub const MAX_PAGE: u16 = 200;

/// Rows a filtered page looks at in each table before it stops and hands out a cursor.
const BUDGET: i64 = 100_000;

/// Which page is wanted.
#[derive(Clone, Debug)]
pub struct PageAsk {
    /// Where the page before ended; none for the first.
    pub cursor: Option<String>,
    /// Rows wanted, 1 to [`MAX_PAGE`].
    pub limit: u16,
}

/// One page.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows, newest first. Fewer than asked for does not mean that there are no more: see `next`.
    pub rows: Vec<T>,
    /// The cursor of the next page; none at the end.
    pub next: Option<String>,
    /// Set when the page stopped looking before the end: nothing older than this was looked at.
    pub searched_back_to: Option<DateTime<Utc>>,
}

impl<T> Page<T> {
    /// Nothing, and nothing after it.
    pub(super) fn empty() -> Self {
        Self { rows: Vec::new(), next: None, searched_back_to: None }
    }
}

/// A page of the organisation's jobs.
///
/// # Errors
/// [`StoreError::BadCursor`] for a cursor of another list, [`StoreError::Invalid`] for a limit out of range.
pub async fn list(tx: &mut Tx, filter: &Filter, ask: &PageAsk) -> Result<Page<JobRow>, StoreError> {
    let span = Span::open(tx, filter, None, ask, BUDGET).await?;
    if filter.tables().is_empty() {
        return Ok(Page::empty());
    }
    let keyed = match &filter.idempotency_key {
        Some(key) => Some(ids_of_key(tx, key).await?),
        None => None,
    };
    let mut sql = QueryBuilder::new(format!("SELECT p.*, {WAIT_COLUMNS} FROM ("));
    for (position, table) in filter.tables().into_iter().enumerate() {
        if position > 0 {
            sql.push(" UNION ALL ");
        }
        sql.push(format_args!("(SELECT {} FROM {} j", table.columns(), table.name()));
        span.push(&mut sql);
        filter.push(table, &mut sql);
        if let Some(ids) = &keyed {
            sql.push(" AND j.job_id = ANY(").push_bind(ids.clone()).push(")");
        }
        sql.push(" ORDER BY j.job_id DESC LIMIT ").push_bind(i64::from(ask.limit)).push(")");
    }
    sql.push(") p LEFT JOIN job_wait w ON w.job_id = p.job_id ORDER BY p.job_id DESC LIMIT ")
        .push_bind(i64::from(ask.limit));
    let rows: Vec<JobRow> = sql.build_query_as().fetch_all(tx.conn()).await?;
    Ok(span.page(rows.len(), rows.last().map(|row| row.job_id), rows, ask))
}

/// The stretch of ids one page looks at.
pub(super) struct Span {
    fingerprint: Vec<u8>,
    below: Option<Uuid>,
    /// Lowest id looked at.
    from: Option<Uuid>,
    /// Set when the budget, not the filter, put `from` there.
    cut: bool,
}

impl Span {
    pub(super) async fn open(
        tx: &mut Tx,
        filter: &Filter,
        q: Option<&str>,
        ask: &PageAsk,
        budget: i64,
    ) -> Result<Self, StoreError> {
        if !(1..=MAX_PAGE).contains(&ask.limit) {
            return Err(StoreError::Invalid { field: "limit", problem: "must lie between 1 and 200" });
        }
        let fingerprint = filter.fingerprint(tx.org_id().0, q);
        let cursor = match &ask.cursor {
            Some(text) => Some(Cursor::decode(text, &fingerprint)?.before),
            None => None,
        };
        let (low, high) = filter.id_range();
        let mut span =
            Self { fingerprint, below: cursor.into_iter().chain(high).min(), from: low, cut: false };
        if q.is_some() || (filter.is_selective() && filter.idempotency_key.is_none()) {
            for table in filter.tables() {
                if let Some(floor) = span.floor(tx, table, budget).await? {
                    span.from = Some(span.from.map_or(floor, |from| from.max(floor)));
                    span.cut = true;
                }
            }
        }
        Ok(span)
    }

    /// The id at which the budget ends in one table, if the table reaches that far.
    async fn floor(&self, tx: &mut Tx, table: Table, budget: i64) -> Result<Option<Uuid>, StoreError> {
        let mut sql = QueryBuilder::new(format!("SELECT j.job_id FROM {} j", table.name()));
        self.push(&mut sql);
        sql.push(" ORDER BY j.job_id DESC OFFSET ").push_bind(budget - 1).push(" LIMIT 1");
        Ok(sql.build_query_scalar().fetch_optional(tx.conn()).await?)
    }

    /// Appends `WHERE` with the organisation and the ids.
    pub(super) fn push(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push(" WHERE j.org_id = current_org()");
        if let Some(below) = self.below {
            sql.push(" AND j.job_id < ").push_bind(below);
        }
        if let Some(from) = self.from {
            sql.push(" AND j.job_id >= ").push_bind(from);
        }
    }

    /// Puts a page together: `taken` rows came from the tables, the last of them with id `last`.
    pub(super) fn page<T>(self, taken: usize, last: Option<Uuid>, rows: Vec<T>, ask: &PageAsk) -> Page<T> {
        let full = taken >= usize::from(ask.limit);
        let (before, searched_back_to) = match (full, self.cut) {
            (true, _) => (last, None),
            (false, true) => (self.from, self.from.map(time_of)),
            (false, false) => (None, None),
        };
        Page {
            rows,
            next: before.map(|before| Cursor { before }.encode(&self.fingerprint)),
            searched_back_to,
        }
    }
}

/// The jobs that own an idempotency key, over all kinds, without walking all keys.
pub(super) async fn ids_of_key(tx: &mut Tx, key: &str) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar(
        "WITH RECURSIVE kinds AS (
             (SELECT kind FROM job_key WHERE org_id = current_org() ORDER BY kind LIMIT 1)
             UNION ALL
             SELECT (SELECT k.kind FROM job_key k WHERE k.org_id = current_org() AND k.kind > kinds.kind
                     ORDER BY k.kind LIMIT 1)
             FROM kinds WHERE kinds.kind IS NOT NULL
         )
         SELECT k.job_id FROM kinds
         JOIN job_key k ON k.org_id = current_org() AND k.kind = kinds.kind AND k.key = $1",
    )
    .bind(key)
    .fetch_all(tx.conn())
    .await?)
}
