//! `countersign limits`: rates of the shared limiter. Without `--org`, the platform's defaults.

use std::time::Duration;

use anyhow::Context;
use queue::ops;
use queue::ops::limits::{LimitSpec, LimitView};
use serde_json::json;
use store::audit::Entry;
use uuid::Uuid;

use crate::failure::{unconfirmed, usage};
use crate::operator::{InOrg, Operator, by_hand, settle};
use crate::output::Out;
use crate::table::Table;
use crate::when;

/// What to do with rates.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// The rates in force
    List(OfOrg),
    /// Set a rate; jobs that wait for it are asked again at once
    Set(Set),
    /// Take a rate away; the next more general one applies. Without --yes only says what would go
    Remove(Remove),
}

/// Whose rates.
#[derive(clap::Args)]
pub(crate) struct OfOrg {
    /// One organisation's instead of the platform's defaults
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
}

impl OfOrg {
    fn named(&self) -> Option<InOrg> {
        self.org.clone().map(|slug| InOrg { org: Some(slug) })
    }
}

/// Arguments of `set`.
#[derive(clap::Args)]
pub(crate) struct Set {
    /// The limit's name, such as webhooks.endpoint
    name: String,
    /// Which bucket, such as example.com:443; * means each of them
    #[arg(long, default_value = "*")]
    key: String,
    /// Units in each period
    #[arg(long)]
    units: i32,
    /// The period
    #[arg(long, default_value = "1s", value_parser = when::length)]
    per: Duration,
    /// Units that may come at once after a rest [default: the units]
    #[arg(long)]
    burst: Option<i32>,
    #[command(flatten)]
    of: OfOrg,
}

/// Arguments of `remove`.
#[derive(clap::Args)]
pub(crate) struct Remove {
    /// The rate's id, from `limits list`, or the limit's name
    limit: String,
    /// With a name that has several rates: which bucket's
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    of: OfOrg,
    /// Really do it
    #[arg(long)]
    yes: bool,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, operator: &Operator, out: Out) -> anyhow::Result<()> {
    match command {
        Command::List(of) => list(&of, operator, out).await,
        Command::Set(args) => set(&args, operator, out).await,
        Command::Remove(args) => remove(&args, operator, out).await,
    }
}

async fn list(of: &OfOrg, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let limits = match of.named() {
        Some(org) => {
            let org = operator.org(&org).await?.org_id;
            ops::limits::list(operator.tx(org).await?.conn(), Some(org)).await?
        }
        None => {
            let queue = operator.queue().await?;
            ops::limits::list(&mut *queue.pool().acquire().await?, None).await?
        }
    };
    out.json(&json!({ "limits": limits.iter().map(json_of).collect::<Vec<_>>() }))?;
    let mut table = Table::new(&["NAME", "KEY", "RATE", ">BURST", ">WAITING", "OF", "ID"]);
    for limit in limits {
        let period = Duration::from_millis(u64::try_from(limit.period_ms).unwrap_or_default());
        table.row([
            limit.name,
            limit.key,
            format!("{} per {}", limit.units, when::short(period)),
            limit.burst.to_string(),
            limit.waiting.to_string(),
            if limit.org_id.is_some() { "organisation".into() } else { "platform".into() },
            limit.rate_limit_id.to_string(),
        ]);
    }
    out.table(&table, "no limits: every job may run as soon as a slot is free")
}

fn json_of(limit: &LimitView) -> serde_json::Value {
    json!({
        "rate_limit_id": limit.rate_limit_id,
        "org_id": limit.org_id,
        "name": limit.name,
        "key": limit.key,
        "units": limit.units,
        "period_ms": limit.period_ms,
        "burst": limit.burst,
        "waiting": limit.waiting,
        "changed_at": limit.changed_at,
    })
}

async fn set(args: &Set, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let spec = LimitSpec {
        name: args.name.clone(),
        key: args.key.clone(),
        units: args.units,
        period_ms: i64::try_from(args.per.as_millis()).unwrap_or(i64::MAX),
        burst: args.burst.unwrap_or(args.units),
    };
    let queue = operator.queue().await?;
    let (id, after) = match args.of.named() {
        Some(org) => {
            let org = operator.org(&org).await?.org_id;
            let mut tx = operator.tx(org).await?;
            let was = ops::limits::named(tx.conn(), Some(org), &spec.name, &spec.key).await?;
            let done = ops::limits::put(tx.conn(), Some(org), &spec).await?;
            let entry = Entry::new("limit.set", "limit", done.0).after(&spec).reason(by_hand(None));
            tx.record(match was {
                Some(was) => entry.before(was),
                None => entry,
            })
            .await?;
            tx.commit().await?;
            done
        }
        None => {
            let mut tx = queue.pool().begin().await?;
            let done = ops::limits::put(&mut tx, None, &spec).await?;
            tx.commit().await?;
            done
        }
    };
    settle(&queue, after).await;
    out.json(&json!({ "rate_limit_id": id }))?;
    out.say(format_args!("{} {}: {} per {}", spec.name, spec.key, spec.units, when::short(args.per)))
}

async fn remove(args: &Remove, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let queue = operator.queue().await?;
    let (found, after) = match args.of.named() {
        Some(org) => {
            let org = operator.org(&org).await?.org_id;
            let mut tx = operator.tx(org).await?;
            let found = chosen(ops::limits::list(tx.conn(), Some(org)).await?, args)?;
            let was = ops::limits::of_id(tx.conn(), Some(org), found.rate_limit_id).await?;
            let after = ops::limits::delete(tx.conn(), Some(org), found.rate_limit_id).await?;
            let entry = Entry::new("limit.delete", "limit", found.rate_limit_id);
            tx.record(entry.before(was).reason(by_hand(None))).await?;
            confirm(&found, args, out)?;
            tx.commit().await?;
            (found, after)
        }
        None => {
            let mut tx = queue.pool().begin().await?;
            let found = chosen(ops::limits::list(&mut tx, None).await?, args)?;
            let after = ops::limits::delete(&mut tx, None, found.rate_limit_id).await?;
            confirm(&found, args, out)?;
            tx.commit().await?;
            (found, after)
        }
    };
    settle(&queue, after).await;
    out.json(&json!({ "rate_limit_id": found.rate_limit_id, "removed": true }))?;
    out.say(format_args!("{} {} of {} is removed", found.name, found.key, whose(args)))
}

fn whose(args: &Remove) -> &str {
    args.of.org.as_deref().unwrap_or("the platform")
}

/// The one rate that is meant, by its id or its name. Another owner's is never meant.
fn chosen(limits: Vec<LimitView>, args: &Remove) -> anyhow::Result<LimitView> {
    let id = args.limit.parse::<Uuid>().ok();
    let own = |limit: &LimitView| limit.org_id.is_some() == args.of.org.is_some();
    let meant = |limit: &LimitView| match id {
        Some(id) => limit.rate_limit_id == id,
        None => limit.name == args.limit && args.key.as_ref().is_none_or(|key| *key == limit.key),
    };
    let (own, others): (Vec<_>, Vec<_>) = limits.into_iter().filter(meant).partition(own);
    if own.len() > 1 {
        let keys: Vec<&str> = own.iter().map(|limit| limit.key.as_str()).collect();
        let keys = keys.join(", ");
        return Err(usage(format!("{} has several rates; name one with --key: {keys}", args.limit)));
    }
    own.into_iter().next().with_context(|| {
        let (limit, whose) = (&args.limit, whose(args));
        match (others.is_empty(), args.of.org.is_some()) {
            (false, _) => format!("“{limit}” is the platform's, not of {whose}: leave --org out"),
            (true, true) => format!(
                "there is no limit “{limit}” of {whose}; give the id that `limits list --org {whose}` shows, or \
                 the limit's name"
            ),
            (true, false) => format!(
                "there is no limit “{limit}” of the platform; give the id that `limits list` shows, or the \
                 limit's name (with --org for one organisation's own)"
            ),
        }
    })
}

/// Goes on only with `--yes`; else says what would go.
fn confirm(limit: &LimitView, args: &Remove, out: Out) -> anyhow::Result<()> {
    if args.yes {
        return Ok(());
    }
    out.json(&json!({ "dry_run": true, "would": "remove", "limit": json_of(limit) }))?;
    let period = Duration::from_millis(u64::try_from(limit.period_ms).unwrap_or_default());
    let rate = format!("{} per {}", limit.units, when::short(period));
    let whose = whose(args);
    out.say(format_args!(
        "would remove {} {} ({rate}) of {whose}; {} wait for it",
        limit.name, limit.key, limit.waiting
    ))?;
    Err(unconfirmed())
}
