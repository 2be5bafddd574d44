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
    /// The audit log: many writers, one chain.
    Audit(AuditArgs),
    /// What row-level security costs where a million jobs are read.
    Rls(RlsArgs),
}

/// Arguments of `countersign bench audit`.
#[derive(Clone, Debug, Parser)]
pub struct AuditArgs {
    /// Entries in all.
    #[arg(long, default_value_t = 20_000, value_parser = counts(1_000_000))]
    pub entries: usize,
    /// Writers at once.
    #[arg(long, default_value_t = 200, value_parser = counts(1_000))]
    pub writers: usize,
}

/// Arguments of `countersign bench rls`.
#[derive(Clone, Debug, Parser)]
pub struct RlsArgs {
    /// Jobs in all, a tenth of them open.
    #[arg(long, default_value_t = 1_000_000, value_parser = counts(5_000_000))]
    pub jobs: usize,
    /// Reads of each sort, each way.
    #[arg(long, default_value_t = 500, value_parser = counts(100_000))]
    pub samples: usize,
}

/// A count from 1 to `most`.
fn counts(most: usize) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse() {
        Ok(count) if (1..=most).contains(&count) => Ok(count),
        _ => Err(format!("write a whole number from 1 to {most}")),
    }
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
