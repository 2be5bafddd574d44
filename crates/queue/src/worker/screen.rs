//! What happens to claimed jobs before they get a handler: unknown kinds, passed deadlines and rate
//! limits are settled here, without a slot being used.

use chrono::Utc;
use domain::{JobState, LimitUse, OrgId};
use telemetry::metric;
use tracing::warn;

use super::Shared;
use crate::ledger::claim::Claimed;
use crate::ledger::finish::Settled;
use crate::limiter::{Asking, Verdict};

/// Settles what must not run; the others come back as they are.
pub(crate) async fn screen(shared: &Shared, jobs: Vec<Claimed>) -> Vec<(Claimed, Option<Settled>)> {
    let now = Utc::now();
    let mut screened: Vec<(Claimed, Option<Settled>)> = Vec::with_capacity(jobs.len());
    let mut limited: Vec<(usize, OrgId, Vec<LimitUse>)> = Vec::new();
    for job in jobs {
        let verdict = if shared.book.policy(&job.kind, job.kind_version).is_none() {
            Some(Settled::Ended {
                state: JobState::Dead,
                code: "unknown_kind".into(),
                message: format!(
                    "no worker here knows {} version {}; deploy one that does, then replay",
                    job.kind, job.kind_version
                ),
            })
        } else if job.cancel_asked {
            Some(Settled::Ended {
                state: JobState::Cancelled,
                code: "cancelled".into(),
                message: "cancelled while it was running; not run again".into(),
            })
        } else if job.deadline_at.is_some_and(|deadline| deadline < now) {
            Some(Settled::Ended {
                state: JobState::Expired,
                code: "deadline_passed".into(),
                message: "the deadline passed before the job could run".into(),
            })
        } else {
            if !job.permit {
                let draws = shared.book.limits(&job.kind, job.kind_version, &job.payload);
                if !draws.is_empty() {
                    limited.push((screened.len(), job.org_id, draws));
                }
            }
            None
        };
        screened.push((job, verdict));
    }
    if limited.is_empty() {
        return screened;
    }
    let mut away = false;
    for (at, org, draws) in limited {
        let verdict = if away { None } else { shared.queue.ask_limits(org, &draws, Asking::New).await.ok() };
        let (by, micros) = match verdict {
            Some(Verdict::Go) => continue,
            Some(Verdict::Wait { by, micros }) => (by, micros),
            Some(Verdict::Stale) | None => {
                // Without the limiter nothing that is limited may run: a second's wait, then ask again.
                if !away {
                    warn!("the limiter is away: limited jobs wait");
                }
                away = true;
                (0, 1_000_000)
            }
        };
        let Some(by) = draws.get(by) else { continue };
        metrics::counter!(metric::RATE_LIMIT_WAITS_TOTAL, "limit" => by.name.to_string()).increment(1);
        if let Some((_, settled)) = screened.get_mut(at) {
            *settled = Some(Settled::Parked {
                what: "limit".into(),
                key: format!("{}:{}", by.name, by.key),
                // From now, not from before the others were asked: nobody comes before his turn.
                until: Some(
                    Utc::now() + chrono::Duration::microseconds(i64::try_from(micros).unwrap_or(i64::MAX)),
                ),
                detail: serde_json::to_string(&draws).ok(),
            });
        }
    }
    screened
}
