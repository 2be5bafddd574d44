//! Latecomers: jobs that a process parked for a draining lane before it had heard that the lane is open.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::engine::Queue;
use crate::error::QueueError;
use crate::ops::lanes::release_late;

/// How late such a job may be; settings are at most a second old where PostgreSQL answers.
const EVERY: Duration = Duration::from_secs(5);

pub(super) async fn run(queue: Queue, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        match round(&queue).await {
            Ok(0) => {}
            Ok(jobs) => debug!(jobs, "let go of jobs that were parked for a lane which is open"),
            Err(error) => debug!(error = %error, "latecomers wait"),
        }
    }
}

async fn round(queue: &Queue) -> Result<u64, QueueError> {
    let mut connection = queue.pool().acquire().await?;
    Ok(release_late(&mut connection).await?)
}
