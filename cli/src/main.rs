//! The one binary: every role (api, worker, scheduler), the operator's commands, and `dev`, which starts
//! everything on a machine that has nothing.
//!
//! Refuses to hold SQL of its own, to know a job kind by name outside the demo, and to print a stack
//! trace: an error is a sentence, its causes and exit code 1; a wrong command line is exit code 2.

mod approvals;
mod cli;
mod commands;
mod config;
mod database;
mod dev;
mod failure;
mod listener;
mod operator;
mod output;
mod payload;
mod probes;
mod signals;
mod table;
mod when;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.json;
    match run(cli) {
        Ok(code) => code,
        Err(error) => failure::report(&error, json),
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    // Redis' and PostgreSQL's TLS bring none of their own, and the first one to connect needs it.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        anyhow::bail!("a TLS provider is installed already; this is a mistake in the program");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(Box::pin(commands::run(cli)));
    // Reconnect loops and readers of standard input must not hold the process up.
    runtime.shutdown_background();
    outcome
}
