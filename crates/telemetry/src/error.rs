//! What can go wrong while logs and metrics are set up. Nothing here fails later on.

/// A reason why telemetry did not start. Each sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another metrics recorder was installed in this process before ours.
    #[error(
        "another metrics recorder is installed in this process: call telemetry::install_recorder first and only that"
    )]
    RecorderTaken,
    /// The Prometheus recorder refused its settings.
    #[error("the metrics recorder could not be built")]
    Recorder(#[source] metrics_exporter_prometheus::BuildError),
    /// The thread that drains histogram samples did not start.
    #[error("the metrics upkeep thread could not be started: check the process' thread limit")]
    UpkeepThread(#[source] std::io::Error),
    /// Another log subscriber was installed in this process before ours.
    #[error(
        "another log subscriber is installed in this process: call telemetry::init_logs first and only that"
    )]
    SubscriberTaken,
    /// `RUST_LOG` (or the default filter) is not a filter.
    #[error(
        "log filter {filter:?} is not valid: set RUST_LOG to something like `info` or `info,queue=debug`"
    )]
    Filter {
        /// The text that was refused.
        filter: String,
        /// What the parser said.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The log format has no such name.
    #[error("log format {0:?} is not known: use `text` or `json`")]
    LogFormat(String),
}
