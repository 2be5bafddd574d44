//! Jobs as the API shows them.

use chrono::{DateTime, Utc};
use domain::JobState;
use serde::Serialize;
use store::jobs::{JobRow, Page};
use utoipa::ToSchema;
use uuid::Uuid;

/// One job in a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobItem {
    /// Its id; ids made later are greater.
    pub(crate) job_id: Uuid,
    /// What it does.
    pub(crate) kind: String,
    /// Its payload's version.
    pub(crate) version: i16,
    /// Where it waits.
    pub(crate) lane: String,
    /// Where it stands.
    pub(crate) state: JobState,
    /// Higher is taken sooner.
    pub(crate) priority: i16,
    /// Attempts used, the running one included.
    pub(crate) attempt: i16,
    /// Attempts allowed.
    pub(crate) max_attempts: i16,
    /// Times its worker died while running it.
    pub(crate) recoveries: i16,
    /// When it entered the ledger.
    pub(crate) created_at: DateTime<Utc>,
    /// Not before this.
    pub(crate) run_at: DateTime<Utc>,
    /// When it last became ready.
    pub(crate) queued_at: Option<DateTime<Utc>>,
    /// When a worker last took it.
    pub(crate) started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub(crate) finished_at: Option<DateTime<Utc>>,
    /// Expires unrun after this.
    pub(crate) deadline_at: Option<DateTime<Utc>>,
    /// How far it is, where its kind says so.
    pub(crate) progress: Option<Progress>,
    /// What it waits for, where something holds it.
    pub(crate) waits_for: Option<WaitsFor>,
    /// Cancel was asked for while it ran.
    pub(crate) cancel_asked: bool,
    /// Why it ended badly.
    pub(crate) error_code: Option<String>,
    /// The same for people.
    pub(crate) error_message: Option<String>,
    /// The caller's key.
    pub(crate) idempotency_key: Option<String>,
    /// The batch it counts in.
    pub(crate) batch_id: Option<Uuid>,
    /// The job that caused it.
    pub(crate) parent_job_id: Option<Uuid>,
    /// The workspace it belongs to.
    pub(crate) workspace_id: Option<Uuid>,
    /// Whether only whoever asked for it sees it.
    pub(crate) private: bool,
    /// Who asked for it.
    pub(crate) actor_id: Option<Uuid>,
    /// The request that made it.
    pub(crate) request_id: Option<String>,
}

/// How far a job is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Progress {
    /// Units done.
    pub(crate) done: i64,
    /// Units in all, if known.
    pub(crate) total: Option<i64>,
}

/// What holds a job, in short; the job's own page explains it.
#[derive(Serialize, ToSchema)]
pub(crate) struct WaitsFor {
    /// The sort of thing: `time`, `retry`, `limit`, `lane`, or what its handler named.
    pub(crate) what: String,
    /// Which one.
    pub(crate) key: String,
    /// Until when; none means until something releases it.
    pub(crate) until: Option<DateTime<Utc>>,
}

impl From<JobRow> for JobItem {
    fn from(row: JobRow) -> Self {
        Self {
            job_id: row.job_id,
            kind: row.kind,
            version: row.kind_version,
            lane: row.lane,
            state: row.state.0,
            priority: row.priority,
            attempt: row.attempt,
            max_attempts: row.max_attempts,
            recoveries: row.recoveries,
            created_at: row.created_at,
            run_at: row.run_at,
            queued_at: row.queued_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            deadline_at: row.deadline_at,
            progress: row.progress_done.map(|done| Progress { done, total: row.progress_total }),
            waits_for: row.wait_what.zip(row.wait_key).map(|(what, key)| WaitsFor {
                what,
                key,
                until: row.wait_until,
            }),
            cancel_asked: row.cancel_asked,
            error_code: row.error_code,
            error_message: row.error_message,
            idempotency_key: row.idempotency_key,
            batch_id: row.batch_id,
            parent_job_id: row.parent_job_id,
            workspace_id: row.workspace_id,
            private: row.private_to.is_some(),
            actor_id: row.actor_id,
            request_id: row.request_id,
        }
    }
}

/// A page of jobs, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobList {
    /// The jobs. Fewer than asked for does not mean that there are no more.
    pub(crate) jobs: Vec<JobItem>,
    /// Send it as `cursor` to get the next page; none at the end.
    pub(crate) next_cursor: Option<String>,
    /// Set when the page stopped looking before the end: nothing older was looked at yet.
    pub(crate) searched_back_to: Option<DateTime<Utc>>,
}

impl From<Page<JobRow>> for JobList {
    fn from(page: Page<JobRow>) -> Self {
        Self {
            jobs: page.rows.into_iter().map(JobItem::from).collect(),
            next_cursor: page.next,
            searched_back_to: page.searched_back_to,
        }
    }
}
