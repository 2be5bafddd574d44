//! `countersign enqueue`: one job, or many alike.

use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use domain::JobId;
use queue::dispatch::Ready;
use queue::{NewJob, Queue};
use serde_json::json;
use serde_json::value::RawValue;

use crate::operator::{InOrg, Operator, registry, tell_if_redis_is_away};
use crate::output::Out;
use crate::{payload, when};

/// Jobs in one commit.
const CHUNK: u64 = 1_000;

/// Arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The kind, such as system.echo
    kind: String,
    /// The payload as JSON text, @file, or - for standard input
    #[arg(long, default_value = "{}", value_name = "JSON", allow_hyphen_values = true)]
    payload: String,
    /// The payload's version [default: the newest]
    #[arg(long)]
    version_of_payload: Option<i16>,
    /// How many of it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    count: u64,
    /// Another lane than the kind's own
    #[arg(long)]
    lane: Option<String>,
    /// Idempotency key: a repeat answers the first job (with --count: <key>-1, <key>-2, …)
    #[arg(long)]
    key: Option<String>,
    /// At most one job of the kind with this key waits at a time
    #[arg(long)]
    unique: Option<String>,
    /// -100 … 100, higher is sooner
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    priority: i16,
    /// Not before (2026-05-01T12:00:00Z, or 2h for in two hours)
    #[arg(long, value_parser = when::future)]
    at: Option<DateTime<Utc>>,
    /// Not after
    #[arg(long, value_parser = when::future)]
    deadline: Option<DateTime<Utc>>,
    /// Attempts in all [default: the kind's]
    #[arg(long)]
    max_attempts: Option<i16>,
    #[command(flatten)]
    org: InOrg,
}

/// Enqueues and prints ids: one id for one job, counts for many.
pub(crate) async fn run(args: Args, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(&args.org).await?;
    let text = payload::read(&args.payload)?;
    let mut job = payload::prepare(&registry()?, org.org_id, &args.kind, args.version_of_payload, text)?;
    job.actor_id = Some(org.system_actor_id);
    job.priority = args.priority;
    job.run_at = args.at;
    job.deadline_at = args.deadline;
    job.unique_key.clone_from(&args.unique);
    if let Some(lane) = args.lane {
        job.lane = lane.into();
    }
    if let Some(attempts) = args.max_attempts {
        job.max_attempts = attempts;
    }
    let queue = operator.queue().await?;
    if args.count == 1 {
        job.idempotency_key = args.key.or(job.idempotency_key);
        let ready = ready(&job);
        let enqueued = queue.enqueue(job).await?;
        if enqueued.created {
            send(&queue, &[ready]).await;
        }
        out.json(&json!({ "job_id": enqueued.job_id, "created": enqueued.created }))?;
        out.say(enqueued.job_id)?;
        return if enqueued.created { Ok(()) } else { out.say("it was there already") };
    }
    many(&queue, &job, args.count, args.key.as_deref(), out).await
}

async fn many(queue: &Queue, model: &NewJob, count: u64, key: Option<&str>, out: Out) -> anyhow::Result<()> {
    let bar = out.progress(count, "enqueueing");
    let began = std::time::Instant::now();
    let mut created = 0_u64;
    let mut done = 0;
    while done < count {
        let chunk: Vec<NewJob> = (done..count.min(done + CHUNK)).map(|n| copy(model, key, n + 1)).collect();
        let ready: Vec<Ready> = chunk.iter().map(ready).collect();
        let size = chunk.len() as u64;
        let mut new = Vec::with_capacity(ready.len());
        for (outcome, ready) in queue.enqueue_many(chunk).await.into_iter().zip(ready) {
            let enqueued = outcome.with_context(|| format!("stopped after {created} new jobs"))?;
            if enqueued.created {
                created += 1;
                new.push(ready);
            }
        }
        send(queue, &new).await;
        done += size;
        bar.set_position(done);
    }
    bar.finish_and_clear();
    if created > count {
        bail!("more jobs were made than asked for; this is a mistake in the program");
    }
    let secs = began.elapsed().as_secs_f64();
    out.json(&json!({ "asked": count, "created": created, "seconds": secs }))?;
    let already = count - created;
    out.say(format_args!("{created} enqueued, {already} were there already, {secs:.2} s"))
}

fn copy(model: &NewJob, key: Option<&str>, number: u64) -> NewJob {
    let mut job = model.clone();
    job.job_id = JobId::new();
    job.idempotency_key = key.map(|key| format!("{key}-{number}"));
    // A payload shared by all of them is copied, for each job owns its own.
    job.payload = RawValue::to_owned(&model.payload);
    job
}

fn ready(job: &NewJob) -> Ready {
    Ready {
        job_id: job.job_id,
        org_id: job.org_id,
        lane: job.lane.clone(),
        score: NewJob::score(job.priority, job.run_at.unwrap_or_else(Utc::now)),
    }
}

/// Sends ids before this process ends: the engine does it in the background, which may be too late here.
/// An id that was sent twice is one id, and one that may not run yet is not taken.
async fn send(queue: &Queue, jobs: &[Ready]) {
    let sending = tokio::time::timeout(Duration::from_secs(3), queue.dispatch().push(jobs)).await;
    if !matches!(sending, Ok(Ok(()))) {
        tell_if_redis_is_away(queue).await;
    }
}
