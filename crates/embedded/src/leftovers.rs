//! Ends servers that a killed launcher left behind. Only called while the data folder's lock is
//! held, so whatever still works on that folder has nobody left to serve.
//!
//! It never trusts a process id alone: the process must run the right program on the right folder.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::time::sleep;

use crate::error::Error;
use crate::folders::Folders;
use crate::options::Progress;
use crate::processes::{all_on, exists, send, works_on};

const POSTGRES: [&str; 1] = ["postgres"];
// Debian's redis-server is a link to another of its programs.
const VALKEY: [&str; 4] = ["valkey-server", "redis-server", "redis-check-rdb", "valkey-check-rdb"];

const POLITE: Duration = Duration::from_secs(10);
const FIRM: Duration = Duration::from_secs(5);

/// Ends both servers' leftovers and clears pid files that would mislead a new start.
pub(crate) async fn end_all(folders: &Folders, progress: &Progress) -> Result<(), Error> {
    let cluster = folders.postgres();
    let pid_file = cluster.join("postmaster.pid");
    let main = pid_in(&pid_file);
    end(
        main.filter(|pid| works_on(*pid, &POSTGRES, &cluster)),
        &POSTGRES,
        &cluster,
        Signal::SIGINT,
        progress,
    )
    .await;
    if main.is_some_and(exists) && all_on(&POSTGRES, &cluster).is_empty() {
        // That id now belongs to somebody else (as after a container's restart), which PostgreSQL
        // would take for a running server. With a free id it sorts the file out by itself, and its
        // own check for orphaned backends needs the file: so it goes in this case only.
        forget(&pid_file)?;
    }

    let valkey = folders.valkey();
    let pid_file = folders.valkey_pid();
    end(
        pid_in(&pid_file).filter(|pid| works_on(*pid, &VALKEY, &valkey)),
        &VALKEY,
        &valkey,
        Signal::SIGTERM,
        progress,
    )
    .await;
    forget(&pid_file)
}

/// Removes a pid file; a server that just ended may have done so itself.
fn forget(pid_file: &Path) -> Result<(), Error> {
    match std::fs::remove_file(pid_file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", pid_file)(e)),
        _ => Ok(()),
    }
}

/// The first line of a pid file. PostgreSQL writes a negative id in single-user mode.
fn pid_in(file: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// Asks the main process first, so that it stops its own children; then everything on the folder.
async fn end(main: Option<u32>, programs: &[&str], folder: &Path, polite: Signal, progress: &Progress) {
    if let Some(pid) = main {
        progress.say(&format!("ending process {pid}, left by an earlier start on {}", folder.display()));
        send(pid, polite);
        if gone(POLITE, || !works_on(pid, programs, folder)).await {
            return end_orphans(programs, folder).await;
        }
        send(pid, Signal::SIGQUIT);
        if !gone(FIRM, || !works_on(pid, programs, folder)).await {
            send(pid, Signal::SIGKILL);
        }
    }
    end_orphans(programs, folder).await;
}

/// Backends outlive a killed main process by a moment, longer when they are busy.
async fn end_orphans(programs: &[&str], folder: &Path) {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let left = all_on(programs, folder);
        if left.is_empty() {
            return;
        }
        for pid in left {
            tracing::warn!(pid, folder = %folder.display(), %signal, "ending an orphaned process");
            send(pid, signal);
        }
        gone(FIRM, || all_on(programs, folder).is_empty()).await;
    }
}

async fn gone(within: Duration, is_gone: impl Fn() -> bool) -> bool {
    let give_up = Instant::now() + within;
    while !is_gone() {
        if Instant::now() > give_up {
            return false;
        }
        sleep(Duration::from_millis(10)).await;
    }
    true
}
