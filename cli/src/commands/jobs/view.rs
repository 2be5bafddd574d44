//! A job as commands print it.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use store::jobs::JobRow;

use crate::output::Out;
use crate::table::Table;
use crate::when;

/// The columns of lists as JSON.
pub(super) fn json_of(job: &JobRow) -> Value {
    json!({
        "job_id": job.job_id,
        "kind": job.kind,
        "kind_version": job.kind_version,
        "lane": job.lane,
        "state": job.state.0,
        "priority": job.priority,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "created_at": job.created_at,
        "run_at": job.run_at,
        "queued_at": job.queued_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "deadline_at": job.deadline_at,
        "progress": { "done": job.progress_done, "total": job.progress_total },
        "waiting_on": job.wait_what.as_ref().map(|what| json!({
            "what": what,
            "key": job.wait_key,
            "until": job.wait_until,
        })),
        "error_code": job.error_code,
        "error_message": job.error_message,
        "discarded_at": job.discarded_at,
        "cancel_asked": job.cancel_asked,
        "batch_id": job.batch_id,
        "parent_job_id": job.parent_job_id,
        "workspace_id": job.workspace_id,
        "idempotency_key": job.idempotency_key,
        "request_id": job.request_id,
    })
}

/// A list as a table.
pub(super) fn table(jobs: &[JobRow], out: Out) -> Table {
    let mut table = Table::new(&["ID", "KIND", "LANE", "STATE", ">TRY", ">AGE", "WHY"]);
    for job in jobs {
        table.row([
            job.job_id.to_string(),
            job.kind.clone(),
            job.lane.clone(),
            state(job),
            format!("{}/{}", job.attempt, job.max_attempts),
            when::ago(Some(job.created_at)),
            if out.is_terminal() { out.cell(&short_why(job), 60) } else { why(job) },
        ]);
    }
    table
}

/// The state, with how far it is.
pub(super) fn state(job: &JobRow) -> String {
    let state = job.state.0.as_str();
    match (job.discarded_at, job.progress_done, job.progress_total) {
        (Some(_), _, _) => "discarded".into(),
        (None, Some(done), Some(total)) if !job.state.0.is_final() => format!("{state} {done}/{total}"),
        _ => state.into(),
    }
}

/// What it waits for, or why it ended badly.
pub(super) fn why(job: &JobRow) -> String {
    if let Some(what) = &job.wait_what {
        let key = job.wait_key.as_deref().unwrap_or_default();
        return match job.wait_until {
            Some(until) => format!("waits for {what} {key} until {}", when::shown(until)),
            None => format!("waits for {what} {key}"),
        };
    }
    match (&job.error_code, &job.error_message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.clone(),
        _ if job.cancel_asked => "asked to stop".into(),
        _ => String::new(),
    }
}

/// The same for a narrow column: the time stands first, where it is not cut off.
fn short_why(job: &JobRow) -> String {
    match (&job.wait_what, job.wait_until) {
        (Some(what), Some(until)) => {
            let key = job.wait_key.as_deref().unwrap_or_default();
            format!("{}, waits for {what} {key}", until_when(until, Utc::now()))
        }
        _ => why(job),
    }
}

/// `until 14:05:00`; with the day when it is another one.
fn until_when(until: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let form = if until.date_naive() == now.date_naive() { "until %H:%M:%S" } else { "until %m-%d %H:%M:%S" };
    until.format(form).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn another_day_is_named() {
        let now = DateTime::parse_from_rfc3339("2026-05-01T23:00:00Z").unwrap().to_utc();
        assert_eq!(until_when(now, now), "until 23:00:00");
        assert_eq!(until_when(now + chrono::TimeDelta::hours(2), now), "until 05-02 01:00:00");
    }
}
