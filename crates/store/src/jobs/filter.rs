//! What a list of jobs may be narrowed by.

use chrono::{DateTime, Utc};
use domain::{BatchId, JobState, WorkspaceId};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::row::Table;
use crate::cursor::first_id_at;

/// Everything must match; an empty filter matches every job.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// One of these states; empty means any.
    pub states: Vec<JobState>,
    /// Exactly this kind.
    pub kind: Option<String>,
    /// Exactly this lane.
    pub lane: Option<String>,
    /// Counts in this batch.
    pub batch: Option<BatchId>,
    /// Belongs to this workspace.
    pub workspace: Option<WorkspaceId>,
    /// Ended with this error code.
    pub error_code: Option<String>,
    /// Carries exactly this idempotency key (as long as keys are remembered).
    pub idempotency_key: Option<String>,
    /// Made at or after this moment (the moment in the job's id).
    pub created_from: Option<DateTime<Utc>>,
    /// Made before this moment.
    pub created_to: Option<DateTime<Utc>>,
}

/// Jobs of a batch are made within this of the batch itself.
const BATCH_SPREAD: chrono::TimeDelta = chrono::TimeDelta::hours(1);

impl Filter {
    /// A stable text of the filter, so that a cursor fits only the list it came from.
    pub(super) fn fingerprint(&self, org: Uuid, q: Option<&str>) -> Vec<u8> {
        format!("{org} {q:?} {self:?}").into_bytes()
    }

    /// The tables that can hold a match.
    pub(super) fn tables(&self) -> Vec<Table> {
        let any = self.states.is_empty();
        let live = (any || self.states.iter().any(|state| !state.is_final())) && self.error_code.is_none();
        let history = any || self.states.iter().any(|state| state.is_final());
        Table::BOTH
            .into_iter()
            .filter(|table| match table {
                Table::Live => live,
                Table::History => history,
            })
            .collect()
    }

    /// Whether rows of a table may fail to match, so that a page may have to look at many rows.
    pub(super) fn is_selective(&self) -> bool {
        !self.states.is_empty()
            || self.kind.is_some()
            || self.lane.is_some()
            || self.batch.is_some()
            || self.workspace.is_some()
            || self.error_code.is_some()
    }

    /// The lowest and the highest id (exclusive) that can match, from what is known of times.
    pub(super) fn id_range(&self) -> (Option<Uuid>, Option<Uuid>) {
        let batch = self.batch.map(|batch| crate::cursor::time_of(batch.0));
        let low = self.created_from.into_iter().chain(batch.map(|at| at - BATCH_SPREAD)).max();
        let high = self.created_to.into_iter().chain(batch.map(|at| at + BATCH_SPREAD)).min();
        (low.map(first_id_at), high.map(first_id_at))
    }

    /// Appends the conditions on a table called `j`; ids are the caller's business.
    pub(super) fn push(&self, table: Table, sql: &mut QueryBuilder<Postgres>) {
        if !self.states.is_empty() {
            let states: Vec<String> = self.states.iter().map(|state| state.as_str().to_owned()).collect();
            sql.push(" AND j.state = ANY(").push_bind(states).push("::text[]::job_state[])");
        }
        let mut equal = |column: &str, value: &Option<String>| {
            if let Some(value) = value {
                sql.push(format_args!(" AND j.{column} = ")).push_bind(value.clone());
            }
        };
        equal("kind", &self.kind);
        equal("lane", &self.lane);
        if table == Table::History {
            equal("error_code", &self.error_code);
        }
        if let Some(batch) = self.batch {
            sql.push(" AND j.batch_id = ").push_bind(batch.0);
        }
        if let Some(workspace) = self.workspace {
            sql.push(" AND j.workspace_id = ").push_bind(workspace.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_choose_the_tables() {
        let of = |states: &[JobState]| Filter { states: states.to_vec(), ..Filter::default() }.tables();
        assert_eq!(of(&[]), Table::BOTH);
        assert_eq!(of(&[JobState::Queued, JobState::Running]), [Table::Live]);
        assert_eq!(of(&[JobState::Dead]), [Table::History]);
        assert_eq!(of(&[JobState::Dead, JobState::Parked]), Table::BOTH);
    }
}
