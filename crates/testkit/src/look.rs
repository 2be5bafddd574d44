//! Looking into the ledger from outside, past the engine and past row-level security.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{JobId, JobState};
use sqlx::FromRow;
use uuid::Uuid;

use crate::database::TestDb;
use crate::wait::eventually;

/// One job as the ledger has it, whether open or ended.
#[derive(Clone, Debug, FromRow)]
pub struct JobRow {
    /// Its state, as the database writes it.
    pub state: String,
    /// Attempts used.
    pub attempt: i16,
    /// Times it was claimed.
    pub claim_no: i32,
    /// Times its worker died.
    pub recoveries: i16,
    /// Who holds it, or held it last.
    pub worker_id: Option<Uuid>,
    /// Why it ended badly.
    pub error_code: Option<String>,
    /// The same for people.
    pub error_message: Option<String>,
    /// What it left behind, as JSON text.
    pub result: Option<String>,
    /// Units done, as last reported.
    pub progress_done: Option<i64>,
    /// Units in all.
    pub progress_total: Option<i64>,
    /// The job that caused it.
    pub parent_job_id: Option<Uuid>,
}

impl TestDb {
    /// The job's row; none when there is no such job.
    pub async fn job(&self, job: JobId) -> Option<JobRow> {
        sqlx::query_as(
            "SELECT state::text, attempt, claim_no, recoveries, worker_id, NULL AS error_code,
                    NULL AS error_message, NULL AS result, progress_done, progress_total, parent_job_id
             FROM job WHERE job_id = $1
             UNION ALL
             SELECT state::text, attempt, claim_no, recoveries, worker_id, error_code, error_message,
                    result::text, progress_done, progress_total, parent_job_id
             FROM job_history WHERE job_id = $1",
        )
        .bind(job.0)
        .fetch_optional(self.superuser())
        .await
        .unwrap()
    }

    /// The job's state; panics when there is no such job.
    pub async fn state(&self, job: JobId) -> JobState {
        let row = self.job(job).await.unwrap_or_else(|| panic!("there is no job {job}"));
        row.state.parse().unwrap()
    }

    /// Waits until the job is in `state`; answers its row.
    pub async fn reaches(&self, job: JobId, state: JobState, timeout: Duration) -> JobRow {
        let mut last = None;
        let waited = tokio::time::timeout(timeout, async {
            loop {
                last = self.job(job).await;
                if last.as_ref().is_some_and(|row| row.state == state.as_str()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        assert!(waited.is_ok(), "{job} is not {state} after {timeout:?} but {last:?}");
        last.unwrap()
    }

    /// Jobs by state, open and ended.
    pub async fn counts(&self) -> BTreeMap<String, i64> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT state::text, count(*) FROM (SELECT state FROM job UNION ALL SELECT state FROM job_history) s
             GROUP BY 1",
        )
        .fetch_all(self.superuser())
        .await
        .unwrap();
        rows.into_iter().collect()
    }

    /// Waits until no job is open.
    pub async fn all_ended(&self, timeout: Duration) {
        eventually(timeout, || async { self.number("SELECT count(*) FROM job").await == 0 }).await;
    }

    /// A number from a query without parameters.
    pub async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(self.superuser()).await.unwrap()
    }

    /// A number from a query with one job as its parameter.
    pub async fn number_of(&self, query: &'static str, job: JobId) -> i64 {
        sqlx::query_scalar(query).bind(job.0).fetch_one(self.superuser()).await.unwrap()
    }
}
