//! The dead letters that nobody has replayed or set aside yet.

use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;

use super::list::{MAX_PAGE, Page, PageAsk};
use super::row::{JobRow, Table};
use crate::cursor::Cursor;
use crate::{StoreError, Tx};

/// Narrows the dead letters; empty matches all.
#[derive(Clone, Debug, Default)]
pub struct DeadFilter {
    /// Exactly this kind.
    pub kind: Option<String>,
    /// Exactly this error code.
    pub error_code: Option<String>,
    /// Exactly this lane.
    pub lane: Option<String>,
    /// Died at or after this moment.
    pub from: Option<DateTime<Utc>>,
    /// Died before this moment.
    pub until: Option<DateTime<Utc>>,
}

/// A page of dead letters, newest first.
///
/// # Errors
/// [`StoreError::BadCursor`] for a cursor of another list, [`StoreError::Invalid`] for a limit out of range.
pub async fn dead(tx: &mut Tx, filter: &DeadFilter, ask: &PageAsk) -> Result<Page<JobRow>, StoreError> {
    if !(1..=MAX_PAGE).contains(&ask.limit) {
        return Err(StoreError::Invalid { field: "limit", problem: "must lie between 1 and 200" });
    }
    let fingerprint = format!("dead {} {filter:?}", tx.org_id()).into_bytes();
    let before = match &ask.cursor {
        Some(text) => Some(Cursor::decode(text, &fingerprint)?.before),
        None => None,
    };
    // Materialised, so that the planner reads the small index of dead letters and not the whole history.
    let mut sql = QueryBuilder::new(
        "WITH d AS MATERIALIZED (SELECT job_id FROM job_history
         WHERE org_id = current_org() AND state = 'dead' AND discarded_at IS NULL",
    );
    if let Some(before) = before {
        sql.push(" AND job_id < ").push_bind(before);
    }
    if let Some(from) = filter.from {
        sql.push(" AND finished_at >= ").push_bind(from);
    }
    if let Some(until) = filter.until {
        sql.push(" AND finished_at < ").push_bind(until);
    }
    for (column, value) in
        [("kind", &filter.kind), ("error_code", &filter.error_code), ("lane", &filter.lane)]
    {
        if let Some(value) = value {
            sql.push(format_args!(" AND {column} = ")).push_bind(value.clone());
        }
    }
    sql.push("), page AS (SELECT job_id FROM d ORDER BY job_id DESC LIMIT ")
        .push_bind(i64::from(ask.limit))
        .push(format_args!(
            ") SELECT {}, NULL::text AS wait_what, NULL::text AS wait_key, NULL::timestamptz AS wait_until
         FROM page JOIN job_history j USING (job_id) ORDER BY job_id DESC",
            Table::History.columns(),
        ));
    let rows: Vec<JobRow> = sql.build_query_as().fetch_all(tx.conn()).await?;
    let next = (rows.len() == usize::from(ask.limit))
        .then(|| rows.last())
        .flatten()
        .map(|row| Cursor { before: row.job_id }.encode(&fingerprint));
    Ok(Page { rows, next, searched_back_to: None })
}
