//! Looks through an organisation's whole log in the database.

use chrono::{DateTime, TimeDelta, Utc};
use domain::OrgId;
use sqlx::FromRow;
use uuid::Uuid;

use super::checker::{CheckSignature, Checker, Columns};
use super::checkpoint::{Checkpoint, checkpoints};
use super::keeper::extend;
use super::report::Report;
use crate::{Store, StoreError, Tx};

/// Rows read at once.
const BATCH: i64 = 2000;

/// An entry this old is in the chain, or something is wrong.
const SETTLED: TimeDelta = TimeDelta::minutes(1);

#[derive(FromRow)]
struct Row {
    seq: i64,
    hash: Vec<u8>,
    entry_id: Uuid,
    org_id: Option<Uuid>,
    at: Option<DateTime<Utc>>,
    actor_id: Option<Uuid>,
    standing: Option<String>,
    action: Option<String>,
    subject_kind: Option<String>,
    subject_id: Option<String>,
    workspace_id: Option<Uuid>,
    job_id: Option<Uuid>,
    request_id: Option<String>,
    content: Option<String>,
}

/// Reads every link and entry of an organisation and says what is not as it was written. `kept` are
/// checkpoints from elsewhere; `check` looks at signatures; `progress` hears how many of how many links are
/// done, now and then. The log is written to meanwhile; what is added while it runs is not looked at.
///
/// # Errors
/// [`StoreError`] when it could not be finished; what is found is in the report.
pub async fn verify(
    store: &Store,
    org: OrgId,
    kept: Vec<Checkpoint>,
    check: Option<&CheckSignature<'_>>,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Report, StoreError> {
    let began = Utc::now();
    // Checkpoints first: the chain only grows, so the end that is read after them is not behind them.
    let mut known: Vec<Checkpoint> = kept.into_iter().filter(|one| one.org_id == org.0).collect();
    let mut before = None;
    loop {
        let page = checkpoints(&mut system(store, org).await?, before, BATCH).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.seq);
        known.extend(page);
    }
    let stuck = match extend(store, org).await {
        Ok(()) => None,
        Err(error @ (StoreError::Away(_) | StoreError::TooSlow)) => return Err(error),
        Err(error) => Some(error),
    };
    let most: i64 =
        sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM audit_link WHERE org_id = current_org()")
            .fetch_one(system(store, org).await?.conn())
            .await?;
    let head: Option<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT seq, hash FROM audit_head WHERE org_id = current_org()")
            .fetch_optional(system(store, org).await?.conn())
            .await?;
    let end = head.as_ref().map_or(0, |(seq, _)| *seq).max(most);
    let total = u64::try_from(end).unwrap_or_default();
    let mut checker = Checker::new(org, known, check);
    let mut done = 0;
    while done < end {
        let rows = links(store, org, done, end).await?;
        let Some(last) = rows.last() else { break };
        done = last.seq;
        for row in &rows {
            look(&mut checker, row);
        }
        progress(u64::try_from(done).unwrap_or_default(), total);
    }
    ends(&mut checker, head.as_ref());
    if stuck.is_some() {
        let message = "new entries can't be linked: the chain's end does not fit its links";
        checker.found("stuck", None, None, message);
    }
    unlinked(store, org, began, &mut checker).await?;
    orphans(store, org, &mut checker).await?;
    Ok(checker.finish())
}

async fn system(store: &Store, org: OrgId) -> Result<Tx, StoreError> {
    Tx::system(store, org, "verify the audit log").await
}

async fn links(store: &Store, org: OrgId, after: i64, end: i64) -> Result<Vec<Row>, StoreError> {
    Ok(sqlx::query_as(
        "SELECT l.seq, l.hash, l.entry_id, e.org_id, e.at, e.actor_id, e.standing, e.action, e.subject_kind,
                e.subject_id, e.workspace_id, e.job_id, e.request_id, e.content
         FROM audit_link l LEFT JOIN audit_entry e ON e.entry_id = l.entry_id
         WHERE l.org_id = current_org() AND l.seq > $1 AND l.seq <= $2 ORDER BY l.seq LIMIT $3",
    )
    .bind(after)
    .bind(end)
    .bind(BATCH)
    .fetch_all(system(store, org).await?.conn())
    .await?)
}

fn look(checker: &mut Checker, row: &Row) {
    checker.link(row.seq, &row.hash, Some(row.entry_id), row.content.as_deref());
    let (Some(content), Some(org_id), Some(at)) = (&row.content, row.org_id, row.at) else { return };
    let text = |value: &'_ Option<String>| value.clone().unwrap_or_default();
    let (standing, action) = (text(&row.standing), text(&row.action));
    let (subject_kind, subject_id) = (text(&row.subject_kind), text(&row.subject_id));
    let columns = Columns {
        org_id,
        at,
        actor_id: row.actor_id,
        standing: &standing,
        action: &action,
        subject_kind: &subject_kind,
        subject_id: &subject_id,
        workspace_id: row.workspace_id,
        job_id: row.job_id,
        request_id: row.request_id.as_deref(),
    };
    checker.columns(row.seq, row.entry_id, content, &columns);
}

/// The head must name the last link; nobody but the one function that links writes either.
fn ends(checker: &mut Checker, head: Option<&(i64, Vec<u8>)>) {
    let (last, hash) = checker.stands_at();
    match head {
        None if last > 0 => {
            checker.found("head", None, None, "the chain's end is not noted any more: its row was deleted");
        }
        Some((seq, _)) if *seq > last => {
            let message =
                format!("the chain should end at link {seq} and ends at {last}: the end was cut off");
            checker.found("head", Some(*seq), None, message);
        }
        Some((seq, _)) if *seq < last => {
            let message =
                format!("the noted end is link {seq}, but links go on to {last}: the end was moved back");
            checker.found("head", Some(*seq), None, message);
        }
        Some((seq, noted)) if noted.as_slice() != hash => {
            let message = "the noted end has another hash than the last link: one of both was changed";
            checker.found("head", Some(*seq), None, message);
        }
        _ => {}
    }
}

/// Entries that are in no chain although they should be.
async fn unlinked(
    store: &Store,
    org: OrgId,
    began: DateTime<Utc>,
    checker: &mut Checker,
) -> Result<(), StoreError> {
    let mut after = Uuid::nil();
    loop {
        // The inner page bounds the work, however few of its entries are unlinked.
        let rows: Vec<(Uuid, DateTime<Utc>, bool, bool)> = sqlx::query_as(
            "SELECT e.entry_id, e.at,
                    EXISTS (SELECT FROM audit_link l WHERE l.entry_id = e.entry_id AND l.org_id = e.org_id),
                    EXISTS (SELECT FROM audit_pending p WHERE p.entry_id = e.entry_id)
             FROM audit_entry e WHERE e.org_id = current_org() AND e.entry_id > $1
             ORDER BY e.entry_id LIMIT $2",
        )
        .bind(after)
        .bind(BATCH)
        .fetch_all(system(store, org).await?.conn())
        .await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.0;
        for (entry, at, linked, pending) in &rows {
            // Whoever writes past the program may say that it is tomorrow.
            if *linked || (*at > began - SETTLED && *at < began + SETTLED) {
                continue;
            }
            if *pending {
                let message =
                    format!("this entry of {at} is not linked yet: start a scheduler, it links leftovers");
                checker.found("waiting", None, Some(*entry), message);
            } else {
                let message = format!(
                    "this entry of {at} is in no chain: it was added past the program, or its link was taken out"
                );
                checker.found("unlinked", None, Some(*entry), message);
            }
        }
    }
}

/// Notes about entries that do not exist.
async fn orphans(store: &Store, org: OrgId, checker: &mut Checker) -> Result<(), StoreError> {
    let rows: Vec<Uuid> = sqlx::query_scalar(
        "SELECT p.entry_id FROM audit_pending p WHERE p.org_id = current_org()
         AND NOT EXISTS (SELECT FROM audit_entry e WHERE e.entry_id = p.entry_id) LIMIT 1000",
    )
    .fetch_all(system(store, org).await?.conn())
    .await?;
    for entry in rows {
        let message = "this entry was to be linked and is gone: it was deleted before it was in the chain";
        checker.found("pending_without_entry", None, Some(entry), message);
    }
    Ok(())
}
