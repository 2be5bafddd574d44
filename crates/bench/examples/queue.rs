//! Runs the queue benchmark without the rest of the program.
use clap::Parser;
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    bench::run(bench::Args::parse(), false).await
}
