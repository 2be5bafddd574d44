//! Promotion: jobs whose time has come return to their lanes. Those that wait for a rate limit ask it
//! here, in their order, so that they hold its permit when they reach a worker.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::LimitUse;
use sqlx::Connection;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::engine::Queue;
use crate::error::QueueError;
use crate::ledger::Profile;
use crate::ledger::waits::{Due, admit, lock_due, next_due_in, postpone};
use crate::limiter::Verdict;

const BATCH: i64 = 500;
/// Longest sleep between looks: how late a job enqueued elsewhere with a near time may be.
const LONGEST: Duration = Duration::from_millis(200);
const SHORTEST: Duration = Duration::from_millis(2);

pub(super) async fn run(queue: Queue, stop: CancellationToken) {
    let mut connection = None;
    loop {
        let pause = match round(&queue, &mut connection).await {
            Ok(pause) => pause,
            Err(error) => {
                debug!(error = %error, "promotion waits");
                connection = None;
                Duration::from_millis(500)
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One look; answers how long to sleep.
async fn round(queue: &Queue, slot: &mut Option<sqlx::PgConnection>) -> Result<Duration, QueueError> {
    if slot.is_none() {
        *slot = Some(queue.open(Profile::Volatile).await?);
    }
    let Some(connection) = slot.as_mut() else {
        return Ok(LONGEST);
    };
    match next_due_in(connection).await? {
        Some(secs) if secs <= 0.0 => {}
        Some(secs) => return Ok(Duration::from_secs_f64(secs.min(60.0)).clamp(SHORTEST, LONGEST)),
        None => return Ok(LONGEST),
    }
    // If a crash of PostgreSQL forgets this, the wait is still there and the job is promoted again.
    let mut tx = connection.begin().await?;
    let due = lock_due(&mut tx, BATCH).await?;
    let full = i64::try_from(due.len()).is_ok_and(|n| n == BATCH);
    let decided = decide(queue, due).await;
    if !decided.later.0.is_empty() {
        postpone(&mut tx, &decided.later.0, &decided.later.1, &decided.later.2).await?;
    }
    let ready = if decided.now.0.is_empty() {
        Vec::new()
    } else {
        admit(&mut tx, &decided.now.0, &decided.now.1).await?
    };
    tx.commit().await?;
    queue.send(ready);
    Ok(if full { Duration::ZERO } else { SHORTEST })
}

#[derive(Default)]
struct Decided {
    now: (Vec<Uuid>, Vec<bool>),
    later: (Vec<Uuid>, Vec<DateTime<Utc>>, Vec<String>),
}

async fn decide(queue: &Queue, due: Vec<Due>) -> Decided {
    let mut decided = Decided::default();
    // Once a bucket says wait, nobody behind in the same line is asked: order is kept.
    let mut closed: HashMap<String, DateTime<Utc>> = HashMap::new();
    let now = Utc::now();
    for job in due {
        let draws: Vec<LimitUse> = match (job.what.as_str(), &job.detail) {
            ("limit", Some(detail)) => serde_json::from_str(detail).unwrap_or_default(),
            _ => Vec::new(),
        };
        if draws.is_empty() {
            decided.now.0.push(job.job_id);
            decided.now.1.push(false);
            continue;
        }
        let line = format!("{}:{}", job.org_id, job.key);
        if let Some(until) = closed.get_mut(&line) {
            // Spread those behind it by their own cost, so that they come back one by one.
            *until += step(queue, &job, &draws);
            decided.later.0.push(job.job_id);
            decided.later.1.push(*until);
            decided.later.2.push(job.key);
            continue;
        }
        match queue.limiter().ask(&[(job.org_id, &draws)], true).await.as_deref() {
            Ok([Verdict::Go]) => {
                decided.now.0.push(job.job_id);
                decided.now.1.push(true);
            }
            Ok([Verdict::Wait { by, micros }]) => {
                let until = now + chrono::Duration::microseconds(i64::try_from(*micros).unwrap_or(i64::MAX));
                let key = draws.get(*by).map_or(job.key, |draw| format!("{}:{}", draw.name, draw.key));
                closed.insert(line, until);
                decided.later.0.push(job.job_id);
                decided.later.1.push(until);
                decided.later.2.push(key);
            }
            Ok(_) => {}
            Err(error) => {
                warn!(error = %error, "the limiter is away: limited jobs wait");
                closed.insert(line, now + chrono::Duration::seconds(1));
                decided.later.0.push(job.job_id);
                decided.later.1.push(now + chrono::Duration::seconds(1));
                decided.later.2.push(job.key);
            }
        }
    }
    decided
}

/// How long a job's own draws take at their rates.
fn step(queue: &Queue, job: &Due, draws: &[LimitUse]) -> chrono::Duration {
    let table = queue.limiter().table();
    let micros = draws
        .iter()
        .filter_map(|draw| {
            let (_, rate) = table.find(job.org_id, draw)?;
            Some(
                rate.period_ms.saturating_mul(1000) / u64::from(rate.units.max(1))
                    * u64::from(draw.units.max(1)),
            )
        })
        .max()
        .unwrap_or(1000);
    chrono::Duration::microseconds(i64::try_from(micros).unwrap_or(i64::MAX))
}
