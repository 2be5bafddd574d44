//! `countersign workers`: the fleet.

use chrono::{TimeDelta, Utc};
use queue::ops;
use queue::ops::workers::WorkerView;
use serde_json::json;

use crate::operator::Operator;
use crate::output::Out;
use crate::table::Table;
use crate::when;

/// Those that left longer ago are shown on demand only.
const LEFT_WITHIN: TimeDelta = TimeDelta::minutes(10);

/// Arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also those that stopped or were lost more than 10 minutes ago, back to a day
    #[arg(long)]
    all: bool,
}

/// Lists the worker processes.
pub(crate) async fn run(args: &Args, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let queue = operator.queue().await?;
    let known = ops::workers::list(&mut *queue.pool().acquire().await?).await?;
    let oldest = Utc::now() - LEFT_WITHIN;
    let is_shown = |worker: &WorkerView| args.all || worker.stopped_at.is_none_or(|at| at >= oldest);
    let (workers, hidden): (Vec<_>, Vec<_>) = known.into_iter().partition(is_shown);
    out.json(&json!({ "workers": workers.iter().map(|worker| json!({
        "worker_id": worker.worker_id,
        "name": worker.name,
        "host": worker.host,
        "pid": worker.pid,
        "version": worker.version,
        "lanes": worker.lanes,
        "state": worker.state,
        "in_flight": worker.in_flight,
        "started_at": worker.started_at,
        "last_seen_at": worker.last_seen_at,
        "stopped_at": worker.stopped_at,
    })).collect::<Vec<_>>() }))?;
    let mut table =
        Table::new(&["NAME", "STATE", ">JOBS", ">SEEN", ">UP", "HOST", ">PID", "VERSION", "LANES", "ID"]);
    for worker in workers {
        table.row([
            worker.name,
            worker.state,
            worker.in_flight.to_string(),
            when::ago(Some(worker.last_seen_at)),
            when::ago(Some(worker.started_at)),
            worker.host,
            worker.pid.to_string(),
            worker.version,
            worker.lanes.join(","),
            worker.worker_id.to_string(),
        ]);
    }
    out.table(&table, "no worker runs; `countersign worker` starts one")?;
    if hidden.is_empty() {
        return Ok(());
    }
    out.say(format_args!("{} left more than 10 minutes ago; --all shows them too", hidden.len()))
}
