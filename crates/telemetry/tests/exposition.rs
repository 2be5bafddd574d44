//! What `/metrics` shows, from the installed recorder itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;

use telemetry::metric::{self, Kind};

#[test]
fn names_follow_prometheus_conventions() {
    let mut seen = HashSet::new();
    for metric in metric::ALL {
        assert!(seen.insert(metric.name), "{} declared twice", metric.name);
        assert!(metric.name.starts_with("countersign_"), "{}", metric.name);
        assert_eq!(
            metric.name.ends_with("_total"),
            metric.kind == Kind::Counter,
            "{}: counters and only counters end in _total",
            metric.name
        );
        assert_eq!(
            metric.buckets.is_empty(),
            metric.kind != Kind::Histogram,
            "{}: histograms and only histograms have buckets",
            metric.name
        );
        assert!(metric.buckets.is_sorted_by(|a, b| a < b), "{}: buckets must grow", metric.name);
        assert!(metric.help.ends_with('.'), "{}", metric.name);
    }
}

#[test]
fn every_metric_is_rendered_with_its_type_help_and_buckets() {
    let metrics = telemetry::install_recorder().unwrap();
    for metric in metric::ALL {
        let labels: Vec<_> = metric.labels.iter().map(|label| metrics::Label::new(*label, "some")).collect();
        match metric.kind {
            Kind::Counter => metrics::counter!(metric.name, labels).increment(1),
            Kind::Gauge => metrics::gauge!(metric.name, labels).set(1.0),
            Kind::Histogram => metrics::histogram!(metric.name, labels).record(1.0),
        }
    }
    let text = metrics.render();
    for metric in metric::ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        assert!(text.contains(&format!("# TYPE {} {kind}\n", metric.name)), "{}\n{text}", metric.name);
        assert!(
            text.contains(&format!("# HELP {} {}\n", metric.name, metric.help)),
            "{}\n{text}",
            metric.name
        );
    }
    assert!(text.contains("countersign_job_run_seconds_bucket{kind=\"some\",lane=\"some\",le=\"600\"} 1"));
    assert!(text.contains("countersign_group_commit_size_bucket{stage=\"some\",le=\"4096\"} 1"));
    assert!(text.contains(&format!("countersign_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))));
    // deploy/check.sh has promtool judge this page.
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/exposition.prom"), text).unwrap();
}

#[test]
fn a_second_install_is_the_same_recorder_and_lanes_start_at_zero() {
    let first = telemetry::install_recorder().unwrap();
    let second = telemetry::install_recorder().unwrap();
    metric::start_lane_at_zero("reports");
    for text in [first.render(), second.render()] {
        assert!(text.contains("countersign_fenced_completions_total{lane=\"reports\"} 0"));
        assert!(text.contains("countersign_jobs_recovered_total{lane=\"reports\"} 0"));
    }
}
