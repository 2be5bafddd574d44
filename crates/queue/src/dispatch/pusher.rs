//! Sends committed jobs to the dispatcher, in batches, off the caller's path.
//!
//! A caller is answered when its job is committed; whether Redis is there does not concern it. Lanes take
//! equal shares of each batch, so that a flood poured into one of them does not hold up the others here.
//! While Redis is away a bounded number of ids is kept; beyond that the sweep finds them in the ledger.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::warn;

use super::{Dispatch, Ready, SCRIPT_BATCH};

const KEPT_WHILE_AWAY: usize = 50_000;
/// Most jobs sorted into their lanes between two batches: a caller that never stops must not stop us.
const MOST_SORTED: usize = 20_000;

/// Handle of the task that sends.
#[derive(Clone)]
pub(crate) struct Pusher {
    sender: mpsc::UnboundedSender<Ready>,
}

impl Pusher {
    pub(crate) fn start(dispatch: Dispatch) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(run(dispatch, receiver));
        Self { sender }
    }

    /// Hands one committed job over. Never waits.
    pub(crate) fn send(&self, job: Ready) {
        // The task ends only with the process; a job that misses it is found by the sweep.
        let _ = self.sender.send(job);
    }
}

async fn run(dispatch: Dispatch, mut receiver: mpsc::UnboundedReceiver<Ready>) {
    let mut waiting = Waiting::default();
    loop {
        if waiting.count == 0 {
            match receiver.recv().await {
                Some(job) => waiting.add(job),
                None => return,
            }
        }
        for _ in 0..MOST_SORTED {
            let Ok(job) = receiver.try_recv() else { break };
            waiting.add(job);
        }
        let batch = waiting.batch(SCRIPT_BATCH);
        let mut away = false;
        while let Err(error) = dispatch.push(&batch).await {
            if !away {
                warn!(error = %error, "Redis is away: jobs stay in the ledger and are dispatched later");
                metrics::counter!(telemetry::metric::REDIS_ERRORS_TOTAL).increment(1);
            }
            away = true;
            tokio::time::sleep(Duration::from_millis(250)).await;
            while let Ok(job) = receiver.try_recv() {
                if waiting.count < KEPT_WHILE_AWAY {
                    waiting.add(job);
                }
            }
        }
    }
}

/// Jobs not sent yet, in the order they came, lane by lane.
#[derive(Default)]
struct Waiting {
    lanes: Vec<(Arc<str>, VecDeque<Ready>)>,
    count: usize,
}

impl Waiting {
    fn add(&mut self, job: Ready) {
        self.count += 1;
        match self.lanes.iter_mut().find(|(lane, _)| *lane == job.lane) {
            Some((_, jobs)) => jobs.push_back(job),
            None => self.lanes.push((job.lane.clone(), VecDeque::from([job]))),
        }
    }

    /// Takes out up to `most` jobs: each lane an equal share, and what one leaves over goes to the others.
    fn batch(&mut self, most: usize) -> Vec<Ready> {
        let mut batch = Vec::with_capacity(most.min(self.count));
        while batch.len() < most && !self.lanes.is_empty() {
            let share = ((most - batch.len()) / self.lanes.len()).max(1);
            for (_, jobs) in &mut self.lanes {
                let count = share.min(jobs.len()).min(most - batch.len());
                batch.extend(jobs.drain(..count));
            }
            self.lanes.retain(|(_, jobs)| !jobs.is_empty());
        }
        self.count -= batch.len();
        batch
    }
}

#[cfg(test)]
mod tests {
    use domain::{JobId, OrgId};

    use super::*;

    fn waiting(counts: &[(&str, usize)]) -> Waiting {
        let mut waiting = Waiting::default();
        let org_id = OrgId::new();
        for (lane, count) in counts {
            for number in 0..*count {
                let score = i64::try_from(number).unwrap_or_default();
                waiting.add(Ready { job_id: JobId::new(), org_id, lane: (*lane).into(), score });
            }
        }
        waiting
    }

    fn of_lane(batch: &[Ready], lane: &str) -> Vec<i64> {
        batch.iter().filter(|job| &*job.lane == lane).map(|job| job.score).collect()
    }

    #[test]
    fn a_flood_in_one_lane_does_not_hold_up_another() {
        let mut waiting = waiting(&[("bulk", 5_000), ("critical", 3), ("default", 400)]);
        let batch = waiting.batch(500);
        assert_eq!(batch.len(), 500);
        assert_eq!(of_lane(&batch, "critical"), [0, 1, 2]);
        assert!(of_lane(&batch, "default").len() >= 166);
        assert_eq!(waiting.count, 5_403 - 500);
    }

    #[test]
    fn each_lane_keeps_its_order_and_nothing_is_left_behind() {
        let mut waiting = waiting(&[("bulk", 1_201), ("critical", 7)]);
        let mut sent = Vec::new();
        while waiting.count > 0 {
            let batch = waiting.batch(500);
            assert!(!batch.is_empty() && batch.len() <= 500);
            sent.extend(batch);
        }
        assert_eq!(of_lane(&sent, "bulk"), (0..1_201).collect::<Vec<i64>>());
        assert_eq!(of_lane(&sent, "critical"), (0..7).collect::<Vec<i64>>());
        assert!(waiting.lanes.is_empty() && waiting.batch(500).is_empty());
    }
}
