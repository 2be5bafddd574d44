//! One child process: started, logged, started again when it dies, stopped in order.
//!
//! It stands in a process group of its own, so that Ctrl-C reaches the launcher only, and it follows its
//! standard input: when the launcher is gone, however it went, the pipe closes and the child leaves.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::console::Console;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A child that lived this long did not die of its start.
const SETTLED: Duration = Duration::from_secs(10);
/// Longer than any child's own deadline.
const STOP_WITHIN: Duration = Duration::from_secs(12);
/// Log lines shown of one child in ten seconds; the rest is in its file.
const SHOWN: u32 = 5;

/// What to start.
pub(super) struct Child {
    pub(super) program: PathBuf,
    pub(super) name: String,
    pub(super) colour: u8,
    pub(super) arguments: Vec<String>,
    /// Variables to set, or to take away.
    pub(super) environment: Vec<(&'static str, Option<String>)>,
    pub(super) log: PathBuf,
}

/// Keeps the child running until `stop`.
pub(super) async fn keep(child: Child, console: Console, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    // What an earlier run logged is of no use any more.
    let _ = tokio::fs::remove_file(&child.log).await;
    while !stop.is_cancelled() {
        let began = Instant::now();
        let ended = live_once(&child, &console, &stop).await;
        if stop.is_cancelled() {
            return;
        }
        if began.elapsed() > SETTLED {
            pause = FIRST_PAUSE;
        }
        let how = match ended {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let text = format!("{} ended ({how}); starting it again", child.name);
        console.event(&json!({ "event": "restart", "process": child.name, "why": how }), &text);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn live_once(
    child: &Child,
    console: &Console,
    stop: &CancellationToken,
) -> std::io::Result<ExitStatus> {
    let mut command = Command::new(&child.program);
    command.arg("--until-stdin-closes").args(&child.arguments);
    for (name, value) in &child.environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.process_group(0).kill_on_drop(true).spawn()?;
    // Held open as long as the child is wanted.
    let lifeline = process.stdin.take();
    if let Some(output) = process.stdout.take() {
        tokio::spawn(copy(output, child.log.clone(), child.name.clone(), child.colour, console.clone()));
    }
    if let Some(output) = process.stderr.take() {
        tokio::spawn(copy(output, child.log.clone(), child.name.clone(), child.colour, console.clone()));
    }
    tokio::select! {
        status = process.wait() => return status,
        () = stop.cancelled() => {}
    }
    if let Some(pid) = process.id().and_then(|pid| i32::try_from(pid).ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    let status = match tokio::time::timeout(STOP_WITHIN, process.wait()).await {
        Ok(status) => status,
        Err(_) => {
            console.say(format_args!("{} does not stop; it is killed", child.name));
            process.start_kill()?;
            process.wait().await
        }
    };
    drop(lifeline);
    status
}

/// Appends lines to the child's log and shows the first few of each ten seconds. What the runtime prints of a
/// panic stays in the file: a panic that a worker caught is told by its job, any other by the restart.
async fn copy(output: impl AsyncRead + Unpin, log: PathBuf, name: String, colour: u8, console: Console) {
    let mut file = tokio::fs::OpenOptions::new().create(true).append(true).open(&log).await.ok();
    let mut lines = BufReader::new(output).split(b'\n');
    let (mut since, mut shown) = (Instant::now(), 0);
    let mut panics = PanicLines::default();
    while let Ok(Some(mut line)) = lines.next_segment().await {
        if since.elapsed() >= Duration::from_secs(10) {
            (since, shown) = (Instant::now(), 0);
        }
        let text = String::from_utf8_lossy(&line);
        if !panics.is_one(&text) {
            shown += 1;
            if shown <= SHOWN {
                console.log(&name, colour, &text);
            } else if shown == SHOWN + 1 {
                console.log(&name, colour, &format!("… more in {}", log.display()));
            }
        }
        line.push(b'\n');
        if let Some(file) = &mut file {
            // A full disk must not stop the child from being heard.
            let _ = file.write_all(&line).await;
            let _ = file.flush().await;
        }
    }
}

/// Tells the lines that the runtime prints of a panic from log lines and from how a command failed. Its
/// message may have several lines and a backtrace, so it lasts until a line that is certainly another's.
#[derive(Default)]
struct PanicLines {
    inside: bool,
}

impl PanicLines {
    fn is_one(&mut self, line: &str) -> bool {
        let year = line.get(..5).unwrap_or_default();
        let dated = year.ends_with('-') && year.trim_end_matches('-').bytes().all(|b| b.is_ascii_digit());
        if line.starts_with("thread '") && line.contains("panicked at ") {
            self.inside = true;
        } else if dated || line.starts_with('{') || line.starts_with("countersign: ") {
            self.inside = false;
        }
        // The runtime puts an empty line before; log lines never are.
        self.inside || line.trim().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_hidden_up_to_the_next_log_line() {
        let mut panics = PanicLines::default();
        for (line, hidden) in [
            ("2026-05-01T12:00:00Z  WARN queue: slow", false),
            ("", true),
            ("thread 'tokio-rt-worker' (42) panicked at jobs/src/system/panic.rs:31:9:", true),
            ("two", true),
            ("lines", true),
            ("note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace", true),
            ("2026-05-01T12:00:01Z  WARN queue: slow", false),
            ("thread 'main' panicked at cli/src/main.rs:1:1:", true),
            ("countersign: the worker did not start", false),
            ("  because: nothing runs there", false),
        ] {
            assert_eq!(panics.is_one(line), hidden, "{line}");
        }
    }
}
