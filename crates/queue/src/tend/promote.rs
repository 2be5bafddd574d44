//! Promotion: jobs whose time has come return to their lanes. Those that wait for a rate limit ask it
//! here, in their order, so that they hold its permit when they reach a worker. A line whose rate was
//! edited is drawn up anew here, by one process at a time.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::LimitUse;
use serde::Deserialize;
use sqlx::Connection;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use super::sweep::try_lock_here;
use crate::engine::Queue;
use crate::error::QueueError;
use crate::ledger::Profile;
use crate::ledger::waits::{Due, Later, admit, lock_due, lock_jobs, next_due_in, postpone};
use crate::limiter::{Asking, Verdict};

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
    let due = lock_jobs(&mut tx, due).await?;
    let due: Vec<(Due, Draws)> = due
        .into_iter()
        .map(|job| {
            let draws = Draws::of(&job);
            (job, draws)
        })
        .collect();
    if due.iter().any(|(_, draws)| draws.drawing.is_some()) && !try_lock_here(&mut tx, 2).await? {
        // Two at once would mix up the order of the line.
        tx.rollback().await?;
        return Ok(SHORTEST);
    }
    if due.iter().any(|(_, draws)| draws.drawing.is_some()) {
        // Edited elsewhere, a moment ago: places are told at the new rate.
        queue.refresh_settings().await?;
    }
    let decided = decide(queue, due).await;
    if !decided.later.is_empty() {
        postpone(&mut tx, &decided.later).await?;
    }
    let ready = if decided.now.0.is_empty() {
        Vec::new()
    } else {
        admit(&mut tx, &decided.now.0, &decided.now.1).await?
    };
    tx.commit().await?;
    queue.send(ready);
    Ok(match decided.moment {
        Some(moment) => moment.max(SHORTEST),
        None if full => Duration::ZERO,
        None => SHORTEST,
    })
}

#[derive(Default)]
struct Decided {
    now: (Vec<Uuid>, Vec<bool>),
    later: Vec<Later>,
    /// Somebody's turn comes after this moment.
    moment: Option<Duration>,
}

/// What a job that waits for a limit draws on.
#[derive(Default, Deserialize)]
struct Draws {
    /// Set when the line is drawn up anew: which drawing of it.
    drawing: Option<String>,
    draws: Vec<LimitUse>,
}

impl Draws {
    /// None for a job that waits for something else.
    fn of(job: &Due) -> Self {
        let Some(detail) = job.detail.as_deref().filter(|_| job.what == "limit") else {
            return Self::default();
        };
        serde_json::from_str(detail)
            .or_else(|_| serde_json::from_str(detail).map(|draws| Self { drawing: None, draws }))
            .unwrap_or_default()
    }
}

async fn decide(queue: &Queue, due: Vec<(Due, Draws)>) -> Decided {
    let mut decided = Decided::default();
    // Once a bucket says wait, nobody behind in the same line is asked: order is kept. Those for whom it
    // is only a moment stay as they are, first in line; with a new time they could end up behind others.
    let mut closed: HashMap<String, Option<DateTime<Utc>>> = HashMap::new();
    let mut away = false;
    let log = |error| warn!(error = %error, "the limiter is away: limited jobs wait");
    for (job, Draws { drawing, draws }) in due {
        if draws.is_empty() {
            decided.now.0.push(job.job_id);
            decided.now.1.push(false);
            continue;
        }
        let line = format!("{}:{}", job.org_id, job.key);
        if let Some(until) = closed.get_mut(&line)
            && drawing.is_none()
        {
            let Some(until) = until else { continue };
            // Spread those behind it by their own cost, so that they come back one by one.
            *until += step(queue, &job, &draws);
            decided.later.push(Later { job_id: job.job_id, until: *until, key: job.key, placed: true });
            continue;
        }
        let asking = drawing.as_deref().map_or(Asking::InLine, Asking::Anew);
        let verdict =
            if away { None } else { queue.ask_limits(job.org_id, &draws, asking).await.map_err(log).ok() };
        match verdict {
            Some(Verdict::Go) => {
                decided.now.0.push(job.job_id);
                decided.now.1.push(true);
            }
            Some(Verdict::Wait { micros, .. })
                if drawing.is_none() && Duration::from_micros(micros) <= LONGEST =>
            {
                let wait = Duration::from_micros(micros);
                decided.moment = Some(decided.moment.map_or(wait, |moment| moment.min(wait)));
                closed.insert(line, None);
            }
            Some(Verdict::Wait { by, micros }) => {
                let wait = chrono::Duration::microseconds(i64::try_from(micros).unwrap_or(i64::MAX));
                let until = Utc::now() + wait;
                let key = draws.get(by).map_or(job.key, |draw| format!("{}:{}", draw.name, draw.key));
                if drawing.is_none() {
                    closed.insert(line, Some(until));
                }
                decided.later.push(Later { job_id: job.job_id, until, key, placed: true });
            }
            Some(Verdict::Stale) | None => {
                away = true;
                let until = Utc::now() + chrono::Duration::seconds(1);
                decided.later.push(Later { job_id: job.job_id, until, key: job.key, placed: false });
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
