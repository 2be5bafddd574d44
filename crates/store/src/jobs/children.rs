//! The jobs that a job caused.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, QueryBuilder};
use uuid::Uuid;

use super::row::{StateText, Table};
use crate::cursor::first_id_at;
use crate::{StoreError, Tx};

/// Rows looked at to find children, in each table.
const BUDGET: i64 = 20_000;

/// Children listed at most.
const MOST: i64 = 100;

/// A job caused by another.
#[derive(Clone, Debug, FromRow)]
pub struct Child {
    /// The job.
    pub job_id: Uuid,
    /// Its kind.
    pub kind: String,
    /// Where it stands.
    #[sqlx(try_from = "String")]
    pub state: StateText,
}

/// Children enter the ledger in the transaction that completes their parent, so they are looked for by
/// the ids announced in the parent's row and among the jobs made around the parent's end.
pub(super) async fn children(
    tx: &mut Tx,
    parent: Uuid,
    announced: &[Uuid],
    ended_at: Option<DateTime<Utc>>,
) -> Result<Vec<Child>, StoreError> {
    let mut sql = QueryBuilder::new("SELECT job_id, kind, state FROM (");
    for (position, table) in Table::BOTH.into_iter().enumerate() {
        if position > 0 {
            sql.push(" UNION ALL ");
        }
        let name = table.name();
        sql.push(format_args!(
            "(SELECT j.job_id, j.kind, j.state::text AS state FROM {name} j \
             WHERE j.org_id = current_org() AND j.job_id = ANY("
        ));
        sql.push_bind(announced.to_vec()).push("))");
        let Some(ended_at) = ended_at else { continue };
        sql.push(format_args!(
            " UNION ALL (SELECT j.job_id, j.kind, j.state::text FROM (SELECT * FROM {name} s \
             WHERE s.org_id = current_org() AND s.job_id > "
        ));
        sql.push_bind(parent).push(" AND s.job_id < ");
        sql.push_bind(first_id_at(ended_at + chrono::TimeDelta::seconds(5)));
        sql.push(" ORDER BY s.job_id DESC LIMIT ").push_bind(BUDGET).push(") j WHERE j.parent_job_id = ");
        sql.push_bind(parent).push(" LIMIT ").push_bind(MOST).push(")");
    }
    sql.push(") c GROUP BY job_id, kind, state ORDER BY job_id LIMIT ").push_bind(MOST);
    Ok(sql.build_query_as().fetch_all(tx.conn()).await?)
}
