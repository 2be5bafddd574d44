//! What a worker process costs while there is nothing to do.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::rig::Rig;

pub(crate) struct Idle {
    pub(crate) rss_mb: f64,
    pub(crate) cpu_pct: f64,
}

/// Starts this program's own `worker`, lets it come to rest, and watches it for `window`.
pub(crate) async fn worker(rig: &Rig, window: Duration) -> Result<Idle> {
    let mut child = crate::http::own_program(rig, "worker")?.spawn().context("starting a worker process")?;
    let pid = child.id().context("the worker process ended at once")?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let before = cpu_ticks(pid)?;
    tokio::time::sleep(window).await;
    let after = cpu_ticks(pid)?;
    let rss_mb = rss_mb(pid)?;
    child.kill().await?;
    // Linux counts in hundredths of a second on every machine this runs on.
    #[allow(clippy::cast_precision_loss)]
    let cpu_pct = (after - before) as f64 / window.as_secs_f64();
    Ok(Idle { rss_mb, cpu_pct })
}

fn cpu_ticks(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("reading the process' times")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    Ok(field(11) + field(12))
}

fn rss_mb(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kb: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|text| text.parse().ok())
        .context("no VmRSS")?;
    Ok(kb / 1024.0)
}
