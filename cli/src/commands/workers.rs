//! `countersign workers`: the fleet.

use queue::ops;
use serde_json::json;

use crate::operator::Operator;
use crate::output::Out;
use crate::table::Table;
use crate::when;

/// Lists the worker processes.
pub(crate) async fn run(operator: &Operator, out: Out) -> anyhow::Result<()> {
    let queue = operator.queue().await?;
    let workers = ops::workers::list(&mut *queue.pool().acquire().await?).await?;
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
    let mut table = Table::new(&["NAME", "STATE", ">JOBS", ">SEEN", ">UP", "VERSION", "LANES", "ID"]);
    for worker in workers {
        table.row([
            worker.name,
            worker.state,
            worker.in_flight.to_string(),
            when::ago(Some(worker.last_seen_at)),
            when::ago(Some(worker.started_at)),
            worker.version,
            worker.lanes.join(","),
            worker.worker_id.to_string(),
        ]);
    }
    out.table(&table, "no worker runs; `countersign worker` starts one")
}
