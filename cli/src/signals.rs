//! How a long-running process learns that it should leave: SIGTERM, SIGINT or a launcher that is gone.
//! The first sign asks to drain; a second one ends the process at once.

use std::io::Read;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long a process whose launcher died may take: the servers it would drain into are going too.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(5);

/// Cancelled at the first sign. `launcher_on_stdin` also takes the end of standard input for one.
pub(crate) fn listen(launcher_on_stdin: bool) -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("can't listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("can't listen for SIGINT")?;
    let asked = stop.clone();
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked.is_cancelled() {
                warn!("asked again: leaving at once");
                leave(130);
            }
            // First of all: a log that nobody takes any more must not keep this process from leaving.
            asked.cancel();
            info!("asked to stop");
        }
    });
    if launcher_on_stdin {
        let asked = stop.clone();
        // A thread of its own: it must work even when the runtime does not.
        std::thread::Builder::new()
            .name("launcher-watch".into())
            .spawn(move || {
                let mut stdin = std::io::stdin().lock();
                let mut bytes = [0; 64];
                while !matches!(stdin.read(&mut bytes), Ok(0) | Err(_)) {}
                asked.cancel();
                std::thread::sleep(ORPHAN_PATIENCE);
                leave(1);
            })
            .context("can't start a thread")?;
    }
    Ok(stop)
}

/// Ends the process without waiting for anything: the answer to a second Ctrl-C.
#[allow(clippy::disallowed_methods)]
fn leave(code: i32) -> ! {
    std::process::exit(code)
}
