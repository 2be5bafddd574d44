//! `countersign jobs`: looking at jobs, following them, calling them off, running them now.

mod act;
mod list;
mod show;
mod view;
mod watch;

use domain::JobId;

use crate::operator::Operator;
use crate::output::Out;

/// What to do with jobs.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List jobs, newest first
    List(list::Args),
    /// Everything that is known about one job
    Show(show::Args),
    /// Follow one job to its end, or everything that changes in an organisation
    Watch(watch::Args),
    /// Call jobs off; running ones are asked to stop
    Cancel(act::Cancel),
    /// Let scheduled or parked jobs into their lane now
    Retry(act::Retry),
}

/// Reads a job's id.
///
/// # Errors
/// A sentence that says what may be written.
pub(crate) fn id(text: &str) -> Result<JobId, String> {
    text.parse().map_err(|_| "give the whole id (36 characters) as `jobs list` shows it".into())
}

/// Runs one of them.
pub(crate) async fn run(command: Command, operator: &Operator, out: Out) -> anyhow::Result<()> {
    match command {
        Command::List(args) => list::run(args, operator, out).await,
        Command::Show(args) => show::run(&args, operator, out).await,
        Command::Watch(args) => watch::run(&args, operator, out).await,
        Command::Cancel(args) => act::cancel(&args, operator, out).await,
        Command::Retry(args) => act::retry(&args, operator, out).await,
    }
}
