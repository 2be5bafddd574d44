//! `countersign jobs cancel` and `jobs retry`.

use domain::JobId;
use queue::ops;
use queue::ops::jobs::CancelOutcome;
use serde_json::json;
use store::audit::Entry;

use crate::operator::{InOrg, Operator, by_hand, settle};
use crate::output::Out;

/// Arguments of `cancel`.
#[derive(clap::Args)]
pub(crate) struct Cancel {
    /// The jobs
    #[arg(required = true, value_parser = super::id)]
    jobs: Vec<JobId>,
    /// Why; shown on the job
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    org: InOrg,
}

/// Arguments of `retry`.
#[derive(clap::Args)]
pub(crate) struct Retry {
    /// The jobs
    #[arg(required = true, value_parser = super::id)]
    jobs: Vec<JobId>,
    #[command(flatten)]
    org: InOrg,
}

/// Calls jobs off, one transaction each; stops at the first that can't be.
pub(super) async fn cancel(args: &Cancel, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(&args.org).await?;
    let queue = operator.queue().await?;
    for job in &args.jobs {
        let mut tx = operator.tx(org.org_id).await?;
        let was = store::jobs::place(&mut tx, *job).await?;
        let (actor, reason) = (Some(org.system_actor_id), args.reason.as_deref());
        let (outcome, after) = ops::jobs::cancel(tx.conn(), org.org_id, *job, actor, reason).await?;
        let entry = Entry::new("job.cancel", "job", job).job(*job).workspace(was.workspace());
        tx.record(entry.before(was).reason(by_hand(reason))).await?;
        tx.commit().await?;
        settle(&queue, after).await;
        let word = match outcome {
            CancelOutcome::Cancelled => "cancelled",
            CancelOutcome::Asked => "asked to stop",
        };
        out.json(&json!({ "job_id": job, "outcome": word.replace(' ', "_") }))?;
        out.say(format_args!("{job} {word}"))?;
    }
    Ok(())
}

/// Lets waiting jobs run now, one transaction each; stops at the first that does not wait.
pub(super) async fn retry(args: &Retry, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(&args.org).await?;
    let queue = operator.queue().await?;
    for job in &args.jobs {
        let mut tx = operator.tx(org.org_id).await?;
        let was = store::jobs::place(&mut tx, *job).await?;
        let after = ops::jobs::retry_now(tx.conn(), org.org_id, *job, Some(org.system_actor_id)).await?;
        let entry = Entry::new("job.retry", "job", job).job(*job).workspace(was.workspace());
        tx.record(entry.before(was).reason(by_hand(None))).await?;
        tx.commit().await?;
        settle(&queue, after).await;
        out.json(&json!({ "job_id": job, "outcome": "queued" }))?;
        out.say(format_args!("{job} queued"))?;
    }
    Ok(())
}
