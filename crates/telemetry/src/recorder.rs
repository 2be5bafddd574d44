//! The process-wide metrics recorder and its Prometheus text.
//!
//! It has no listener of its own: a process serves [`Metrics::render`] where it wants. A small
//! thread drains histogram samples, so memory stays bounded when nobody scrapes.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::{Error, metric};

/// `Content-Type` of [`Metrics::render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const UPKEEP_EVERY: Duration = Duration::from_secs(5);

static INSTALLED: OnceLock<Metrics> = OnceLock::new();
static INSTALLING: Mutex<()> = Mutex::new(());

/// The installed recorder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// All metrics of this process in Prometheus' text format. Takes a snapshot; allocates in
    /// proportion to the number of series.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }
}

/// Installs the recorder for this process, once; later calls return the same one.
///
/// Declares every metric of [`metric::ALL`], sets `countersign_build_info` and shows the
/// counters without labels at zero.
///
/// # Errors
/// When another recorder is installed already, when a bucket list is refused, or when the
/// upkeep thread cannot start.
pub fn install_recorder() -> Result<Metrics, Error> {
    let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(metrics) = INSTALLED.get() {
        return Ok(metrics.clone());
    }
    let handle = builder().and_then(PrometheusBuilder::install_recorder).map_err(|error| match error {
        BuildError::FailedToSetGlobalRecorder(_) => Error::RecorderTaken,
        other => Error::Recorder(other),
    })?;
    let metrics = Metrics { handle };
    // Kept before the thread is started: if that fails, a second call must not find the
    // recorder "taken" by ourselves.
    INSTALLED.get_or_init(|| metrics.clone());

    metric::describe();
    metric::start_at_zero();
    metrics::gauge!(metric::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);

    let upkeep = metrics.handle.clone();
    std::thread::Builder::new()
        .name("metrics-upkeep".to_owned())
        .spawn(move || {
            loop {
                std::thread::sleep(UPKEEP_EVERY);
                upkeep.run_upkeep();
            }
        })
        .map_err(Error::UpkeepThread)?;
    Ok(metrics)
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    metric::ALL.iter().filter(|metric| metric.kind == metric::Kind::Histogram).try_fold(
        PrometheusBuilder::new(),
        |builder, metric| {
            builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)
        },
    )
}
