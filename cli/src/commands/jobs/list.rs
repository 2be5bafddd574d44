//! `countersign jobs list`.

use chrono::{DateTime, Utc};
use domain::{BatchId, JobState};
use jobs::Registry;
use serde_json::{Value, json};
use store::jobs::{Candidate, Filter, PageAsk, list, search};

use super::view;
use crate::operator::{InOrg, Operator, registry};
use crate::output::Out;
use crate::when;

/// Arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only in these states: scheduled, queued, running, parked, succeeded, dead, cancelled, expired
    #[arg(long, value_delimiter = ',')]
    state: Vec<JobState>,
    /// Only of this kind
    #[arg(long)]
    kind: Option<String>,
    /// Only in this lane
    #[arg(long)]
    lane: Option<String>,
    /// Only those that ended with this error code
    #[arg(long)]
    code: Option<String>,
    /// Only with this idempotency key
    #[arg(long)]
    key: Option<String>,
    /// Only of this batch
    #[arg(long)]
    batch: Option<BatchId>,
    /// Only those made since (2026-05-01T12:00:00Z, or 2h for two hours ago)
    #[arg(long, value_parser = when::past)]
    since: Option<DateTime<Utc>>,
    /// Only those made before
    #[arg(long, value_parser = when::past)]
    until: Option<DateTime<Utc>>,
    /// Only those with this text in kind, key, error or payload
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Go on where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    org: InOrg,
}

/// Prints a page of jobs.
pub(super) async fn run(args: Args, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(&args.org).await?;
    let filter = Filter {
        states: args.state,
        kind: args.kind,
        lane: args.lane,
        batch: args.batch,
        workspace: None,
        error_code: args.code,
        idempotency_key: args.key,
        created_from: args.since,
        created_to: args.until,
    };
    let ask = PageAsk { cursor: args.cursor, limit: args.limit };
    let mut tx = operator.tx(org.org_id).await?;
    let page = match &args.search {
        None => list(&mut tx, &filter, &ask).await?,
        Some(text) => {
            let registry = registry()?;
            let shows = |candidate: &Candidate| is_seen(&registry, candidate, text);
            search(&mut tx, &filter, text, &ask, &shows).await?
        }
    };
    out.json(&json!({
        "jobs": page.rows.iter().map(view::json_of).collect::<Vec<_>>(),
        "next_cursor": page.next,
        "searched_back_to": page.searched_back_to,
    }))?;
    out.table(&view::table(&page.rows, out), "no jobs")?;
    if let Some(back_to) = page.searched_back_to {
        out.say(format_args!("looked back to {} so far", when::shown(back_to)))?;
    }
    match page.next {
        Some(next) => out.say(format_args!("more: repeat with --cursor {next}")),
        None => Ok(()),
    }
}

/// Whether the text is found in what may be seen: hidden payload fields can't be guessed by searching.
fn is_seen(registry: &Registry, candidate: &Candidate, text: &str) -> bool {
    let job = &candidate.job;
    let payload: Value = serde_json::from_str(&candidate.payload).unwrap_or_default();
    let payload = registry.redact(&job.kind, job.kind_version, &payload).to_string();
    let wanted = text.to_lowercase();
    [
        Some(&job.kind),
        job.idempotency_key.as_ref(),
        job.error_code.as_ref(),
        job.error_message.as_ref(),
        Some(&payload),
    ]
    .into_iter()
    .flatten()
    .any(|field| field.to_lowercase().contains(&wanted))
}
