//! Boards, alert rules and scaling recipes may name only metrics that exist, with labels those
//! metrics have; and every metric is looked at by somebody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use telemetry::metric::{self, Kind, Metric};

/// Labels Prometheus itself adds.
const ADDED_LABELS: &[&str] = &["job", "instance", "le"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// One use of a metric in an expression.
struct Use {
    name: String,
    matched_labels: Vec<String>,
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The metrics an expression names, each with the labels its `{…}` matches on.
fn uses(text: &str) -> Vec<Use> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("countersign_") {
        let before = rest[..start].chars().next_back();
        let name: String = rest[start..].chars().take_while(|c| is_name(*c)).collect();
        rest = &rest[start + name.len()..];
        if before.is_some_and(is_name) {
            continue;
        }
        let matched_labels = match rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            Some((selector, _)) => label_names(selector),
            None => Vec::new(),
        };
        found.push(Use { name, matched_labels });
    }
    found
}

/// `a="x", b=~"y"` → `a`, `b`. What stands inside quotes does not count.
fn label_names(selector: &str) -> Vec<String> {
    selector
        .split('"')
        .step_by(2)
        .filter_map(|outside| {
            let name = outside.trim_start_matches([',', ' ']);
            let name: String = name.chars().take_while(|c| is_name(*c)).collect();
            (!name.is_empty()).then_some(name)
        })
        .collect()
}

fn declared(name: &str) -> Option<&'static Metric> {
    metric::ALL.iter().find(|metric| match metric.kind {
        Kind::Histogram => name
            .strip_prefix(metric.name)
            .is_some_and(|suffix| matches!(suffix, "_bucket" | "_sum" | "_count")),
        Kind::Counter | Kind::Gauge => name == metric.name,
    })
}

/// Says what is wrong with the uses, or which metrics they are.
fn check(origin: &str, text: &str) -> Result<BTreeSet<&'static str>, String> {
    let mut seen = BTreeSet::new();
    for Use { name, matched_labels } in uses(text) {
        let metric = declared(&name)
            .ok_or_else(|| format!("{origin}: {name} is not declared in crates/telemetry/src/names.rs"))?;
        for label in matched_labels {
            let known = metric.labels.contains(&label.as_str()) || ADDED_LABELS.contains(&label.as_str());
            if !known {
                return Err(format!("{origin}: {name} has no label {label}"));
            }
        }
        seen.insert(metric.name);
    }
    Ok(seen)
}

/// Every string under the key `expr`, `query` or `definition`.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match field {
                    Value::String(text) if matches!(key.as_str(), "expr" | "query" | "definition") => {
                        found.push(text.clone());
                    }
                    other => expressions(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(repository().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no .{ending} in {folder}");
    found
}

fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

#[test]
fn boards_alerts_and_recipes_name_only_what_exists_and_leave_nothing_out() {
    let mut watched = BTreeSet::new();
    for path in files("dashboards/grafana/boards", "json") {
        let board: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut found = Vec::new();
        expressions(&board, &mut found);
        for expression in found {
            let origin = path.display().to_string();
            watched.extend(check(&origin, &expression).unwrap());
        }
    }
    for (folder, ending) in [
        ("dashboards/grafana/alerts", "yml"),
        ("dashboards/grafana/alerts/tests", "yml"),
        ("deploy/kubernetes", "yaml"),
    ] {
        for path in files(folder, ending) {
            let text = without_comments(&fs::read_to_string(&path).unwrap());
            check(&path.display().to_string(), &text).unwrap();
        }
    }
    let missing: Vec<_> =
        metric::ALL.iter().map(|metric| metric.name).filter(|name| !watched.contains(name)).collect();
    assert!(missing.is_empty(), "on no board: {missing:?}");
}

#[test]
fn boards_use_the_datasource_variable_and_number_their_panels_once() {
    for path in files("dashboards/grafana/boards", "json") {
        let board: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut ids = BTreeSet::new();
        for panel in board["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: id");
            if panel["type"] != "row" {
                assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
                for target in panel["targets"].as_array().unwrap() {
                    assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
                }
            }
        }
    }
}

#[test]
fn a_wrong_name_and_a_wrong_label_are_found() {
    assert!(check("x", "rate(countersign_jobs_lost_total[5m])").is_err());
    assert!(check("x", "countersign_job_run_seconds").is_err());
    assert!(check("x", r#"countersign_dead_letters{org="a"}"#).is_err());
    assert!(check("x", r#"countersign_dead_letters{lane="a, org=b"}"#).is_ok());
    assert_eq!(
        check("x", r#"sum by (le) (rate(countersign_job_run_seconds_bucket{lane=~"$lane", job="w"}[5m]))"#)
            .unwrap()
            .len(),
        1
    );
}
