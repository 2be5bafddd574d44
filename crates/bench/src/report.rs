//! The figures, as a table or as JSON.

use anyhow::Result;
use serde::Serialize;

/// What was measured; none where it was not asked for.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) enqueue_single_per_s: Option<f64>,
    pub(crate) enqueue_bulk_per_s: Option<f64>,
    pub(crate) drain_per_s: Option<f64>,
    pub(crate) end_to_end_per_s: Option<f64>,
    pub(crate) end_to_end_1000_per_s: Option<f64>,
    pub(crate) pickup_p50_ms: Option<f64>,
    pub(crate) pickup_p99_ms: Option<f64>,
    pub(crate) drain_backlog_500k_ratio: Option<f64>,
    pub(crate) drain_history_2m_ratio: Option<f64>,
    pub(crate) http_enqueue_per_s: Option<f64>,
    pub(crate) http_errors: Option<f64>,
    pub(crate) idle_rss_mb: Option<f64>,
    pub(crate) idle_cpu_pct: Option<f64>,
    pub(crate) fsync_ms: Option<f64>,
    pub(crate) apalis_postgres_push_per_s: Option<f64>,
    pub(crate) enqueue_keyed_per_s: Option<f64>,
    pub(crate) runs: usize,
}

impl Report {
    pub(crate) fn print(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        println!("\nmedians of {} run(s); fsync takes {} ms here\n", self.runs, number(self.fsync_ms, 3));
        let rows = [
            ("single enqueues, 100 callers", self.enqueue_single_per_s, "/s", 0),
            ("  the same with idempotency keys", self.enqueue_keyed_per_s, "/s", 0),
            ("  apalis-postgres, the same callers", self.apalis_postgres_push_per_s, "/s", 0),
            ("bulk enqueues of 1,000", self.enqueue_bulk_per_s, "/s", 0),
            ("drain, one worker process", self.drain_per_s, "/s", 0),
            ("  with 500,000 queued", self.drain_backlog_500k_ratio, "× of plain", 2),
            ("  with 2,000,000 finished", self.drain_history_2m_ratio, "× of plain", 2),
            ("end to end, 200 callers, 200 in flight", self.end_to_end_per_s, "/s", 0),
            ("end to end, 1,000 and 1,000", self.end_to_end_1000_per_s, "/s", 0),
            ("pick-up at 50 jobs/s, p50", self.pickup_p50_ms, "ms", 2),
            ("pick-up at 50 jobs/s, p99", self.pickup_p99_ms, "ms", 2),
            ("POST /v1/jobs, 100 connections", self.http_enqueue_per_s, "/s", 0),
            ("  answers that were no 202", self.http_errors, "", 0),
            ("idle worker, memory", self.idle_rss_mb, "MB", 1),
            ("idle worker, of one core", self.idle_cpu_pct, "%", 2),
        ];
        for (what, value, unit, digits) in rows {
            println!("{what:<42}{:>12} {unit}", number(value, digits));
        }
        Ok(())
    }
}

fn number(value: Option<f64>, digits: usize) -> String {
    let Some(value) = value else { return "–".into() };
    let text = format!("{value:.digits$}");
    let (whole, rest) =
        text.split_once('.').map_or((text.as_str(), String::new()), |(w, r)| (w, format!(".{r}")));
    let grouped: Vec<&str> = whole
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|chunk| std::str::from_utf8(chunk).unwrap_or_default())
        .collect();
    grouped.join(",") + &rest
}
