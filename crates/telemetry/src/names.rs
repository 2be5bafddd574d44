//! The only list of metrics: name, kind, unit, labels and help text of each.
//!
//! Boards and alert rules may name nothing that is not here (a test holds that). Label values
//! are bounded sets: lanes, job kinds, limit names and route templates. Never put an id, an
//! address, an organization or free text into a label.
//!
//! Gauges about the whole queue (`queue_depth`, `workers_alive`, …) may be published by several
//! processes at once and are read with `max`; per-process ones (`jobs_in_flight`) with `sum`.

use metrics::Unit;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; restarts at zero with its process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

/// One declared metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Full name as Prometheus shows it.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// Unit of the value.
    pub unit: Unit,
    /// Label names, always all of them and in this order.
    pub labels: &'static [&'static str],
    /// Upper bounds of a histogram's buckets; empty for the other kinds.
    pub buckets: &'static [f64],
    /// Help text.
    pub help: &'static str,
}

/// Buckets of waits and runs: half a millisecond to ten minutes.
pub const SECONDS_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
    300.0, 600.0,
];

/// Buckets of HTTP answers and group commits: half a millisecond to ten seconds.
pub const SHORT_SECONDS_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Buckets of group commit sizes, in rows.
pub const ROWS_BUCKETS: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];

const NO_BUCKETS: &[f64] = &[];

macro_rules! metrics_list {
    ($($constant:ident = $name:literal, $kind:ident, $unit:ident, [$($label:literal),*], $buckets:expr, $help:literal;)+) => {
        $(#[doc = $help] pub const $constant: &str = $name;)+

        /// All declared metrics, in the order of this file.
        pub const ALL: &[Metric] = &[
            $(Metric {
                name: $name,
                kind: Kind::$kind,
                unit: Unit::$unit,
                labels: &[$($label),*],
                buckets: $buckets,
                help: $help,
            },)+
        ];
    };
}

metrics_list! {
    QUEUE_DEPTH = "countersign_queue_depth", Gauge, Count, ["lane", "state"], NO_BUCKETS,
        "Live jobs by lane and state (scheduled, queued, running, parked).";
    QUEUE_OLDEST_AGE_SECONDS = "countersign_queue_oldest_age_seconds", Gauge, Seconds, ["lane"], NO_BUCKETS,
        "Age of the oldest job that is due and not started, by lane; 0 when there is none.";
    LANE_PAUSED = "countersign_lane_paused", Gauge, Count, ["lane"], NO_BUCKETS,
        "1 while an operator has paused the lane, else 0.";
    DEAD_LETTERS = "countersign_dead_letters", Gauge, Count, ["lane"], NO_BUCKETS,
        "Jobs in the dead letters, by lane.";
    JOBS_ENQUEUED_TOTAL = "countersign_jobs_enqueued_total", Counter, Count, ["kind", "lane"], NO_BUCKETS,
        "Jobs committed to the ledger; an idempotent repeat is not counted.";
    JOBS_FINISHED_TOTAL = "countersign_jobs_finished_total", Counter, Count, ["kind", "lane", "outcome"], NO_BUCKETS,
        "Jobs that reached an end (outcome: succeeded, dead, cancelled, expired).";
    JOB_RETRIES_TOTAL = "countersign_job_retries_total", Counter, Count, ["kind", "lane"], NO_BUCKETS,
        "Failed attempts that were scheduled to run again.";
    JOB_RUN_SECONDS = "countersign_job_run_seconds", Histogram, Seconds, ["kind", "lane"], SECONDS_BUCKETS,
        "Time one attempt spent in its handler.";
    JOB_WAIT_SECONDS = "countersign_job_wait_seconds", Histogram, Seconds, ["lane"], SECONDS_BUCKETS,
        "Time from queued (or due) to the start of the handler.";
    JOBS_IN_FLIGHT = "countersign_jobs_in_flight", Gauge, Count, ["lane"], NO_BUCKETS,
        "Jobs this process is running now.";
    RATE_LIMIT_WAITS_TOTAL = "countersign_rate_limit_waits_total", Counter, Count, ["limit"], NO_BUCKETS,
        "Jobs parked because a shared limit had no room, by limit name.";
    JOBS_RECOVERED_TOTAL = "countersign_jobs_recovered_total", Counter, Count, ["lane"], NO_BUCKETS,
        "Running jobs taken back from a worker whose lease ran out.";
    FENCED_COMPLETIONS_TOTAL = "countersign_fenced_completions_total", Counter, Count, ["lane"], NO_BUCKETS,
        "Completions refused because the worker no longer held the job.";
    DISPATCH_RESENDS_TOTAL = "countersign_dispatch_resends_total", Counter, Count, [], NO_BUCKETS,
        "Queued jobs the sweep sent to Redis again.";
    POSTGRES_UP = "countersign_postgres_up", Gauge, Count, [], NO_BUCKETS,
        "1 when this process' last PostgreSQL check succeeded, else 0.";
    REDIS_UP = "countersign_redis_up", Gauge, Count, [], NO_BUCKETS,
        "1 when this process' last Redis check succeeded, else 0.";
    POSTGRES_ERRORS_TOTAL = "countersign_postgres_errors_total", Counter, Count, [], NO_BUCKETS,
        "PostgreSQL calls that failed because the server was away or refused them.";
    REDIS_ERRORS_TOTAL = "countersign_redis_errors_total", Counter, Count, [], NO_BUCKETS,
        "Redis calls that failed.";
    GROUP_COMMIT_SIZE = "countersign_group_commit_size", Histogram, Count, ["stage"], ROWS_BUCKETS,
        "Rows in one group commit (stage: enqueue, claim, complete).";
    GROUP_COMMIT_SECONDS = "countersign_group_commit_seconds", Histogram, Seconds, ["stage"], SHORT_SECONDS_BUCKETS,
        "Time one group commit took, round trip included (stage: enqueue, claim, complete).";
    WORKERS_ALIVE = "countersign_workers_alive", Gauge, Count, [], NO_BUCKETS,
        "Workers whose heartbeat is not overdue, over the whole fleet.";
    SCHEDULE_TICKS_TOTAL = "countersign_schedule_ticks_total", Counter, Count, ["outcome"], NO_BUCKETS,
        "Schedule ticks handled (outcome: enqueued, duplicate, skipped).";
    SCHEDULE_LAG_SECONDS = "countersign_schedule_lag_seconds", Gauge, Seconds, [], NO_BUCKETS,
        "How late the most overdue schedule tick is; 0 when none is due.";
    HTTP_REQUESTS_TOTAL = "countersign_http_requests_total", Counter, Count, ["route", "method", "status"], NO_BUCKETS,
        "HTTP answers by route template, method and status code.";
    HTTP_REQUEST_SECONDS = "countersign_http_request_seconds", Histogram, Seconds, ["route", "method"], SHORT_SECONDS_BUCKETS,
        "Time to answer an HTTP request, by route template and method.";
    PASSWORD_HASHES_TOTAL = "countersign_password_hashes_total", Counter, Count, [], NO_BUCKETS,
        "Passwords hashed or checked; a flood of guesses must not raise its rate.";
    SIGN_INS_TOTAL = "countersign_sign_ins_total", Counter, Count, ["outcome"], NO_BUCKETS,
        "Tries to sign in (outcome: let_in, refused, second_factor, slowed).";
    HOOKS_TOTAL = "countersign_hooks_total", Counter, Count, ["provider", "outcome"], NO_BUCKETS,
        "Webhooks that arrived (outcome: taken, repeated, or why it was refused).";
    BUILD_INFO = "countersign_build_info", Gauge, Count, ["version"], NO_BUCKETS,
        "Always 1; the label says which version this process runs.";
}

/// Tells the installed recorder every metric's help text and unit.
///
/// [`crate::install_recorder`] calls it; a process with another recorder may call it itself.
pub fn describe() {
    for metric in ALL {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
}

/// Shows the counters that have no labels at zero, so that their first increase is an increase
/// for Prometheus and not the birth of a series. Safe to call again.
pub fn start_at_zero() {
    for metric in ALL {
        if metric.kind == Kind::Counter && metric.labels.is_empty() {
            metrics::counter!(metric.name).increment(0);
        }
    }
}

/// The same for the counters labelled by nothing but a lane. Call it once a lane, at start of
/// whatever serves that lane.
pub fn start_lane_at_zero(lane: &str) {
    for metric in ALL {
        if metric.kind == Kind::Counter && metric.labels == ["lane"] {
            metrics::counter!(metric.name, "lane" => lane.to_owned()).increment(0);
        }
    }
}
