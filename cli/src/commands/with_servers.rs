//! `countersign with-servers -- CMD`: private servers for as long as a command runs. How `make test` gets
//! its PostgreSQL and Redis.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;

use anyhow::Context;
use embedded::{Options, Servers};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// Tests run side by side, each with its own database and pools.
const MAX_CONNECTIONS: &str = "400";

/// Arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The command and its arguments; it finds COUNTERSIGN_TEST_DATABASE_URL (a superuser's) and
    /// COUNTERSIGN_TEST_REDIS_URL in its environment. What is set already is handed on, not started
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Ends with the command's own exit code (128 and the signal's number when it was killed).
pub(crate) async fn run(args: Args, config: &Config, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    let both_given = config.test_database_url.is_some() && config.test_redis_url.is_some();
    let mut options = if both_given { Options::default() } else { Options::temporary()? };
    options.postgres.clone_from(&config.test_database_url);
    options.redis.clone_from(&config.test_redis_url);
    options.tuning = vec![("max_connections".into(), MAX_CONNECTIONS.into())];
    options.on_progress = Some(Arc::new(|line| eprintln!("{line}")));
    let servers = Box::pin(Servers::start(options)).await?;
    let outcome = Box::pin(run_command(&args.command, &servers, &stop)).await;
    servers.stop().await.context("the servers' files could not be removed")?;
    Ok(ExitCode::from(code_of(outcome?)))
}

async fn run_command(
    command: &[OsString],
    servers: &Servers,
    stop: &CancellationToken,
) -> anyhow::Result<ExitStatus> {
    let (program, arguments) = command.split_first().context("there is no command to run")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env("COUNTERSIGN_TEST_DATABASE_URL", servers.database_url("postgres", "postgres"))
        .env("COUNTERSIGN_TEST_REDIS_URL", servers.redis_url())
        .spawn()
        .with_context(|| format!("{} can't be run", program.display()))?;
    tokio::select! {
        status = child.wait() => return Ok(status?),
        () = stop.cancelled() => {}
    }
    // Ctrl-C has reached the command too; a signal sent to this process alone has not.
    tell(&child, Signal::SIGTERM);
    Ok(child.wait().await?)
}

fn tell(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // One that has just ended needs no signal.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
