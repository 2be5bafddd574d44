//! Logs and metric declarations for every Countersign process.
//!
//! One place says which metrics exist ([`metric`]), one call collects them
//! ([`install_recorder`]) and one call starts the logs ([`init_logs`]). This crate opens no
//! port, starts no runtime and depends on nothing of ours: each process serves
//! [`Metrics::render`] from its own `/metrics` route.
//!
//! ```no_run
//! # fn main() -> Result<(), telemetry::Error> {
//! telemetry::init_logs(telemetry::LogFormat::Json, "info")?;
//! let metrics = telemetry::install_recorder()?;
//! metrics::gauge!(telemetry::metric::WORKERS_ALIVE).set(2.0);
//! let body = metrics.render();
//! # Ok(())
//! # }
//! ```

mod error;
mod logs;
mod names;
mod recorder;

pub use error::Error;
pub use logs::{LogFormat, init_logs};
pub use recorder::{CONTENT_TYPE, Metrics, install_recorder};

/// Every metric name with its kind, unit, labels and help text.
pub mod metric {
    pub use crate::names::*;
}
