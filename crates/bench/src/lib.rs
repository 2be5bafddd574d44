//! Measures the queue: starts private servers, runs each figure several times, checks every count in
//! SQL, prints a table or one JSON object.
//!
//! Refuses to judge: floors and their history are in `docs/performance.md`. Everything stays on this
//! machine, bounded in count and time.

mod args;
mod audit;
mod baseline;
mod fsync;
mod http;
mod idle;
mod measure;
mod report;
mod rig;
mod rls;
mod scenarios;

use anyhow::{Context, Result};

pub use args::{Args, What};

/// Runs what was asked for. `json` prints one object on the last line instead of a table.
///
/// # Errors
/// When the servers can't be started or a count does not come out.
pub async fn run(args: Args, json: bool) -> Result<()> {
    let args = match args.what {
        What::Queue(args) => args,
        What::Audit(args) => return audit::run(&args, json).await.context("the benchmark did not finish"),
        What::Rls(args) => return rls::run(&args, json).await.context("the benchmark did not finish"),
    };
    let report = scenarios::queue(&args, json).await.context("the benchmark did not finish")?;
    report.print(json)
}
