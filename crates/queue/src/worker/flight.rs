//! Jobs in this process' hands, and how to stop them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::{JobId, WorkerId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::slots::Slot;
use crate::ledger::claim::Claimed;

/// Why a running job was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody cancelled it.
    Cancelled,
    /// The worker is leaving and its time is up.
    Drained,
    /// The worker was declared lost; another one has the job now.
    LeaseLost,
}

/// One claimed job on its way through a lane's worker.
pub struct Assignment {
    /// The job.
    pub job: Claimed,
    pub(crate) worker: WorkerId,
    pub(crate) stop: Stop,
    pub(crate) slot: Option<Slot>,
}

impl Assignment {
    /// Resolves when the job is to stop.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.token.clone()
    }
}

/// A way to stop one job, with a reason.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    token: CancellationToken,
    reason: Arc<AtomicU8>,
}

impl Stop {
    pub(crate) fn stop(&self, reason: StopReason) {
        let code = match reason {
            StopReason::Cancelled => 1,
            StopReason::Drained => 2,
            StopReason::LeaseLost => 3,
        };
        // The first reason stands.
        let _ = self.reason.compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire);
        self.token.cancel();
    }

    /// Why the job was told to stop, if it was.
    pub(crate) fn reason(&self) -> Option<StopReason> {
        match self.reason.load(Ordering::Acquire) {
            1 => Some(StopReason::Cancelled),
            2 => Some(StopReason::Drained),
            3 => Some(StopReason::LeaseLost),
            _ => None,
        }
    }

    pub(crate) async fn stopped(&self) -> StopReason {
        self.token.cancelled().await;
        self.reason().unwrap_or(StopReason::Drained)
    }
}

/// By job: the claim, how to stop it, since when.
type Held = HashMap<Uuid, (i32, Stop, Instant)>;

/// All jobs in hand.
#[derive(Clone, Default)]
pub(crate) struct Flights {
    jobs: Arc<Mutex<Held>>,
}

impl Flights {
    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn add(&self, jobs: impl Iterator<Item = (JobId, i32, Stop)>) {
        let now = Instant::now();
        let mut map = self.lock();
        for (job, claim_no, stop) in jobs {
            map.insert(job.0, (claim_no, stop, now));
        }
    }

    /// Forgets one claim of a job. A later claim by this same process (it was declared lost and took the
    /// job again) stays.
    pub(crate) fn remove(&self, job: JobId, claim_no: i32) {
        let mut map = self.lock();
        if map.get(&job.0).is_some_and(|(held, ..)| *held == claim_no) {
            map.remove(&job.0);
        }
    }

    pub(crate) fn older_than_a_second(&self) -> Vec<Uuid> {
        let map = self.lock();
        map.iter()
            .filter(|(_, (_, _, since))| since.elapsed() > Duration::from_secs(1))
            .map(|(id, _)| *id)
            .collect()
    }

    pub(crate) fn stop(&self, job: Uuid, reason: StopReason) {
        if let Some((_, stop, _)) = self.lock().get(&job) {
            stop.stop(reason);
        }
    }

    pub(crate) fn stop_all(&self, reason: StopReason) {
        for (_, stop, _) in self.lock().values() {
            stop.stop(reason);
        }
    }
}
