//! A schedule as it is stored and shown.
//!
//! It does not serialise its payload: whoever shows one passes it through `jobs::Registry::redact`.

use chrono::{DateTime, Utc};
use domain::{ActorId, JobId, JobState, OrgId, ScheduleId, WorkspaceId};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use utoipa::ToSchema;

use crate::cadence::{Cadence, CadenceError};
use crate::preview::{Tick, upcoming};
use crate::spec::Spec;

/// One schedule.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Schedule {
    /// Its id.
    pub schedule_id: ScheduleId,
    /// Whose it is.
    #[serde(skip)]
    pub org_id: OrgId,
    /// Room its jobs belong to.
    pub workspace_id: Option<WorkspaceId>,
    /// Name for people, unique in its organisation.
    pub name: String,
    /// Kind of its jobs.
    pub kind: String,
    /// Version of the payload.
    pub kind_version: i16,
    /// JSON text of its jobs' payload, unredacted; none in listings.
    #[serde(skip)]
    pub payload: Option<Box<RawValue>>,
    /// Lane of its jobs; none for the kind's own.
    pub lane: Option<String>,
    /// Priority of its jobs.
    pub priority: i16,
    /// Cron expression as written.
    pub expression: String,
    /// IANA time zone.
    pub zone: String,
    /// The cadence in one sentence, such as `every day at 02:30, Europe/Madrid`.
    pub description: String,
    /// What happens to missed ticks: `skip`, `one` or `all`.
    pub catch_up: String,
    /// Jobs start up to this many milliseconds after their tick.
    pub jitter_ms: i64,
    /// Whether it rests. Ticks that pass meanwhile never fire.
    pub paused: bool,
    /// The next tick; none while paused. In the past: it is due and about to fire, or `problem` says why not.
    pub next_tick_at: Option<DateTime<Utc>>,
    /// The newest tick that fired.
    pub last_tick_at: Option<DateTime<Utc>>,
    /// The newest job, by a tick or by hand.
    pub last_job_id: Option<JobId>,
    /// State of that job; none once it is past its retention.
    pub last_job_state: Option<JobState>,
    /// Ticks given up by the catch-up policy, ever.
    pub skipped_total: i64,
    /// The newest of those.
    pub last_skipped_at: Option<DateTime<Utc>>,
    /// Why due ticks can't fire.
    pub problem: Option<Problem>,
    /// Who made it.
    pub actor_id: Option<ActorId>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When somebody last changed it.
    pub changed_at: DateTime<Utc>,
}

/// Why the due ticks of a schedule can't fire. They stay due: once the cause is mended, the catch-up
/// policy decides about them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// What is wrong and what to do. Carries no value of the payload.
    pub message: String,
    /// When it was last seen.
    pub at: DateTime<Utc>,
    /// When it is tried again.
    pub retry_at: Option<DateTime<Utc>>,
}

impl Schedule {
    /// Its cadence.
    ///
    /// # Errors
    /// Only when the zone database of this program no longer has the stored zone, or an expression was
    /// written past [`crate::table`].
    pub fn cadence(&self) -> Result<Cadence, CadenceError> {
        Cadence::parse(&self.expression, &self.zone)
    }

    /// The next `n` ticks strictly after `now`, at most [`crate::MAX_PREVIEW`]; none while paused.
    #[must_use]
    pub fn next_ticks(&self, n: usize, now: DateTime<Utc>) -> Vec<Tick> {
        match self.cadence() {
            Ok(cadence) if !self.paused => upcoming(&cadence, n, now),
            _ => Vec::new(),
        }
    }

    pub(crate) fn spec(&self) -> Spec {
        Spec {
            name: self.name.clone(),
            expression: self.expression.clone(),
            zone: self.zone.clone(),
            catch_up: self.catch_up.clone(),
            jitter_ms: self.jitter_ms,
            lane: self.lane.clone(),
            priority: self.priority,
            paused: self.paused,
            workspace_id: self.workspace_id,
        }
    }
}

impl FromRow<'_, PgRow> for Schedule {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let (expression, zone): (String, String) = (row.try_get("expression")?, row.try_get("zone")?);
        let description =
            Cadence::parse(&expression, &zone).map_or_else(|error| error.to_string(), |it| it.describe());
        let payload = row.try_get::<Option<String>, _>("payload")?.map(RawValue::from_string).transpose();
        let message: Option<String> = row.try_get("last_error")?;
        let problem = match (message, row.try_get("last_error_at")?) {
            (Some(message), Some(at)) => Some(Problem { message, at, retry_at: row.try_get("held_until")? }),
            _ => None,
        };
        let state: Option<&str> = row.try_get("last_job_state")?;
        Ok(Self {
            schedule_id: ScheduleId(row.try_get("schedule_id")?),
            org_id: OrgId(row.try_get("org_id")?),
            workspace_id: row.try_get::<Option<_>, _>("workspace_id")?.map(WorkspaceId),
            name: row.try_get("name")?,
            kind: row.try_get("kind")?,
            kind_version: row.try_get("kind_version")?,
            payload: payload.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            lane: row.try_get("lane")?,
            priority: row.try_get("priority")?,
            expression,
            zone,
            description,
            catch_up: row.try_get("catch_up")?,
            jitter_ms: row.try_get("jitter_ms")?,
            paused: row.try_get("paused")?,
            next_tick_at: row.try_get("next_tick_at")?,
            last_tick_at: row.try_get("last_tick_at")?,
            last_job_id: row.try_get::<Option<_>, _>("last_job_id")?.map(JobId),
            last_job_state: state.and_then(|state| state.parse().ok()),
            skipped_total: row.try_get("skipped_total")?,
            last_skipped_at: row.try_get("last_skipped_at")?,
            problem,
            actor_id: row.try_get::<Option<_>, _>("actor_id")?.map(ActorId),
            created_at: row.try_get("created_at")?,
            changed_at: row.try_get("changed_at")?,
        })
    }
}
