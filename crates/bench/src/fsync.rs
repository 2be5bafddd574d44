//! How long this disk takes to make a small write durable: every other figure depends on it.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;

use crate::measure::median;

/// Median of some hundred appends of 8 KiB with fdatasync, in milliseconds, in the folder `dir`.
pub(crate) fn probe(dir: &std::path::Path) -> Result<f64> {
    let mut file = tempfile::tempfile_in(dir)?;
    let block = [7_u8; 8192];
    let mut times = Vec::with_capacity(200);
    for _ in 0..200 {
        file.write_all(&block)?;
        let started = Instant::now();
        file.sync_data()?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(median(times))
}
