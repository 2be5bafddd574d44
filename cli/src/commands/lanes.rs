//! `countersign lanes`: how lanes stand, and who pauses, resumes, drains or resizes what.
//!
//! Without `--org` a command speaks for the platform, with it for one organisation's own share.

use clap::Subcommand;
use queue::ops::lanes::{LaneMode, LanePatch, LaneView};
use queue::ops::{self, After};
use serde_json::json;
use store::audit::Entry;

use crate::failure::usage;
use crate::operator::{InOrg, Operator, by_hand, settle};
use crate::output::Out;
use crate::table::Table;
use crate::when;

/// Arguments; without a command, the list.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Speak for one organisation's own share instead of the platform
    #[arg(long, value_name = "SLUG", global = true)]
    org: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// How all lanes stand
    List,
    /// Take jobs in, start none
    Pause(Lane),
    /// Back to ordinary work
    #[command(visible_alias = "open")]
    Resume(Lane),
    /// Work off what is queued and hold newcomers back
    Drain(Lane),
    /// Change a lane's size
    Set(Set),
}

#[derive(clap::Args)]
struct Lane {
    /// The lane's name
    lane: String,
}

#[derive(clap::Args)]
struct Set {
    /// The lane's name
    lane: String,
    /// Slots in each worker process; running workers take it on within seconds
    #[arg(long)]
    concurrency: Option<i32>,
    /// Most jobs of one organisation that run at once over all workers
    #[arg(long, conflicts_with = "no_org_cap")]
    org_cap: Option<i32>,
    /// Take that bound away
    #[arg(long)]
    no_org_cap: bool,
}

/// Runs one of them.
pub(crate) async fn run(args: Args, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = args.org.map(|slug| InOrg { org: Some(slug) });
    match args.command {
        None | Some(Command::List) => list(org.as_ref(), operator, out).await,
        Some(Command::Pause(lane)) => {
            set_mode(&lane.lane, LaneMode::Paused, org.as_ref(), operator, out).await
        }
        Some(Command::Resume(lane)) => {
            set_mode(&lane.lane, LaneMode::Open, org.as_ref(), operator, out).await
        }
        Some(Command::Drain(lane)) => {
            set_mode(&lane.lane, LaneMode::Draining, org.as_ref(), operator, out).await
        }
        Some(Command::Set(args)) => set(&args, org.as_ref(), operator, out).await,
    }
}

async fn list(org: Option<&InOrg>, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let lanes = match org {
        Some(org) => {
            let org = operator.org(org).await?.org_id;
            ops::lanes::list(operator.tx(org).await?.conn(), Some(org)).await?
        }
        None => {
            let queue = operator.queue().await?;
            let mut connection = queue.pool().acquire().await?;
            ops::lanes::list(&mut connection, None).await?
        }
    };
    out.json(&json!({ "lanes": lanes.iter().map(json_of).collect::<Vec<_>>() }))?;
    let mut table = Table::new(&[
        "LANE",
        "MODE",
        ">QUEUED",
        ">RUNNING",
        ">SCHEDULED",
        ">PARKED",
        ">OLDEST",
        ">SLOTS/WORKER",
        ">CAP",
    ]);
    for lane in lanes {
        let mode = if lane.mode == "open" { &lane.org_mode } else { &lane.mode };
        table.row([
            lane.lane.clone(),
            mode.clone(),
            lane.queued.to_string(),
            lane.running.to_string(),
            lane.scheduled.to_string(),
            lane.parked.to_string(),
            when::ago(lane.oldest_queued_at),
            lane.concurrency.to_string(),
            lane.org_cap.map_or_else(|| "-".into(), |cap| cap.to_string()),
        ]);
    }
    out.table(&table, "there are no lanes")
}

fn json_of(lane: &LaneView) -> serde_json::Value {
    json!({
        "lane": lane.lane,
        "mode": lane.mode,
        "org_mode": lane.org_mode,
        "concurrency": lane.concurrency,
        "org_cap": lane.org_cap,
        "depth": {
            "scheduled": lane.scheduled,
            "queued": lane.queued,
            "running": lane.running,
            "parked": lane.parked,
        },
        "oldest_queued_at": lane.oldest_queued_at,
    })
}

async fn set_mode(
    lane: &str,
    mode: LaneMode,
    org: Option<&InOrg>,
    operator: &Operator,
    out: Out,
) -> anyhow::Result<()> {
    let queue = operator.queue().await?;
    let (after, whose): (After, String) = match org {
        Some(org) => {
            let org = operator.org(org).await?;
            let mut tx = operator.tx(org.org_id).await?;
            let actor = Some(org.system_actor_id);
            let was = ops::lanes::share(tx.conn(), org.org_id, lane).await?;
            let after = ops::lanes::set_org_mode(tx.conn(), org.org_id, lane, mode, actor).await?;
            let is = ops::lanes::share(tx.conn(), org.org_id, lane).await?;
            let action = match mode {
                LaneMode::Open => "lane.resume",
                LaneMode::Paused => "lane.pause",
                LaneMode::Draining => "lane.drain",
            };
            tx.record(Entry::new(action, "lane", lane).before(was).after(is).reason(by_hand(None))).await?;
            tx.commit().await?;
            (after, org.slug)
        }
        None => {
            let patch = LanePatch { mode: Some(mode), ..LanePatch::default() };
            let mut tx = queue.pool().begin().await?;
            let after = ops::lanes::set_platform(&mut tx, lane, patch).await?;
            tx.commit().await?;
            (after, "everybody".into())
        }
    };
    settle(&queue, after).await;
    out.json(&json!({ "lane": lane, "mode": mode.as_str(), "org": org.and_then(|org| org.org.clone()) }))?;
    // Workers have to hear of it first: until then they may still start one.
    let soon = match mode {
        LaneMode::Paused => "workers stop taking within a second",
        LaneMode::Draining => "newcomers are held back within a second",
        LaneMode::Open => "workers take again within a second",
    };
    out.say(format_args!("{lane} is {} for {whose}; {soon}", mode.as_str()))
}

async fn set(args: &Set, org: Option<&InOrg>, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org_cap = if args.no_org_cap { Some(None) } else { args.org_cap.map(Some) };
    let queue = operator.queue().await?;
    let after = match (org, org_cap) {
        (Some(_), _) if args.concurrency.is_some() => {
            return Err(usage("slots belong to the platform; leave --org or --concurrency out"));
        }
        (Some(org), Some(cap)) => {
            let org = operator.org(org).await?;
            let mut tx = operator.tx(org.org_id).await?;
            let actor = Some(org.system_actor_id);
            let was = ops::lanes::share(tx.conn(), org.org_id, &args.lane).await?;
            let after = ops::lanes::set_org_cap(tx.conn(), org.org_id, &args.lane, cap, actor).await?;
            let is = ops::lanes::share(tx.conn(), org.org_id, &args.lane).await?;
            let entry = Entry::new("lane.change", "lane", &args.lane).before(was).after(is);
            tx.record(entry.reason(by_hand(None))).await?;
            tx.commit().await?;
            after
        }
        (None, cap) if cap.is_some() || args.concurrency.is_some() => {
            let patch = LanePatch { mode: None, concurrency: args.concurrency, org_cap: cap };
            let mut tx = queue.pool().begin().await?;
            let after = ops::lanes::set_platform(&mut tx, &args.lane, patch).await?;
            tx.commit().await?;
            after
        }
        _ => return Err(usage("nothing to set; give --concurrency, --org-cap or --no-org-cap")),
    };
    settle(&queue, after).await;
    out.json(&json!({ "lane": args.lane, "concurrency": args.concurrency, "org_cap": org_cap.flatten() }))?;
    out.say(format_args!("{} is changed", args.lane))
}
