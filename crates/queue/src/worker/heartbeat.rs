//! One heartbeat for all jobs in hand: every second, at most a sixth of the lease.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Shared, StopReason, fleet};

const EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn run(shared: Arc<Shared>, stopped: CancellationToken) {
    let every = EVERY.min(shared.config.lease / 6);
    loop {
        tokio::select! {
            () = stopped.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        shared.slots.publish();
        // A cut network answers nothing for minutes; the next beat may find another connection.
        let Ok(beat) = tokio::time::timeout(shared.config.lease / 2, fleet::beat(&shared)).await else {
            debug!("heartbeat not answered");
            continue;
        };
        match beat {
            Ok(true) => {}
            Ok(false) if stopped.is_cancelled() => {}
            Ok(false) => {
                // Paused, starved or cut off past its lease: others have the jobs. Whatever still runs
                // here must not go on beside them, and can't be completed under the old name.
                warn!(worker = %shared.identity.id(), "declared lost: stopping what runs");
                shared.flights.stop_all(StopReason::LeaseLost);
                // One that leaves takes no more jobs, so it needs no new name.
                if !shared.draining.is_cancelled()
                    && let Err(error) = shared.identity.renew(&shared.queue, &shared.config).await
                {
                    warn!(error = %error, "could not register under a new name yet");
                }
            }
            Err(error) => debug!(error = %error, "heartbeat not written"),
        }
        match fleet::cancellations(&shared).await {
            Ok(jobs) => {
                for job in jobs {
                    shared.flights.stop(job, StopReason::Cancelled);
                }
            }
            Err(error) => debug!(error = %error, "cancellations not read"),
        }
    }
}
