//! What can be asked for.

use clap::Parser;

/// Arguments of `countersign bench`.
#[derive(Clone, Debug, Parser)]
pub struct Args {
    /// What to measure.
    #[command(subcommand)]
    pub what: What,
}

/// What can be measured.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum What {
    /// The queue engine, on private PostgreSQL and Valkey.
    Queue(QueueArgs),
}

/// Arguments of `countersign bench queue`.
#[derive(Clone, Debug, Parser)]
pub struct QueueArgs {
    /// A short look: smaller counts, one run each.
    #[arg(long)]
    pub quick: bool,
    /// Runs of each figure; the median is reported.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=15))]
    pub runs: u16,
    /// Only these figures (comma separated, by the beginning of their name).
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
}

impl QueueArgs {
    pub(crate) fn wants(&self, figure: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| figure.starts_with(name.as_str()))
    }

    pub(crate) fn runs(&self) -> usize {
        if self.quick { 1 } else { usize::from(self.runs) }
    }

    /// A count, a fifth of it for a short look.
    pub(crate) fn count(&self, full: usize) -> usize {
        if self.quick { full / 5 } else { full }
    }
}
