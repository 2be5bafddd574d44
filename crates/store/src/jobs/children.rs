//! The jobs that a job caused.

use sqlx::FromRow;
use uuid::Uuid;

use super::row::StateText;
use crate::{StoreError, Tx};

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

/// The first hundred children that the transaction's actor sees, oldest first.
pub(super) async fn children(tx: &mut Tx, parent: Uuid) -> Result<Vec<Child>, StoreError> {
    let children = sqlx::query_as(
        "SELECT job_id, kind, state::text AS state FROM job WHERE parent_job_id = $1
         UNION ALL
         SELECT job_id, kind, state::text FROM job_history WHERE parent_job_id = $1
         ORDER BY job_id LIMIT 100",
    )
    .bind(parent)
    .fetch_all(tx.conn())
    .await?;
    Ok(children)
}
