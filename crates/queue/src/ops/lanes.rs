//! Lanes: how they stand, and who pauses, resumes or drains what.
//!
//! An organisation decides over its own share of a lane; only the platform decides over the lane.

use chrono::{DateTime, Utc};
use domain::{ActorId, OrgId};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;

use super::{After, reach};
use crate::error::OpsError;

/// What a lane does with jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LaneMode {
    /// Takes jobs in and lets them run.
    Open,
    /// Takes jobs in; none starts. Running ones end as usual.
    Paused,
    /// Works off what is queued; new jobs are taken in and parked until the lane is opened again.
    Draining,
}

impl LaneMode {
    /// The mode in lower case, as the database writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Draining => "draining",
        }
    }

    /// Reads a mode; a word that is none counts as open.
    #[must_use]
    pub fn of(text: &str) -> Self {
        match text {
            "paused" => Self::Paused,
            "draining" => Self::Draining,
            _ => Self::Open,
        }
    }
}

/// One lane as an organisation sees it.
#[derive(Clone, Debug, FromRow)]
pub struct LaneView {
    /// Name.
    pub lane: String,
    /// The platform's mode.
    pub mode: String,
    /// The organisation's mode for its own share.
    pub org_mode: String,
    /// Slots in each worker process.
    pub concurrency: i32,
    /// Bound of the organisation's running jobs, its own or the lane's.
    pub org_cap: Option<i32>,
    /// Order among the lanes.
    pub position: i16,
    /// The organisation's jobs waiting for their time.
    pub scheduled: i64,
    /// Ready ones.
    pub queued: i64,
    /// Running ones.
    pub running: i64,
    /// Ones waiting for a reason.
    pub parked: i64,
    /// Since when the oldest ready one waits.
    pub oldest_queued_at: Option<DateTime<Utc>>,
}

/// All lanes with the organisation's open jobs in them. `org` none counts every organisation's jobs (for
/// the platform's own tools, under the engine's role).
///
/// # Errors
/// [`OpsError::Queue`].
pub async fn list(connection: &mut PgConnection, org: Option<OrgId>) -> Result<Vec<LaneView>, OpsError> {
    Ok(sqlx::query_as(
        "SELECT l.lane, l.mode, coalesce(o.mode, 'open') AS org_mode, l.concurrency,
                coalesce(o.org_cap, l.org_cap) AS org_cap, l.position,
                coalesce(d.scheduled, 0) AS scheduled, coalesce(d.queued, 0) AS queued,
                coalesce(d.running, 0) AS running, coalesce(d.parked, 0) AS parked, d.oldest_queued_at
         FROM lane l
         LEFT JOIN lane_org o ON o.lane = l.lane AND o.org_id = $1
         LEFT JOIN (
             SELECT lane,
                    count(*) FILTER (WHERE state = 'scheduled') AS scheduled,
                    count(*) FILTER (WHERE state = 'queued') AS queued,
                    count(*) FILTER (WHERE state = 'running') AS running,
                    count(*) FILTER (WHERE state = 'parked') AS parked,
                    min(queued_at) FILTER (WHERE state = 'queued') AS oldest_queued_at
             FROM job WHERE $1::uuid IS NULL OR org_id = $1 GROUP BY lane
         ) d ON d.lane = l.lane
         ORDER BY l.position, l.lane",
    )
    .bind(org.map(|org| org.0))
    .fetch_all(connection)
    .await?)
}

/// What an organisation says about its own share of a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct LaneShare {
    /// `open`, `paused` or `draining`.
    pub mode: String,
    /// Its own bound of running jobs; none for the lane's.
    pub org_cap: Option<i32>,
}

/// What an organisation says about its own share of a lane; open and without a bound of its own unless it said
/// otherwise.
///
/// # Errors
/// [`OpsError::Queue`].
pub async fn share(connection: &mut PgConnection, org: OrgId, lane: &str) -> Result<LaneShare, OpsError> {
    let said = sqlx::query_as("SELECT mode, org_cap FROM lane_org WHERE org_id = $1 AND lane = $2")
        .bind(org.0)
        .bind(lane)
        .fetch_optional(connection)
        .await?;
    Ok(said.unwrap_or_else(|| LaneShare { mode: LaneMode::Open.as_str().to_owned(), org_cap: None }))
}

async fn known(connection: &mut PgConnection, lane: &str) -> Result<(), OpsError> {
    let found: Option<i32> = sqlx::query_scalar("SELECT 1 FROM lane WHERE lane = $1")
        .bind(lane)
        .fetch_optional(connection)
        .await?;
    found.map(|_| ()).ok_or(OpsError::NotFound("lane"))
}

fn check_cap(cap: Option<i32>) -> Result<(), OpsError> {
    if cap.is_some_and(|cap| !(1..=100_000).contains(&cap)) {
        return Err(OpsError::Invalid {
            field: "org_cap",
            problem: "must lie between 1 and 100000, or be null for no cap".into(),
        });
    }
    Ok(())
}

/// Sets the mode of an organisation's share of a lane.
///
/// # Errors
/// [`OpsError::NotFound`] for an unknown lane.
pub async fn set_org_mode(
    connection: &mut PgConnection,
    org: OrgId,
    lane: &str,
    mode: LaneMode,
    actor: Option<ActorId>,
) -> Result<After, OpsError> {
    known(connection, lane).await?;
    sqlx::query(
        "INSERT INTO lane_org (org_id, lane, mode, changed_by) VALUES ($1, $2, $3, $4)
         ON CONFLICT (org_id, lane) DO UPDATE SET mode = $3, changed_at = now(), changed_by = $4",
    )
    .bind(org.0)
    .bind(lane)
    .bind(mode.as_str())
    .bind(actor.map(|actor| actor.0))
    .execute(&mut *connection)
    .await?;
    release_parked(connection, lane, Some(org), mode).await?;
    Ok(After { settings: true, ..After::default() })
}

/// Sets an organisation's own cap in a lane.
///
/// # Errors
/// [`OpsError::NotFound`] for an unknown lane, [`OpsError::Invalid`] for a cap out of range.
pub async fn set_org_cap(
    connection: &mut PgConnection,
    org: OrgId,
    lane: &str,
    cap: Option<i32>,
    actor: Option<ActorId>,
) -> Result<After, OpsError> {
    check_cap(cap)?;
    known(connection, lane).await?;
    sqlx::query(
        "INSERT INTO lane_org (org_id, lane, org_cap, changed_by) VALUES ($1, $2, $3, $4)
         ON CONFLICT (org_id, lane) DO UPDATE SET org_cap = $3, changed_at = now(), changed_by = $4",
    )
    .bind(org.0)
    .bind(lane)
    .bind(cap)
    .bind(actor.map(|actor| actor.0))
    .execute(connection)
    .await?;
    Ok(After { settings: true, ..After::default() })
}

/// Changes to a lane for everybody; fields that are none stay as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct LanePatch {
    /// New mode.
    pub mode: Option<LaneMode>,
    /// New number of slots in each worker process, 1 … 10000.
    pub concurrency: Option<i32>,
    /// New cap for each organisation (`Some(None)` takes it away).
    pub org_cap: Option<Option<i32>>,
}

/// Changes a lane for everybody. For the platform's own tools only: needs the engine's role.
///
/// # Errors
/// [`OpsError::NotFound`] for an unknown lane, [`OpsError::Invalid`] for a number out of range.
pub async fn set_platform(
    connection: &mut PgConnection,
    lane: &str,
    patch: LanePatch,
) -> Result<After, OpsError> {
    check_cap(patch.org_cap.flatten())?;
    if patch.concurrency.is_some_and(|slots| !(1..=10_000).contains(&slots)) {
        return Err(OpsError::Invalid {
            field: "concurrency",
            problem: "must lie between 1 and 10000".into(),
        });
    }
    let changed = sqlx::query(
        "UPDATE lane SET mode = coalesce($2, mode), concurrency = coalesce($3, concurrency),
                org_cap = CASE WHEN $4 THEN $5 ELSE org_cap END, changed_at = now()
         WHERE lane = $1",
    )
    .bind(lane)
    .bind(patch.mode.map(LaneMode::as_str))
    .bind(patch.concurrency)
    .bind(patch.org_cap.is_some())
    .bind(patch.org_cap.flatten())
    .execute(&mut *connection)
    .await?;
    if changed.rows_affected() == 0 {
        return Err(OpsError::NotFound("lane"));
    }
    if let Some(mode) = patch.mode {
        release_parked(connection, lane, None, mode).await?;
    }
    Ok(After { settings: true, ..After::default() })
}

/// Makes jobs due that were parked for a draining lane which is open by now. The opening released those it
/// saw; a process that learns of it a second later still parks newcomers, and nobody else would let them go.
pub(crate) async fn release_late(connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE job_wait SET due_at = now() WHERE job_id = ANY (ARRAY(
             SELECT w.job_id FROM job_wait w JOIN lane l ON l.lane = w.key
             WHERE l.mode <> 'draining' AND w.what = 'lane' AND w.due_at IS NULL
               AND NOT EXISTS (SELECT FROM lane_org o
                               WHERE o.org_id = w.org_id AND o.lane = w.key AND o.mode = 'draining')
             FOR UPDATE OF w SKIP LOCKED))",
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Jobs that were parked because the lane was draining become due; the promotion lets them in, in
/// batches.
async fn release_parked(
    connection: &mut PgConnection,
    lane: &str,
    org: Option<OrgId>,
    mode: LaneMode,
) -> Result<(), sqlx::Error> {
    if mode == LaneMode::Draining {
        return Ok(());
    }
    // A share of a lane is the whole organisation's, whichever rooms the one who opens it sees.
    let view = reach::widen(connection).await?;
    sqlx::query(
        // One that somebody holds is on its way out; if not, the latecomers' round finds it.
        "UPDATE job_wait SET due_at = now() WHERE job_id = ANY (ARRAY(
             SELECT job_id FROM job_wait WHERE what = 'lane' AND key = $1 AND due_at IS NULL
                AND ($2::uuid IS NULL OR org_id = $2)
             FOR UPDATE SKIP LOCKED))",
    )
    .bind(lane)
    .bind(org.map(|org| org.0))
    .execute(&mut *connection)
    .await?;
    reach::narrow(connection, view).await
}
