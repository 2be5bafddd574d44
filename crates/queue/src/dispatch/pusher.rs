//! Sends committed jobs to the dispatcher, in batches, off the caller's path.
//!
//! A caller is answered when its job is committed; whether Redis is there does not concern it. While
//! Redis is away a bounded number of ids is kept here; beyond that the sweep finds them in the ledger.

use std::time::Duration;

use tokio::sync::mpsc;
use tracing::warn;

use super::{Dispatch, Ready};

const KEPT_WHILE_AWAY: usize = 50_000;

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
    let mut waiting: Vec<Ready> = Vec::new();
    loop {
        if receiver.recv_many(&mut waiting, super::SCRIPT_BATCH).await == 0 {
            return;
        }
        let mut away = false;
        while let Err(error) = dispatch.push(&waiting).await {
            if !away {
                warn!(error = %error, "Redis is away: jobs stay in the ledger and are dispatched later");
                metrics::counter!("countersign_redis_errors_total").increment(1);
            }
            away = true;
            tokio::time::sleep(Duration::from_millis(250)).await;
            while waiting.len() < KEPT_WHILE_AWAY
                && let Ok(job) = receiver.try_recv()
            {
                waiting.push(job);
            }
            while waiting.len() >= KEPT_WHILE_AWAY && receiver.try_recv().is_ok() {}
        }
        waiting.clear();
    }
}
