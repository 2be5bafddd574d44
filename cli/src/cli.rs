//! The command line. Each command's own arguments stand in its file under `commands/`.

use clap::{Parser, Subcommand};

use crate::{commands, dev};

/// Work that matters, queued, watched and countersigned.
///
/// Operators' commands talk to PostgreSQL and Redis themselves: they need DATABASE_URL and REDIS_URL, or a
/// `make up` that runs in this folder or above it.
#[derive(Parser)]
#[command(name = "countersign", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    /// Print JSON: one document, or one object a line where something is followed
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Drain and end when standard input closes: for launchers that must not leave anybody behind
    #[arg(long, global = true, hide = true)]
    pub(crate) until_stdin_closes: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start everything on this machine and show a job running (what `make up` does)
    Dev(dev::Args),
    /// Serve the HTTP API
    Api(commands::api::Args),
    /// Run jobs
    Worker(commands::worker::Args),
    /// Fire schedules and tend the queue; any number may run
    Scheduler(commands::scheduler::Args),
    /// Bring the database's tables up to this program's version
    Migrate(commands::migrate::Args),
    /// Look at jobs, follow them, call them off, run them now
    #[command(subcommand)]
    Jobs(commands::jobs::Command),
    /// Put a job, or many, into the queue
    Enqueue(commands::enqueue::Args),
    /// Look at lanes; pause, resume, drain or resize them (for everybody, or one organisation's share)
    Lanes(commands::lanes::Args),
    /// Dead letters: by cause, one by one, replay, discard
    #[command(subcommand)]
    Dead(commands::dead::Command),
    /// Cron schedules
    #[command(subcommand)]
    Schedule(commands::schedule::Command),
    /// Shared rate limits
    #[command(subcommand)]
    Limits(commands::limits::Command),
    /// The worker processes that live, and those that left lately
    Workers(commands::workers::Args),
    /// The audit log: read it, prove it, export it
    #[command(subcommand)]
    Audit(commands::audit::Command),
    /// Who may sign in: make the first owner, list people
    #[command(subcommand)]
    Admin(commands::admin::Command),
    /// API tokens
    #[command(subcommand)]
    Token(commands::token::Command),
    /// Keys: made, shown, added, and what they hold moved to the newest
    #[command(subcommand)]
    Keys(commands::keys::Command),
    /// Show the secrets with which an endpoint's webhooks are signed
    WebhookSecret(commands::webhook_secret::Args),
    /// Ask a URL whether it answers with success: for health checks where there is no curl
    Probe(commands::probe::Args),
    /// Measure the queue
    Bench(bench::Args),
    /// Run a command with private PostgreSQL and Redis servers that live as long as it does
    WithServers(commands::with_servers::Args),
}
