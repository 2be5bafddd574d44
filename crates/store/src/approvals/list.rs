//! Pages of approvals, newest first, by keyset.

use chrono::{DateTime, Utc};
use domain::ActorId;
use sqlx::{FromRow, QueryBuilder};
use uuid::Uuid;

use super::state::State;
use crate::cursor::{Cursor, first_id_at};
use crate::jobs::{MAX_PAGE, Page, PageAsk};
use crate::{StoreError, Tx};

/// Everything must match; an empty filter matches every approval.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// In this state.
    pub state: Option<State>,
    /// About exactly this.
    pub subject_kind: Option<String>,
    /// Asked for by this actor.
    pub requested_by: Option<ActorId>,
    /// Only those that the caller may decide now, perhaps after a fresh second factor.
    pub mine_to_decide: bool,
    /// Asked for at or after this moment.
    pub from: Option<DateTime<Utc>>,
    /// Asked for before this moment.
    pub until: Option<DateTime<Utc>>,
}

/// One approval in a list.
#[derive(Clone, Debug, FromRow)]
pub struct Summary {
    /// Its id.
    pub approval_id: Uuid,
    /// The room it belongs to.
    pub workspace_id: Option<Uuid>,
    /// What it is about.
    pub subject_kind: String,
    /// Which one.
    pub subject_id: String,
    /// SHA-256 of its content.
    pub content_hash: Vec<u8>,
    /// What people read.
    pub summary: String,
    /// In minor units of `currency`.
    pub amount_minor: Option<i64>,
    /// The currency of the amount.
    pub currency: Option<String>,
    /// Who asked; none for the platform.
    pub requested_by: Option<Uuid>,
    /// Their name.
    pub requested_by_name: Option<String>,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// The approval whose content was edited into this one's.
    pub replaces: Option<Uuid>,
    /// Who may decide.
    pub roles: Vec<String>,
    /// Approvals it takes.
    pub needed: i16,
    /// Approvals it has.
    pub approvals: i64,
    /// Whether makers may decide.
    pub maker_may_decide: bool,
    /// Whether approving needs a fresh second factor.
    pub step_up: bool,
    /// When it ends undecided.
    pub expires_at: DateTime<Utc>,
    /// Where it stands.
    #[sqlx(try_from = "String")]
    pub state: State,
    /// When it ended.
    pub decided_at: Option<DateTime<Utc>>,
    /// The job it released.
    pub released_job_id: Option<Uuid>,
}

/// The columns of a [`Summary`], of an approval called `a`. One whose time is over reads as expired, also
/// before the sweep has said so.
pub(super) const COLUMNS: &str = "a.approval_id, a.workspace_id, a.subject_kind, a.subject_id, a.content_hash, a.summary, a.amount_minor, \
     a.currency, a.requested_by, (SELECT w.name FROM actor w WHERE w.actor_id = a.requested_by) AS requested_by_name, \
     a.requested_at, a.replaces, a.roles, a.needed, \
     (SELECT count(*) FROM approval_decision d WHERE d.approval_id = a.approval_id AND d.decision = 'approve') \
         AS approvals, \
     a.maker_may_decide, a.step_up, a.expires_at, \
     CASE WHEN a.state = 'pending' AND a.expires_at <= clock_timestamp() THEN 'expired' ELSE a.state END AS state, \
     a.decided_at, a.released_job_id";

/// A page of the approvals that the transaction's actor sees.
///
/// # Errors
/// [`StoreError::BadCursor`] for a cursor of another list, [`StoreError::Invalid`] for a limit out of range.
pub async fn list(tx: &mut Tx, filter: &Filter, ask: &PageAsk) -> Result<Page<Summary>, StoreError> {
    if !(1..=MAX_PAGE).contains(&ask.limit) {
        return Err(StoreError::Invalid { field: "limit", problem: "must lie between 1 and 200" });
    }
    let fingerprint = format!("approvals {} {filter:?}", tx.org_id()).into_bytes();
    let before = match &ask.cursor {
        Some(text) => Some(Cursor::decode(text, &fingerprint)?.before),
        None => None,
    };
    let mut sql =
        QueryBuilder::new(format!("SELECT {COLUMNS} FROM approval a WHERE a.org_id = current_org()"));
    if let Some(before) = before.into_iter().chain(filter.until.map(first_id_at)).min() {
        sql.push(" AND a.approval_id < ").push_bind(before);
    }
    if let Some(from) = filter.from {
        sql.push(" AND a.approval_id >= ").push_bind(first_id_at(from));
    }
    match filter.state {
        Some(State::Pending) => {
            sql.push(" AND a.state = 'pending' AND a.expires_at > clock_timestamp()");
        }
        Some(State::Expired) => {
            sql.push(
                " AND (a.state = 'expired' OR (a.state = 'pending' AND a.expires_at <= clock_timestamp()))",
            );
        }
        Some(state) => {
            sql.push(" AND a.state = ").push_bind(state.as_str());
        }
        None => {}
    }
    if let Some(kind) = &filter.subject_kind {
        sql.push(" AND a.subject_kind = ").push_bind(kind.clone());
    }
    if let Some(actor) = filter.requested_by {
        sql.push(" AND a.requested_by = ").push_bind(actor.0);
    }
    if filter.mine_to_decide {
        sql.push(
            // What is quickly told comes first: the function is asked for each row that is left.
            " AND a.state = 'pending' AND (SELECT may('approvals:decide')) AND (SELECT acting_role()) = ANY (a.roles)
              AND NOT EXISTS (SELECT FROM approval_why_not(a.approval_id, 'approve') o
                              WHERE o.code NOT IN ('step_up', 'session'))",
        );
    }
    sql.push(" ORDER BY a.approval_id DESC LIMIT ").push_bind(i64::from(ask.limit));
    let rows: Vec<Summary> = sql.build_query_as().fetch_all(tx.conn()).await?;
    let full = rows.len() >= usize::from(ask.limit);
    let next =
        rows.last().filter(|_| full).map(|last| Cursor { before: last.approval_id }.encode(&fingerprint));
    Ok(Page { rows, next, searched_back_to: None })
}
