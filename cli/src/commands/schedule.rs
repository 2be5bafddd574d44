//! `countersign schedule`: cron schedules of an organisation. A schedule is named by its name or its id.

use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use domain::ScheduleId;
use schedules::{Asked, Schedule, Spec, Tick, preview, run_now, table};
use serde_json::{Value, json};
use store::audit::Entry;
use store::{Tx, orgs::Org};

use crate::failure::unconfirmed;
use crate::operator::{InOrg, Operator, by_hand, registry, tell_if_redis_is_away};
use crate::output::Out;
use crate::table::Table;
use crate::{payload, when};

/// What to do with schedules.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// All schedules
    List(InOrg),
    /// Make one
    Add(Add),
    /// Let one rest; ticks that pass meanwhile never fire
    Pause(One),
    /// Wake one
    Resume(One),
    /// Run its job once, now
    RunNow(One),
    /// When it ticks next
    Ticks(Ticks),
    /// Remove one; jobs it has enqueued stay. Without --yes only says what would go
    Remove(Remove),
}

/// Arguments of `add`.
#[derive(clap::Args)]
pub(crate) struct Add {
    /// Name, unique in the organisation
    name: String,
    /// Cron expression ("30 2 * * *", "@daily", "@every 90s")
    expression: String,
    /// Kind of its jobs
    kind: String,
    /// Their payload as JSON text, @file, or - for standard input
    #[arg(long, default_value = "{}", value_name = "JSON")]
    payload: String,
    /// Time zone whose wall clock counts, such as Europe/Madrid
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// What happens to missed ticks: skip, one or all
    #[arg(long, default_value = "one")]
    catch_up: String,
    /// Spread its jobs over this much time after each tick
    #[arg(long, default_value = "0s", value_parser = when::length)]
    jitter: Duration,
    /// Another lane than the kind's own
    #[arg(long)]
    lane: Option<String>,
    /// -100 … 100, higher is sooner
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    priority: i16,
    /// Make it resting
    #[arg(long)]
    paused: bool,
    #[command(flatten)]
    org: InOrg,
}

/// One schedule.
#[derive(clap::Args)]
pub(crate) struct One {
    /// Its name or id
    schedule: String,
    #[command(flatten)]
    org: InOrg,
}

/// Arguments of `remove`.
#[derive(clap::Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    one: One,
    /// Really do it
    #[arg(long)]
    yes: bool,
}

/// Arguments of `ticks`.
#[derive(clap::Args)]
pub(crate) struct Ticks {
    #[command(flatten)]
    one: One,
    /// How many
    #[arg(short, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    n: u16,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, operator: &Operator, out: Out) -> anyhow::Result<()> {
    match command {
        Command::List(org) => list(&org, operator, out).await,
        Command::Add(args) => add(args, operator, out).await,
        Command::Pause(one) => rest(&one, true, operator, out).await,
        Command::Resume(one) => rest(&one, false, operator, out).await,
        Command::RunNow(one) => now(&one, operator, out).await,
        Command::Ticks(args) => ticks(&args, operator, out).await,
        Command::Remove(args) => remove(&args, operator, out).await,
    }
}

async fn list(org: &InOrg, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(org).await?.org_id;
    let filter = table::Filter::default();
    let schedules = table::list(operator.tx(org).await?.conn(), org, &filter).await?;
    out.json(&json!({ "schedules": schedules }))?;
    let mut rows = Table::new(&["NAME", "WHEN", "KIND", "STATE", "NEXT (UTC)", "LAST (UTC)", "LAST JOB"]);
    for schedule in schedules {
        let state = match (&schedule.problem, schedule.paused) {
            (Some(problem), _) => format!("stuck: {}", out.cell(&problem.message, 50)),
            (None, true) => "paused".into(),
            (None, false) => "on".into(),
        };
        rows.row([
            schedule.name,
            schedule.description,
            schedule.kind,
            state,
            when::shown_or_dash(schedule.next_tick_at),
            when::shown_or_dash(schedule.last_tick_at),
            schedule.last_job_state.map_or_else(|| "-".into(), |state| state.as_str().to_owned()),
        ]);
    }
    out.table(&rows, "no schedules; `countersign schedule add` makes one")
}

async fn add(args: Add, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(&args.org).await?;
    let text = payload::read(&args.payload)?;
    let work = payload::prepare(&registry()?, org.org_id, &args.kind, None, text)?;
    let mut spec = Spec::new(args.name, args.expression, args.zone);
    spec.catch_up = args.catch_up;
    spec.jitter_ms = i64::try_from(args.jitter.as_millis()).unwrap_or(i64::MAX);
    spec.lane = args.lane;
    spec.priority = args.priority;
    spec.paused = args.paused;
    let mut tx = operator.tx(org.org_id).await?;
    let actor = Some(org.system_actor_id);
    let schedule = table::create(tx.conn(), org.org_id, actor, &spec, &work, Utc::now()).await?;
    let entry = Entry::new("schedule.create", "schedule", schedule.schedule_id).after(&schedule);
    tx.record(entry.reason(by_hand(None))).await?;
    tx.commit().await?;
    out.json(&schedule)?;
    out.say(format_args!("{}: {}", schedule.name, schedule.description))?;
    next(&schedule, 3, out)
}

/// The schedule of that name or id, in an open transaction.
async fn find(one: &One, operator: &Operator) -> anyhow::Result<(Org, Tx, Schedule)> {
    let org = operator.org(&one.org).await?;
    let mut tx = operator.tx(org.org_id).await?;
    let id = match one.schedule.parse::<ScheduleId>() {
        Ok(id) => id,
        Err(_) => {
            let filter = table::Filter { text: Some(one.schedule.clone()), ..table::Filter::default() };
            let found = table::list(tx.conn(), org.org_id, &filter).await?;
            let named = found.into_iter().find(|schedule| schedule.name == one.schedule);
            named.map(|schedule| schedule.schedule_id).with_context(|| {
                format!(
                    "there is no schedule “{}” in {}; `countersign schedule list` shows them",
                    one.schedule, org.slug
                )
            })?
        }
    };
    let schedule = table::get(tx.conn(), org.org_id, id).await?;
    Ok((org, tx, schedule))
}

async fn rest(one: &One, pause: bool, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let (org, mut tx, found) = find(one, operator).await?;
    let (org, id, now) = (org.org_id, found.schedule_id, Utc::now());
    let schedule = if pause {
        table::pause(tx.conn(), org, id, now).await?
    } else {
        table::resume(tx.conn(), org, id, now).await?
    };
    let action = if pause { "schedule.pause" } else { "schedule.resume" };
    let entry = Entry::new(action, "schedule", id).workspace(schedule.workspace_id);
    let entry = entry.before(json!({ "paused": found.paused })).after(json!({ "paused": schedule.paused }));
    tx.record(entry.reason(by_hand(None))).await?;
    tx.commit().await?;
    out.json(&schedule)?;
    out.say(format_args!("{} is {}", schedule.name, if schedule.paused { "paused" } else { "on" }))?;
    next(&schedule, 1, out)
}

async fn now(one: &One, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let (org, mut tx, found) = find(one, operator).await?;
    let queue = operator.queue().await?;
    let asked = Asked { actor: Some(org.system_actor_id), ..Asked::default() };
    let run = run_now(&queue, &registry()?, tx.conn(), org.org_id, found.schedule_id, asked).await?;
    let entry = Entry::new("schedule.run_now", "schedule", found.schedule_id).job(run.enqueued.job_id);
    tx.record(entry.workspace(run.workspace_id).reason(by_hand(None))).await?;
    tx.commit().await?;
    queue.announce(&run.announce);
    // The engine sends ids in the background; this process is gone in a moment.
    tokio::time::sleep(Duration::from_millis(50)).await;
    tell_if_redis_is_away(&queue).await;
    out.json(&json!({ "job_id": run.enqueued.job_id }))?;
    out.say(run.enqueued.job_id)
}

async fn ticks(args: &Ticks, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let (_, _, schedule) = find(&args.one, operator).await?;
    // The calendar's ticks, also for a schedule that rests.
    let seen = preview(&schedule.expression, &schedule.zone, args.n.into(), Utc::now())?;
    out.json(&json!({ "description": seen.description, "paused": schedule.paused, "ticks": seen.ticks }))?;
    out.say(&seen.description)?;
    if schedule.paused {
        out.say("paused: none of these will fire until it is resumed")?;
    }
    seen.ticks.iter().try_for_each(|tick| out.say(line(tick)))
}

fn next(schedule: &Schedule, n: usize, out: Out) -> anyhow::Result<()> {
    schedule.next_ticks(n, Utc::now()).iter().try_for_each(|tick| out.say(line(tick)))
}

fn line(tick: &Tick) -> String {
    format!("  {}  ({} UTC)", tick.local, when::shown(tick.at))
}

async fn remove(args: &Remove, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let (org, mut tx, found) = find(&args.one, operator).await?;
    if !args.yes {
        out.json(&json!({ "dry_run": true, "would": "remove", "schedule": found }))?;
        out.say(format_args!("would remove {} ({}, {})", found.name, found.kind, found.description))?;
        return Err(unconfirmed());
    }
    let gone = table::delete(tx.conn(), org.org_id, found.schedule_id).await?;
    let entry = Entry::new("schedule.delete", "schedule", gone.schedule_id).workspace(gone.workspace_id);
    tx.record(entry.before(&gone).reason(by_hand(None))).await?;
    tx.commit().await?;
    let removed: Value = json!({ "schedule_id": gone.schedule_id, "removed": true });
    out.json(&removed)?;
    out.say(format_args!("{} is removed", gone.name))
}
