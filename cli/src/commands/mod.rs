//! One file a command: its arguments, what it does, what it prints.

pub(crate) mod admin;
pub(crate) mod api;
pub(crate) mod audit;
pub(crate) mod dead;
pub(crate) mod enqueue;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod lanes;
pub(crate) mod limits;
pub(crate) mod migrate;
pub(crate) mod probe;
pub(crate) mod schedule;
pub(crate) mod scheduler;
pub(crate) mod token;
pub(crate) mod webhook_secret;
pub(crate) mod with_servers;
pub(crate) mod worker;
pub(crate) mod workers;

use std::process::ExitCode;

use telemetry::LogFormat;

use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::dev;
use crate::operator::Operator;
use crate::output::Out;
use crate::signals;

/// Of the engine's own logs a command shows only what its reader must know.
const QUIET: &str = "warn,sqlx=error";
/// What a serving process logs.
const SERVING: &str = "info,sqlx=warn";

/// Runs one command.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let out = Out::new(cli.json);
    let config = Config::from_env()?;
    if matches!(cli.command, Command::Api(_) | Command::Worker(_) | Command::Scheduler(_)) {
        Config::keys_dir_must_be_there()?;
    }
    let stop = || signals::listen(cli.until_stdin_closes);
    match cli.command {
        Command::Api(args) => {
            telemetry::init_logs(config.log_format, SERVING)?;
            api::run(args, &config, stop()?).await?;
        }
        Command::Worker(args) => {
            telemetry::init_logs(config.log_format, SERVING)?;
            Box::pin(worker::run(args, &config, stop()?)).await?;
        }
        Command::Scheduler(args) => {
            telemetry::init_logs(config.log_format, SERVING)?;
            scheduler::run(args, &config, stop()?).await?;
        }
        Command::Bench(args) => {
            telemetry::init_logs(LogFormat::Text, QUIET)?;
            Box::pin(bench::run(args, cli.json)).await?;
        }
        command => {
            telemetry::init_logs(LogFormat::Text, QUIET)?;
            return Box::pin(operate(command, config, out, cli.until_stdin_closes)).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a command that looks or acts and ends.
async fn operate(command: Command, config: Config, out: Out, on_stdin: bool) -> anyhow::Result<ExitCode> {
    match command {
        Command::Dev(args) => Box::pin(dev::run(args, &config, out, signals::listen(on_stdin)?)).await?,
        Command::WithServers(args) => {
            return with_servers::run(args, &config, signals::listen(on_stdin)?).await;
        }
        Command::Migrate(args) => migrate::run(&args, &config, out, signals::listen(on_stdin)?).await?,
        Command::Probe(args) => probe::run(&args, out).await?,
        Command::Keys(command) => Box::pin(keys::run(command, &config.with_keys_of_running()?, out)).await?,
        Command::WebhookSecret(args) => webhook_secret::run(&args, config, out).await?,
        Command::Jobs(command) => jobs::run(command, &Operator::connect(config).await?, out).await?,
        Command::Enqueue(args) => enqueue::run(args, &Operator::connect(config).await?, out).await?,
        Command::Lanes(args) => lanes::run(args, &Operator::connect(config).await?, out).await?,
        Command::Dead(command) => dead::run(command, &Operator::connect(config).await?, out).await?,
        Command::Schedule(command) => schedule::run(command, &Operator::connect(config).await?, out).await?,
        Command::Limits(command) => limits::run(command, &Operator::connect(config).await?, out).await?,
        Command::Workers(args) => workers::run(&args, &Operator::connect(config).await?, out).await?,
        Command::Audit(command) => {
            return Box::pin(audit::run(command, config.with_keys_of_running()?, out)).await;
        }
        Command::Admin(command) => {
            let public_url = config.public_url()?;
            admin::run(command, &Operator::connect(config).await?, &public_url, out).await?;
        }
        Command::Token(command) => token::run(command, &Operator::connect(config).await?, out).await?,
        Command::Api(_) | Command::Worker(_) | Command::Scheduler(_) | Command::Bench(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}
