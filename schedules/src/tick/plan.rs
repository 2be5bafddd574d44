//! What one due schedule is to do: which ticks become which jobs, which are given up, when it is next due.
//! Pure. It refuses to guess: whatever keeps a job from being made is a sentence for its owner.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use domain::{ActorId, OrgId, ScheduleId, WorkspaceId};
use jobs::{PrepareError, Registry};
use queue::NewJob;
use queue::new_job::MAX_AHEAD_DAYS;
use serde_json::value::RawValue;

use crate::cadence::{Cadence, CatchUp, catch_up, jitter};

/// Most field errors told in one problem.
const MOST_FIELDS: usize = 5;

/// A due schedule as the ticker reads it.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) schedule_id: ScheduleId,
    pub(super) org_id: OrgId,
    pub(super) workspace_id: Option<WorkspaceId>,
    pub(super) actor_id: Option<ActorId>,
    pub(super) kind: String,
    pub(super) kind_version: i16,
    pub(super) payload: String,
    pub(super) lane: Option<String>,
    pub(super) priority: i16,
    pub(super) expression: String,
    pub(super) zone: String,
    pub(super) catch_up: String,
    pub(super) jitter_ms: i64,
    pub(super) next_tick_at: DateTime<Utc>,
}

/// What becomes of its due ticks.
#[derive(Debug)]
pub(super) struct Plan {
    /// One job for each tick that fires, oldest first.
    pub(super) jobs: Vec<NewJob>,
    /// The newest of those ticks.
    pub(super) last_fired: Option<DateTime<Utc>>,
    /// Ticks given up, counted up to a bound that only a long absence reaches.
    pub(super) skipped: i64,
    /// The newest of those.
    pub(super) last_skipped: Option<DateTime<Utc>>,
    /// The first tick after now; none past the end of the calendar.
    pub(super) next: Option<DateTime<Utc>>,
}

/// Decides for one schedule, or says what is wrong with it.
pub(super) fn plan(
    due: &Due,
    registry: &Registry,
    now: DateTime<Utc>,
    grace: Duration,
) -> Result<Plan, String> {
    let cadence = Cadence::parse(&due.expression, &due.zone).map_err(|error| error.to_string())?;
    let policy: CatchUp = due.catch_up.parse().map_err(|error| format!("{error}"))?;
    // The next tick is the oldest one open, so everything before it is dealt with.
    let dealt_with = due.next_tick_at - TimeDelta::microseconds(1);
    let decision = catch_up(&cadence, policy, dealt_with, now, grace);
    let jobs = match decision.fire.as_slice() {
        [] => Vec::new(),
        ticks => {
            let job = prepare(due, registry)?;
            ticks.iter().map(|tick| at_tick(&job, due, *tick, now)).collect()
        }
    };
    Ok(Plan {
        jobs,
        last_fired: decision.fire.last().copied(),
        skipped: decision.skipped.map_or(0, |skipped| i64::try_from(skipped.count).unwrap_or(i64::MAX)),
        last_skipped: decision.skipped.map(|skipped| skipped.newest),
        next: cadence.next_tick(now),
    })
}

fn prepare(due: &Due, registry: &Registry) -> Result<NewJob, String> {
    let payload = RawValue::from_string(due.payload.clone())
        .map_err(|_| "the stored payload is no JSON; set it again".to_owned())?;
    let mut job = registry
        .prepare(due.org_id, &due.kind, Some(due.kind_version), payload)
        .map_err(|error| explain(&error))?;
    if let Some(lane) = &due.lane {
        job.lane = lane.as_str().into();
    }
    job.priority = due.priority;
    job.workspace_id = due.workspace_id;
    job.actor_id = due.actor_id;
    Ok(job)
}

fn at_tick(job: &NewJob, due: &Due, tick: DateTime<Utc>, now: DateTime<Utc>) -> NewJob {
    let most = Duration::from_millis(u64::try_from(due.jitter_ms).unwrap_or(0));
    let moved = tick + jitter(due.schedule_id.0, tick, most);
    // A tick fired very late is older than the ledger takes; it runs at once either way.
    let oldest = now - TimeDelta::days(MAX_AHEAD_DAYS - 1);
    NewJob {
        job_id: domain::JobId::new(),
        run_at: Some(moved.max(oldest)),
        // Over a key derived from the payload: this payload comes back with every tick.
        idempotency_key: Some(tick_key(due.schedule_id, tick)),
        ..job.clone()
    }
}

/// The key under which a tick can become only one job.
pub(super) fn tick_key(schedule: ScheduleId, tick: DateTime<Utc>) -> String {
    format!("schedule:{schedule}@{}", tick.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn explain(error: &PrepareError) -> String {
    let PrepareError::Invalid { kind, version, errors, .. } = error else {
        return error.to_string();
    };
    let fields: Vec<_> = errors
        .iter()
        .take(MOST_FIELDS)
        .map(|wrong| {
            format!("{} {}", if wrong.pointer.is_empty() { "it" } else { &wrong.pointer }, wrong.message)
        })
        .collect();
    format!("the payload no longer fits {kind}@{version}: {}", fields.join("; "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn due(next: &str) -> Due {
        Due {
            schedule_id: ScheduleId::new(),
            org_id: OrgId::new(),
            workspace_id: None,
            actor_id: Some(ActorId::new()),
            kind: "system.echo".into(),
            kind_version: 1,
            payload: r#"{"message":"hello"}"#.into(),
            lane: None,
            priority: 7,
            expression: "0 * * * *".into(),
            zone: "UTC".into(),
            catch_up: "all".into(),
            jitter_ms: 0,
            next_tick_at: at(next),
        }
    }

    const GRACE: Duration = Duration::from_secs(60);

    #[test]
    fn each_tick_is_a_job_with_a_key_of_its_own() {
        let due = due("2026-11-22T08:00:00Z");
        let registry = Registry::standard().unwrap();
        let plan = plan(&due, &registry, at("2026-11-22T10:00:00.5Z"), GRACE).unwrap();
        let keys: Vec<_> = plan.jobs.iter().map(|job| job.idempotency_key.clone().unwrap()).collect();
        let expected: Vec<_> = ["08", "09", "10"]
            .map(|hour| format!("schedule:{}@2026-11-22T{hour}:00:00Z", due.schedule_id))
            .to_vec();
        assert_eq!(keys, expected);
        assert_eq!(plan.jobs[0].run_at, Some(at("2026-11-22T08:00:00Z")));
        assert_eq!((plan.jobs[0].priority, plan.jobs[0].actor_id), (7, due.actor_id));
        assert_ne!(plan.jobs[0].job_id, plan.jobs[1].job_id);
        assert_eq!(plan.last_fired, Some(at("2026-11-22T10:00:00Z")));
        assert_eq!(plan.next, Some(at("2026-11-22T11:00:00Z")));
    }

    #[test]
    fn jitter_moves_the_run_and_not_the_key() {
        let registry = Registry::standard().unwrap();
        let mut due = due("2026-11-22T08:00:00Z");
        due.jitter_ms = 600_000;
        let first = plan(&due, &registry, at("2026-11-22T08:00:01Z"), GRACE).unwrap();
        let again = plan(&due, &registry, at("2026-11-22T08:00:09Z"), GRACE).unwrap();
        let tick = at("2026-11-22T08:00:00Z");
        let run_at = first.jobs[0].run_at.unwrap();
        assert!(run_at > tick && run_at < tick + TimeDelta::minutes(10), "{run_at}");
        assert_eq!(again.jobs[0].run_at, Some(run_at));
        assert_eq!(first.jobs[0].idempotency_key, Some(tick_key(due.schedule_id, tick)));
    }

    #[test]
    fn a_tick_of_years_ago_is_one_the_ledger_still_takes() {
        let mut due = due("2020-01-01T00:00:00Z");
        due.expression = "@yearly".into();
        let now = at("2026-11-22T08:00:00Z");
        let plan = plan(&due, &Registry::standard().unwrap(), now, GRACE).unwrap();
        assert_eq!(plan.jobs.len(), 7);
        assert!(plan.jobs.iter().all(|job| job.check(now).is_ok()));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_payload() {
        let registry = Registry::standard().unwrap();
        let mut wrong = due("2026-11-22T08:00:00Z");
        wrong.payload = r#"{"message":"hello","colour":"secret-blue"}"#.into();
        let said = plan(&wrong, &registry, at("2026-11-22T08:00:01Z"), GRACE).unwrap_err();
        assert!(said.contains("/colour") && !said.contains("secret-blue"), "{said}");
        wrong.kind = "system.ecko".into();
        let said = plan(&wrong, &registry, at("2026-11-22T08:00:01Z"), GRACE).unwrap_err();
        assert!(said.contains("system.echo"), "{said}");
    }

    #[test]
    fn a_tick_that_the_zone_database_moved_is_not_fired_early() {
        let mut early = due("2026-11-22T08:30:00Z");
        early.catch_up = "one".into();
        let plan = plan(&early, &Registry::standard().unwrap(), at("2026-11-22T08:30:01Z"), GRACE).unwrap();
        assert!(plan.jobs.is_empty());
        assert_eq!(plan.next, Some(at("2026-11-22T09:00:00Z")));
    }
}
