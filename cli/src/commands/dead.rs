//! `countersign dead`: dead letters. Whatever touches many of them shows what it would do first.

use std::collections::BTreeMap;

use anyhow::bail;
use chrono::{DateTime, Utc};
use domain::JobId;
use domain::effect::ReplayNeeds;
use queue::ops;
use queue::ops::dead::DeadFilter;
use serde_json::json;
use serde_json::value::RawValue;
use store::audit::Entry;
use store::{jobs, orgs::Org};

use crate::failure::usage;
use crate::operator::{InOrg, Operator, by_hand, registry, settle};
use crate::output::Out;
use crate::table::Table;
use crate::{payload, when};

/// Dead letters handled in one transaction.
const CHUNK: i64 = 500;

/// What to do with dead letters.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// By cause, most first
    Groups(InOrg),
    /// One by one, newest first
    List(List),
    /// Run them again with fresh attempts; without --yes only says what it would do
    Replay(Replay),
    /// Put them aside for good; without --yes only says what it would do
    Discard(Discard),
}

/// Which dead letters.
#[derive(clap::Args, Clone)]
pub(crate) struct Which {
    /// Only of this kind
    #[arg(long)]
    kind: Option<String>,
    /// Only with this error code
    #[arg(long)]
    code: Option<String>,
    /// Only in this lane
    #[arg(long)]
    lane: Option<String>,
    /// Only those that died since
    #[arg(long, value_parser = when::past)]
    since: Option<DateTime<Utc>>,
    /// Only those that died before
    #[arg(long, value_parser = when::past)]
    until: Option<DateTime<Utc>>,
    #[command(flatten)]
    org: InOrg,
}

impl Which {
    fn is_empty(&self) -> bool {
        self.kind.is_none()
            && self.code.is_none()
            && self.lane.is_none()
            && self.since.is_none()
            && self.until.is_none()
    }

    /// What died until now: a job that dies while this runs is neither taken twice nor taken unlooked at.
    /// None when nothing was chosen.
    fn filter(&self, all: bool) -> Option<DeadFilter> {
        (all || !self.is_empty()).then(|| DeadFilter {
            kind: self.kind.clone(),
            error_code: self.code.clone(),
            lane: self.lane.clone(),
            from: self.since,
            until: Some(self.until.unwrap_or_else(Utc::now)),
        })
    }
}

/// Arguments of `list`.
#[derive(clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    which: Which,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Go on where the page before ended
    #[arg(long)]
    cursor: Option<String>,
}

/// Arguments of `replay`.
#[derive(clap::Args)]
pub(crate) struct Replay {
    /// These jobs; or choose by --kind, --code, --lane, --since, --until, --all
    #[arg(value_parser = super::jobs::id)]
    jobs: Vec<JobId>,
    #[command(flatten)]
    which: Which,
    /// All of the organisation's dead letters
    #[arg(long)]
    all: bool,
    /// Another payload for the one job: JSON text, @file or -
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// Really do it
    #[arg(long)]
    yes: bool,
}

/// Arguments of `discard`.
#[derive(clap::Args)]
pub(crate) struct Discard {
    /// These jobs; or choose by --kind, --code, --lane, --since, --until, --all
    #[arg(value_parser = super::jobs::id)]
    jobs: Vec<JobId>,
    #[command(flatten)]
    which: Which,
    /// All of the organisation's dead letters
    #[arg(long)]
    all: bool,
    /// Why; kept with each of them
    #[arg(long)]
    reason: String,
    /// Really do it
    #[arg(long)]
    yes: bool,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, operator: &Operator, out: Out) -> anyhow::Result<()> {
    match command {
        Command::Groups(org) => groups(&org, operator, out).await,
        Command::List(args) => list(args, operator, out).await,
        Command::Replay(args) => replay(args, operator, out).await,
        Command::Discard(args) => discard(args, operator, out).await,
    }
}

async fn groups(org: &InOrg, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(org).await?.org_id;
    let groups = ops::dead::groups(operator.tx(org).await?.conn(), org).await?;
    out.json(&json!({ "groups": groups.iter().map(|group| json!({
        "kind": group.kind,
        "lane": group.lane,
        "error_code": group.error_code,
        "count": group.count,
        "first_at": group.first_at,
        "last_at": group.last_at,
        "sample_message": group.sample_message,
        "sample_job_id": group.sample_job_id,
    })).collect::<Vec<_>>() }))?;
    let mut table = Table::new(&[">JOBS", "KIND", "LANE", "CODE", ">FIRST", ">LAST", "NEWEST", "MESSAGE"]);
    for group in groups {
        table.row([
            group.count.to_string(),
            group.kind,
            group.lane,
            group.error_code,
            when::ago(Some(group.first_at)),
            when::ago(Some(group.last_at)),
            group.sample_job_id.to_string(),
            out.cell(&group.sample_message.unwrap_or_default(), 60),
        ]);
    }
    out.table(&table, "no dead letters")
}

async fn list(args: List, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(&args.which.org).await?.org_id;
    let filter = jobs::DeadFilter {
        kind: args.which.kind,
        error_code: args.which.code,
        lane: args.which.lane,
        from: args.which.since,
        until: args.which.until,
    };
    let ask = jobs::PageAsk { cursor: args.cursor, limit: args.limit };
    let page = jobs::dead(&mut operator.tx(org).await?, &filter, &ask).await?;
    out.json(&json!({
        "dead": page.rows.iter().map(|job| json!({
            "job_id": job.job_id,
            "kind": job.kind,
            "lane": job.lane,
            "attempt": job.attempt,
            "created_at": job.created_at,
            "died_at": job.finished_at,
            "error_code": job.error_code,
            "error_message": job.error_message,
        })).collect::<Vec<_>>(),
        "next_cursor": page.next,
    }))?;
    let mut table = Table::new(&["ID", "KIND", "LANE", ">TRIES", ">DIED", "CODE", "MESSAGE"]);
    for job in page.rows {
        table.row([
            job.job_id.to_string(),
            job.kind,
            job.lane,
            job.attempt.to_string(),
            when::ago(job.finished_at),
            job.error_code.unwrap_or_default(),
            out.cell(&job.error_message.unwrap_or_default(), 60),
        ]);
    }
    out.table(&table, "no dead letters")?;
    match page.next {
        Some(next) => out.say(format_args!("more: repeat with --cursor {next}")),
        None => Ok(()),
    }
}

/// The counts by kind of what is meant. Refuses to mean everything by accident.
async fn chosen(
    ids: &[JobId],
    filter: Option<&DeadFilter>,
    org: &Org,
    operator: &Operator,
) -> anyhow::Result<BTreeMap<String, i64>> {
    if ids.is_empty() != filter.is_some() {
        return Err(usage("name jobs, or choose them by --kind, --code, --lane, --since, --until or --all"));
    }
    let mut tx = operator.tx(org.org_id).await?;
    if let Some(filter) = filter {
        return Ok(ops::dead::count(tx.conn(), org.org_id, filter).await?.into_iter().collect());
    }
    let mut counts = BTreeMap::new();
    for id in ids {
        let job = jobs::detail(&mut tx, *id).await?.job;
        *counts.entry(job.kind).or_insert(0) += 1;
    }
    Ok(counts)
}

/// The filter as the audit log tells it.
fn told(filter: &DeadFilter) -> serde_json::Value {
    json!({
        "kind": filter.kind,
        "error_code": filter.error_code,
        "lane": filter.lane,
        "from": filter.from,
        "until": filter.until,
    })
}

/// Says what would be touched; true when it is to be done.
fn announce(verb: &str, counts: &BTreeMap<String, i64>, yes: bool, out: Out) -> anyhow::Result<bool> {
    let total: i64 = counts.values().sum();
    let go = yes && total > 0;
    if go {
        return Ok(true);
    }
    out.json(&json!({ "dry_run": true, "would": verb, "count": total, "kinds": counts }))?;
    if total == 0 {
        out.say(format_args!("nothing to {verb}"))?;
        return Ok(false);
    }
    let mut table = Table::new(&[">JOBS", "KIND"]);
    for (kind, count) in counts {
        table.row([count.to_string(), kind.clone()]);
    }
    out.say(&table)?;
    out.say(format_args!("would {verb} {total}; nothing is done yet: add --yes to do it"))?;
    Ok(false)
}

/// Refuses kinds that a plain replay must not touch, and those of which nobody here can say what it would do.
fn check_effects(counts: &BTreeMap<String, i64>) -> anyhow::Result<()> {
    let catalogue = registry()?.catalogue();
    let is_known = |name: &str| catalogue.iter().any(|kind| kind.kind == name);
    if let Some(unknown) = counts.keys().find(|name| !is_known(name)) {
        bail!(
            "this program does not know {unknown}, so it can't tell what a replay would do; use the version that \
             has it, or choose the other kinds with --kind"
        );
    }
    let money: Vec<&str> = catalogue
        .iter()
        .filter(|kind| kind.replay_needs == ReplayNeeds::Approval && counts.contains_key(kind.kind))
        .map(|kind| kind.kind)
        .collect();
    if !money.is_empty() {
        bail!(
            "{} moves money: a replay needs an approval first; choose the other kinds with --kind",
            money.join(", ")
        );
    }
    Ok(())
}

/// The other payload, checked against the one job's kind. Only checked: the job keeps its payload version, so
/// the text stays as it came.
async fn edited(args: &Replay, org: &Org, operator: &Operator) -> anyhow::Result<Option<Box<RawValue>>> {
    let (Some(text), Some(job)) = (&args.payload, args.jobs.first()) else { return Ok(None) };
    let found = jobs::detail(&mut operator.tx(org.org_id).await?, *job).await?.job;
    let text = payload::read(text)?;
    payload::prepare(&registry()?, org.org_id, &found.kind, Some(found.kind_version), text.clone())?;
    Ok(Some(text))
}

async fn replay(args: Replay, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(&args.which.org).await?;
    if args.payload.is_some() && args.jobs.len() != 1 {
        return Err(usage("--payload is for one job: name it"));
    }
    let filter = args.which.filter(args.all);
    let counts = chosen(&args.jobs, filter.as_ref(), &org, operator).await?;
    check_effects(&counts)?;
    let edited = edited(&args, &org, operator).await?;
    if !announce("replay", &counts, args.yes, out)? {
        return Ok(());
    }
    let queue = operator.queue().await?;
    let actor = Some(org.system_actor_id);
    let total = counts.values().sum::<i64>().unsigned_abs();
    let bar = out.progress(total, "replaying");
    let mut replayed = 0;
    if let Some(filter) = &filter {
        loop {
            let mut tx = operator.tx(org.org_id).await?;
            let (count, after) = ops::dead::replay_where(tx.conn(), org.org_id, filter, actor, CHUNK).await?;
            if count > 0 {
                let ids: Vec<_> = after.job_ids().collect();
                let entry = Entry::new("dead.replay", "dead_letters", "many").before(told(filter));
                let entry = entry.after(json!({ "replayed": count, "job_ids": ids }));
                tx.record(entry.reason(by_hand(None))).await?;
            }
            tx.commit().await?;
            settle(&queue, after).await;
            replayed += count;
            bar.set_position(replayed);
            if count == 0 {
                break;
            }
        }
    }
    for job in &args.jobs {
        let mut tx = operator.tx(org.org_id).await?;
        let was = jobs::place(&mut tx, *job).await?;
        let after = ops::dead::replay(tx.conn(), org.org_id, *job, actor, edited.as_deref()).await?;
        let entry = Entry::new("dead.replay", "job", job).job(*job).workspace(was.workspace()).before(was);
        let entry = entry.after(json!({ "payload_changed": edited.is_some() }));
        tx.record(entry.reason(by_hand(None))).await?;
        tx.commit().await?;
        settle(&queue, after).await;
        replayed += 1;
        bar.set_position(replayed);
    }
    bar.finish_and_clear();
    out.json(&json!({ "replayed": replayed, "kinds": counts }))?;
    out.say(format_args!("{replayed} replayed"))
}

async fn discard(args: Discard, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(&args.which.org).await?;
    let filter = args.which.filter(args.all);
    let counts = chosen(&args.jobs, filter.as_ref(), &org, operator).await?;
    if !announce("discard", &counts, args.yes, out)? {
        return Ok(());
    }
    let actor = Some(org.system_actor_id);
    let total = counts.values().sum::<i64>().unsigned_abs();
    let bar = out.progress(total, "discarding");
    let mut discarded = 0;
    if let Some(filter) = &filter {
        loop {
            let mut tx = operator.tx(org.org_id).await?;
            let count =
                ops::dead::discard_where(tx.conn(), org.org_id, filter, actor, &args.reason, CHUNK).await?;
            if count > 0 {
                let entry = Entry::new("dead.discard", "dead_letters", "many").before(told(filter));
                let entry = entry.after(json!({ "discarded": count }));
                tx.record(entry.reason(by_hand(Some(&args.reason)))).await?;
            }
            tx.commit().await?;
            discarded += count;
            bar.set_position(discarded);
            if count == 0 {
                break;
            }
        }
    }
    for job in &args.jobs {
        let mut tx = operator.tx(org.org_id).await?;
        let was = jobs::place(&mut tx, *job).await?;
        ops::dead::discard(tx.conn(), org.org_id, *job, actor, &args.reason).await?;
        let entry = Entry::new("dead.discard", "job", job).job(*job).workspace(was.workspace()).before(was);
        tx.record(entry.reason(by_hand(Some(&args.reason)))).await?;
        tx.commit().await?;
        discarded += 1;
        bar.set_position(discarded);
    }
    bar.finish_and_clear();
    out.json(&json!({ "discarded": discarded, "kinds": counts }))?;
    out.say(format_args!("{discarded} discarded"))
}
