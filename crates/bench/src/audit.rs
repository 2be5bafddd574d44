//! The audit log: how many entries a second many writers get into one organisation's chain, and how fast the
//! chain is looked through.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use domain::OrgId;
use serde::Serialize;
use serde_json::json;
use store::audit::{self, Entry};
use store::{Store, StoreConfig, Tx};

use crate::args::AuditArgs;
use crate::fsync;
use crate::measure::rate;
use crate::rig::Rig;

/// What was measured.
#[derive(Debug, Serialize)]
struct Figures {
    audit_entries: usize,
    audit_writers: usize,
    audit_write_per_s: f64,
    audit_chained_per_s: f64,
    audit_verify_per_s: f64,
    fsync_ms: f64,
}

/// Measures and prints.
pub(crate) async fn run(args: &AuditArgs, json: bool) -> Result<()> {
    let rig = Rig::start().await?;
    let org = OrgId::new();
    let mut config =
        StoreConfig::new(rig.servers.database_url("postgres", "postgres").into(), Some("countersign_app"));
    config.max_connections = 32;
    config.acquire_timeout = Duration::from_secs(60);
    let store = Store::connect_with(&config)?;
    let each = (args.entries / args.writers).max(1);
    let total = each * args.writers;
    let began = Instant::now();
    let writers: Vec<_> = (0..args.writers).map(|_| tokio::spawn(write(store.clone(), org, each))).collect();
    for writer in writers {
        writer.await??;
    }
    let written = began.elapsed();
    // The last ones are linked a moment after their commit.
    loop {
        let waiting: i64 =
            sqlx::query_scalar("SELECT count(*) FROM audit_pending").fetch_one(&rig.admin).await?;
        if waiting == 0 {
            break;
        }
        ensure!(began.elapsed() < written + Duration::from_secs(60), "{waiting} entries are not linked");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let linked = began.elapsed();
    let began = Instant::now();
    let report = audit::verify(&store, org, Vec::new(), None, &|_, _| {}).await?;
    let verified = began.elapsed();
    ensure!(
        report.intact && report.links == total as u64,
        "the chain does not verify: {:?}",
        report.problems
    );
    let figures = Figures {
        audit_entries: total,
        audit_writers: args.writers,
        audit_write_per_s: rate(total, written),
        audit_chained_per_s: rate(total, linked),
        audit_verify_per_s: rate(total, verified),
        fsync_ms: fsync::probe(&std::env::temp_dir())?,
    };
    if json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        println!(
            "{total} entries by {} writers into one chain; fsync takes {:.3} ms here",
            args.writers, figures.fsync_ms
        );
        println!("written and committed   {:>10.0} /s", figures.audit_write_per_s);
        println!("  until all are chained {:>10.0} /s", figures.audit_chained_per_s);
        println!("verified                {:>10.0} /s", figures.audit_verify_per_s);
    }
    Ok(())
}

async fn write(store: Store, org: OrgId, count: usize) -> Result<()> {
    for number in 0..count {
        let mut tx = Tx::system(&store, org, "measure the audit log").await?;
        let entry = Entry::new("lane.pause", "lane", number)
            .before(json!({ "mode": "open", "org_cap": null }))
            .after(json!({ "mode": "paused", "org_cap": null }))
            .reason("the other side asked us to wait");
        tx.record(entry).await?;
        tx.commit().await?;
    }
    Ok(())
}
