//! `countersign jobs show`: one job with its story.

use chrono::{DateTime, Utc};
use domain::JobId;
use jobs::Registry;
use serde_json::{Value, json};
use store::jobs::{Detail, detail};

use super::view;
use crate::operator::{InOrg, Operator, registry};
use crate::output::Out;
use crate::table::Table;
use crate::when;

/// Arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The job's id
    #[arg(value_parser = super::id)]
    job: JobId,
    #[command(flatten)]
    org: InOrg,
}

/// Prints one job.
pub(super) async fn run(args: &Args, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(&args.org).await?;
    let found = detail(&mut operator.tx(org.org_id).await?, args.job).await?;
    let registry = registry()?;
    let payload = shown_payload(&registry, &found);
    let timeline = timeline(&found);
    out.json(&json_of(&found, &payload, &timeline))?;
    if out.is_json() {
        return Ok(());
    }
    out.say(facts(&found, &payload))?;
    out.say("")?;
    let mut table = Table::new(&["WHEN (UTC)", "WHAT", "DETAIL"]);
    for entry in timeline {
        table.row([when::shown(entry.at), entry.what, entry.detail]);
    }
    out.say(table)
}

/// The payload without what its kind hides.
fn shown_payload(registry: &Registry, found: &Detail) -> Value {
    let payload = serde_json::from_str(&found.payload).unwrap_or_default();
    registry.redact(&found.job.kind, found.job.kind_version, &payload)
}

fn parsed(text: Option<&String>) -> Option<Value> {
    serde_json::from_str(text?).ok()
}

fn json_of(found: &Detail, payload: &Value, timeline: &[Entry]) -> Value {
    let mut job = view::json_of(&found.job);
    let more = json!({
        "payload": payload,
        "result": parsed(found.result.as_ref()),
        "worker_id": found.worker_id,
        "claim_no": found.claim_no,
        "discard_reason": found.discard_reason,
        "lane_mode": { "platform": found.lane_modes.platform, "org": found.lane_modes.org },
        "batch": found.batch.as_ref().map(|batch| json!({
            "batch_id": batch.batch_id, "name": batch.name, "total": batch.total,
            "succeeded": batch.succeeded, "failed": batch.failed, "completed_at": batch.completed_at,
        })),
        "children": found.children.iter().map(|child| json!({
            "job_id": child.job_id, "kind": child.kind, "state": child.state.0,
        })).collect::<Vec<_>>(),
        "timeline": timeline.iter().map(|entry| json!({
            "at": entry.at, "what": entry.what, "detail": entry.detail,
        })).collect::<Vec<_>>(),
    });
    if let (Some(job), Value::Object(more)) = (job.as_object_mut(), more) {
        job.extend(more);
    }
    job
}

fn facts(found: &Detail, payload: &Value) -> String {
    let job = &found.job;
    let mut facts = vec![
        ("job", job.job_id.to_string()),
        ("kind", format!("{}@{}", job.kind, job.kind_version)),
        ("lane", format!("{} (priority {})", job.lane, job.priority)),
        ("state", view::state(job)),
        ("attempt", format!("{} of {}", job.attempt, job.max_attempts)),
    ];
    let mut add = |name, text: String| {
        if !text.is_empty() {
            facts.push((name, text));
        }
    };
    add("why", view::why(job));
    if job.state.0 == domain::JobState::Queued && found.lane_modes.platform != "open" {
        add("waits", format!("the lane is {} for everybody", found.lane_modes.platform));
    } else if job.state.0 == domain::JobState::Queued && found.lane_modes.org != "open" {
        add("waits", format!("the lane is {} for this organisation", found.lane_modes.org));
    }
    add("key", job.idempotency_key.clone().unwrap_or_default());
    add("request", job.request_id.clone().unwrap_or_default());
    add("parent", job.parent_job_id.map(|id| id.to_string()).unwrap_or_default());
    if let Some(batch) = &found.batch {
        let ended = batch.succeeded + batch.failed;
        add("batch", format!("{} {} ({ended} of {} ended)", batch.batch_id, batch.name, batch.total));
    }
    for child in &found.children {
        add("child", format!("{} {} {}", child.job_id, child.kind, child.state.0.as_str()));
    }
    add("payload", payload.to_string());
    add("result", found.result.clone().unwrap_or_default());
    let lines: Vec<String> = facts.iter().map(|(name, text)| format!("{name:<8} {text}")).collect();
    lines.join("\n")
}

struct Entry {
    at: DateTime<Utc>,
    what: String,
    detail: String,
}

/// Columns, attempts and events in the order of time.
fn timeline(found: &Detail) -> Vec<Entry> {
    let job = &found.job;
    let mut entries = Vec::new();
    let mut add = |at: Option<DateTime<Utc>>, what: &str, detail: String| {
        if let Some(at) = at {
            entries.push(Entry { at, what: what.to_owned(), detail });
        }
    };
    add(Some(job.created_at), "created", String::new());
    for attempt in &found.attempts {
        let cause = match (&attempt.error_code, &attempt.error_message) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.clone(),
            _ => String::new(),
        };
        add(attempt.started_at, "started", format!("attempt {}", attempt.attempt));
        add(Some(attempt.finished_at), &attempt.outcome, cause);
    }
    let last_is_told = found.attempts.iter().any(|attempt| attempt.claim_no == found.claim_no);
    if !last_is_told {
        add(job.queued_at, "queued", String::new());
        add(job.started_at, "started", format!("attempt {}", job.attempt));
    }
    for event in &found.events {
        let who = event.actor_name.as_ref().map(|name| format!("by {name}")).unwrap_or_default();
        let detail = event.detail.as_deref().unwrap_or_default();
        add(Some(event.at), &event.what, format!("{who} {detail}").trim().to_owned());
    }
    if !last_is_told {
        add(job.finished_at, job.state.0.as_str(), job.error_message.clone().unwrap_or_default());
    }
    // Stable: what shares a moment keeps the order above.
    entries.sort_by_key(|entry| entry.at);
    entries
}
