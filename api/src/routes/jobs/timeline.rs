//! A job's story, put together from its columns, its attempts and its events.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use store::jobs::Detail;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::Problem;

/// One moment in a job's life.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Moment {
    /// When.
    at: DateTime<Utc>,
    /// `created`, `queued`, `started`, `attempt_ended`, `finished`, or what somebody did to it.
    #[schema(example = "attempt_ended")]
    what: String,
    /// Who did it, where somebody did.
    actor_id: Option<Uuid>,
    /// That actor's name.
    actor_name: Option<String>,
    /// What else is known.
    detail: Option<Value>,
}

impl Moment {
    fn plain(at: DateTime<Utc>, what: &str, detail: Option<Value>) -> Self {
        Self { at, what: what.to_owned(), actor_id: None, actor_name: None, detail }
    }
}

pub(crate) fn timeline(detail: &Detail) -> Result<Vec<Moment>, Problem> {
    let job = &detail.job;
    let mut moments = vec![Moment {
        actor_id: job.actor_id,
        ..Moment::plain(
            job.created_at,
            "created",
            (job.run_at > job.created_at).then(|| json!({ "run_at": job.run_at })),
        )
    }];
    // Earlier takings of the job are in its attempts; its columns know the last one only.
    for attempt in &detail.attempts {
        if let Some(at) = attempt.started_at {
            let told = json!({ "attempt": attempt.attempt, "claim": attempt.claim_no, "worker_id": attempt.worker_id });
            moments.push(Moment::plain(at, "started", Some(told)));
        }
        let told = json!({
            "attempt": attempt.attempt,
            "claim": attempt.claim_no,
            "outcome": attempt.outcome,
            "error_code": attempt.error_code,
            "error_message": attempt.error_message,
            "retry_at": attempt.retry_at,
        });
        moments.push(Moment::plain(attempt.finished_at, "attempt_ended", Some(told)));
    }
    if let Some(at) = job.queued_at {
        moments.push(Moment::plain(at, "queued", None));
    }
    let told = detail.attempts.iter().any(|attempt| attempt.claim_no == detail.claim_no);
    if let Some(at) = job.started_at
        && !told
    {
        let detail =
            json!({ "attempt": job.attempt, "claim": detail.claim_no, "worker_id": detail.worker_id });
        moments.push(Moment::plain(at, "started", Some(detail)));
    }
    for event in &detail.events {
        let told =
            event.detail.as_deref().map(serde_json::from_str).transpose().map_err(Problem::internal)?;
        moments.push(Moment {
            at: event.at,
            what: event.what.clone(),
            actor_id: event.actor_id,
            actor_name: event.actor_name.clone(),
            detail: told,
        });
    }
    if let Some(at) = job.finished_at {
        let told = json!({ "state": job.state.0, "error_code": job.error_code });
        moments.push(Moment::plain(at, "finished", Some(told)));
    }
    // Stable: what carries the same time stays in the order of a job's life.
    moments.sort_by_key(|moment| moment.at);
    Ok(moments)
}
