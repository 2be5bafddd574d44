//! One job as lists show it.

use chrono::{DateTime, Utc};
use domain::JobState;
use sqlx::FromRow;
use uuid::Uuid;

/// A job's columns without payload and result. Times are UTC; what does not apply is none.
#[derive(Clone, Debug, FromRow)]
pub struct JobRow {
    /// The job.
    pub job_id: Uuid,
    /// Kind name.
    pub kind: String,
    /// Payload version.
    pub kind_version: i16,
    /// Its lane.
    pub lane: String,
    /// Where it stands.
    #[sqlx(try_from = "String")]
    pub state: StateText,
    /// -100 … 100, higher is sooner.
    pub priority: i16,
    /// Attempts used, the running one included.
    pub attempt: i16,
    /// Attempts allowed.
    pub max_attempts: i16,
    /// Times its worker died while running it.
    pub recoveries: i16,
    /// When it entered the ledger.
    pub created_at: DateTime<Utc>,
    /// Not run before this.
    pub run_at: DateTime<Utc>,
    /// When it last became ready.
    pub queued_at: Option<DateTime<Utc>>,
    /// When a worker last took it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Expires unrun after this.
    pub deadline_at: Option<DateTime<Utc>>,
    /// Progress reported so far.
    pub progress_done: Option<i64>,
    /// Progress that would be all.
    pub progress_total: Option<i64>,
    /// Room it belongs to.
    pub workspace_id: Option<Uuid>,
    /// Who asked for it.
    pub actor_id: Option<Uuid>,
    /// The only actor who sees it; none: everybody of its room.
    pub private_to: Option<Uuid>,
    /// The job that caused it.
    pub parent_job_id: Option<Uuid>,
    /// The batch it counts in.
    pub batch_id: Option<Uuid>,
    /// The caller's key.
    pub idempotency_key: Option<String>,
    /// The request that made it.
    pub request_id: Option<String>,
    /// Cancel was asked for while it ran.
    pub cancel_asked: bool,
    /// Why it ended badly.
    pub error_code: Option<String>,
    /// The same for people.
    pub error_message: Option<String>,
    /// When a dead letter was set aside.
    pub discarded_at: Option<DateTime<Utc>>,
    /// What it waits for: the sort of thing.
    pub wait_what: Option<String>,
    /// What it waits for: which one.
    pub wait_key: Option<String>,
    /// Until when it waits; none while `wait_what` is set means until it is released.
    pub wait_until: Option<DateTime<Utc>>,
}

/// A [`JobState`] read from its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateText(pub JobState);

impl TryFrom<String> for StateText {
    type Error = domain::state::UnknownState;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// The columns both tables have in common, from a table called `j`.
const SHARED: &str = "j.job_id, j.kind, j.kind_version, j.lane, j.state::text AS state, j.priority, j.attempt, \
     j.max_attempts, j.recoveries, j.created_at, j.run_at, j.queued_at, j.started_at, j.deadline_at, \
     j.progress_done, j.progress_total, j.workspace_id, j.actor_id, j.private_to, j.parent_job_id, j.batch_id, \
     j.idempotency_key, j.request_id";

/// Which of the two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// `job`: open work.
    Live,
    /// `job_history`: ended work.
    History,
}

impl Table {
    pub(super) const BOTH: [Self; 2] = [Self::Live, Self::History];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Live => "job",
            Self::History => "job_history",
        }
    }

    /// The columns of [`JobRow`] except the wait, from this table called `j`.
    pub(super) fn columns(self) -> String {
        let own = match self {
            Self::Live => {
                "NULL::timestamptz AS finished_at, j.cancel_asked, NULL::text AS error_code, \
                           NULL::text AS error_message, NULL::timestamptz AS discarded_at"
            }
            Self::History => {
                "j.finished_at, false AS cancel_asked, j.error_code, j.error_message, j.discarded_at"
            }
        };
        format!("{SHARED}, {own}")
    }
}

/// The wait's columns of [`JobRow`] from `job_wait` called `w`.
pub(super) const WAIT_COLUMNS: &str = "w.what AS wait_what, w.key AS wait_key, w.due_at AS wait_until";
