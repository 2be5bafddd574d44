//! `countersign jobs watch`: one job to its end, from the ledger; or an organisation's changes, from the
//! live stream.

use std::time::Duration;

use anyhow::Context;
use domain::{JobId, JobState};
use queue::events::Event;
use serde_json::{Value, json};
use store::jobs::{JobRow, detail};

use super::view;
use crate::operator::{InOrg, Operator};
use crate::output::Out;
use crate::when;

/// How often a watched job is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The job to follow; without one, every change in the organisation
    #[arg(value_parser = super::id)]
    job: Option<JobId>,
    #[command(flatten)]
    org: InOrg,
}

/// Follows until the job ends, or until it is interrupted.
pub(super) async fn run(args: &Args, operator: &Operator, out: Out) -> anyhow::Result<()> {
    match args.job {
        Some(job) => follow(job, &args.org, operator, out).await,
        None => stream(&args.org, operator, out).await,
    }
}

async fn follow(job: JobId, org: &InOrg, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(org).await?.org_id;
    let mut seen = None;
    loop {
        // A transaction for each look: a long one would hold cleaning up.
        let found = detail(&mut operator.tx(org).await?, job).await?.job;
        let now = (found.state.0, found.attempt, found.progress_done, found.wait_until);
        if seen != Some(now) {
            seen = Some(now);
            out.json(&view::json_of(&found))?;
            out.say(line(&found))?;
        }
        if found.state.0.is_final() {
            if found.state.0 != JobState::Succeeded {
                anyhow::bail!("the job ended as {}: {}", found.state.0.as_str(), view::why(&found));
            }
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn line(job: &JobRow) -> String {
    let time = when::shown(chrono::Utc::now());
    let attempt = format!("attempt {}/{}", job.attempt, job.max_attempts);
    format!("{time}  {:<22} {attempt}  {}", view::state(job), view::why(job)).trim_end().to_owned()
}

async fn stream(org: &InOrg, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(org).await?;
    let queue = operator.queue().await?;
    let away = "Redis, which carries the changes, does not answer";
    let mut watch = queue.events().watch(org.org_id, None).await.context(away)?;
    out.say(format_args!("watching {}; Ctrl-C ends it", org.slug))?;
    loop {
        for event in watch.next().await.context(away)? {
            match event {
                Event::Change { id, json } => {
                    let change: Value = serde_json::from_str(&json).unwrap_or_default();
                    out.json(&json!({ "event_id": id, "change": change }))?;
                    let text = |name: &str| change[name].as_str().unwrap_or("?").to_owned();
                    let time = when::shown(chrono::Utc::now());
                    out.say(format_args!(
                        "{time}  {}  {:<10} {:<24} {}",
                        text("job_id"),
                        text("state"),
                        text("kind"),
                        text("lane")
                    ))?;
                }
                // This watches jobs.
                Event::Approval { .. } => {}
                Event::Reset => {
                    out.json(&json!({ "reset": true }))?;
                    out.say("some changes were missed; `countersign jobs list` shows how it stands")?;
                }
            }
        }
    }
}
