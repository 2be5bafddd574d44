//! "Why is this waiting, until when?", in one sentence.

use chrono::{DateTime, Utc};
use domain::JobState;
use serde::Serialize;
use store::jobs::Detail;
use utoipa::ToSchema;

/// What a job waits for.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct WaitingOn {
    /// The sort of thing: `time`, `retry`, `limit`, `lane`, `worker`, or what its handler named.
    what: String,
    /// Which one.
    key: String,
    /// Until when; none means until something releases it.
    until: Option<DateTime<Utc>>,
    /// The same for people.
    explanation: String,
}

pub(crate) fn waiting_on(detail: &Detail) -> Option<WaitingOn> {
    let job = &detail.job;
    match job.state.0 {
        JobState::Running => None,
        state if state.is_final() => None,
        JobState::Queued => Some(queued(detail)),
        _ => {
            let what = job.wait_what.clone().unwrap_or_else(|| "time".to_owned());
            let key = job.wait_key.clone().unwrap_or_else(|| "run_at".to_owned());
            let until = if job.wait_what.is_some() { job.wait_until } else { Some(job.run_at) };
            let explanation = parked(&what, &key, until, detail);
            Some(WaitingOn { what, key, until, explanation })
        }
    }
}

fn queued(detail: &Detail) -> WaitingOn {
    let (lane, modes) = (&detail.job.lane, &detail.lane_modes);
    let held = |explanation| WaitingOn { what: "lane".into(), key: lane.clone(), until: None, explanation };
    if modes.platform == "paused" {
        return held(format!(
            "the lane {lane} is paused for everybody; it runs when the platform's operators resume it"
        ));
    }
    if modes.org == "paused" {
        return held(format!(
            "your organisation paused its share of the lane {lane}; resume it with POST /v1/lanes/{lane}/resume"
        ));
    }
    let explanation = if modes.workers == 0 {
        format!("it is ready, but no live worker serves the lane {lane}; start one")
    } else {
        format!("it is ready and waits for a free slot in the lane {lane}; jobs before it go first")
    };
    WaitingOn { what: "worker".into(), key: lane.clone(), until: None, explanation }
}

fn parked(what: &str, key: &str, until: Option<DateTime<Utc>>, detail: &Detail) -> String {
    let when = match until {
        Some(at) => format!("until {}", at.format("%Y-%m-%d %H:%M:%S UTC")),
        None => "until something releases it".to_owned(),
    };
    let job = &detail.job;
    match what {
        "time" => format!("it was scheduled for later and waits {when}"),
        "retry" => {
            let last = detail
                .attempts
                .last()
                .and_then(|attempt| attempt.error_code.as_deref())
                .unwrap_or("an error");
            format!(
                "attempt {} of {} ended with {last}; it waits {when} and then tries again",
                job.attempt, job.max_attempts
            )
        }
        "limit" => format!(
            "the rate limit {key} has no room; its turn comes {when} at the latest rate, in the order of arrival"
        ),
        "lane" => format!(
            "the lane {key} is draining and lets no new job in; it waits {when}, or until the lane is resumed"
        ),
        other => format!("its handler waits for {other} {key}, {when}"),
    }
}
