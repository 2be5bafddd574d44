//! `countersign audit`: read the audit log, prove it, sign where it stands, take it elsewhere.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::ValueEnum;
use domain::{JobId, OrgId};
use jobs::Registry;
use queue::KindBook;
use store::audit::{self, CheckSignature, Checkpoint, Counts, ExportLine, Filter, Report, Signer};
use store::jobs::PageAsk;
use store::{Store, Tx};
use vault::{CheckpointKey, CheckpointPublicKey, KeyConfig, if_any};

use crate::config::Config;
use crate::failure::usage;
use crate::operator::{InOrg, Operator};
use crate::output::Out;
use crate::table::Table;
use crate::when;

/// What to do with the audit log.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// What was done, newest first
    List(List),
    /// Look through a whole log, or an export, for anything that was changed since it was written
    Verify(Verify),
    /// Write it to a file
    Export(Export),
    /// Sign where the log stands now, and show all that was signed: keep it elsewhere
    Checkpoint(InOrg),
}

/// Arguments of `list`.
#[derive(clap::Args)]
pub(crate) struct List {
    /// Only actions that begin with this, such as `lane.`
    #[arg(long)]
    action: Option<String>,
    /// Only about this job
    #[arg(long)]
    job: Option<JobId>,
    /// Only what this request did
    #[arg(long)]
    request: Option<String>,
    /// Only entries that hold this text
    #[arg(short, long)]
    q: Option<String>,
    /// Only since then: 2h, 7d, or an RFC 3339 time
    #[arg(long, value_parser = when::past)]
    since: Option<DateTime<Utc>>,
    /// How many
    #[arg(short, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
    n: u16,
    #[command(flatten)]
    org: InOrg,
}

/// Arguments of `verify`.
#[derive(clap::Args)]
pub(crate) struct Verify {
    /// Every organisation's log
    #[arg(long, conflicts_with = "org")]
    all: bool,
    /// Checkpoints kept elsewhere (what `audit checkpoint --json` printed): they show a cut-off end
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    /// Public key that checkpoints were signed with; again for older ones [default: the configured keys]
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,
    /// Look through this export instead; needs no database
    #[arg(long, value_name = "FILE", conflicts_with_all = ["all", "org"])]
    export: Option<PathBuf>,
    #[command(flatten)]
    org: InOrg,
}

/// Arguments of `export`.
#[derive(clap::Args)]
pub(crate) struct Export {
    /// csv for spreadsheets, json to be verified elsewhere
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// From then on: 30d, or an RFC 3339 time
    #[arg(long, value_parser = when::past)]
    from: Option<DateTime<Utc>>,
    /// Until then
    #[arg(long, value_parser = when::past)]
    until: Option<DateTime<Utc>>,
    /// File to write; must not exist yet [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    org: InOrg,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Csv,
}

/// Runs one of them. Exit code 1 when a log is not as it was written.
pub(crate) async fn run(command: Command, config: Config, out: Out) -> anyhow::Result<ExitCode> {
    let keys = config.keys.clone();
    match command {
        Command::Verify(args) => return Box::pin(verify(args, config, out)).await,
        Command::List(args) => list(args, &Operator::connect(config).await?, out).await?,
        Command::Export(args) => {
            Box::pin(export(&args, &Operator::connect(config).await?, &keys, out)).await?;
        }
        Command::Checkpoint(org) => checkpoint(&org, &Operator::connect(config).await?, &keys, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Signs with the configured key; none when there is none.
pub(crate) fn signer(keys: &KeyConfig) -> anyhow::Result<Option<Signer>> {
    let Some(key) = if_any(keys.checkpoint_key())? else { return Ok(None) };
    let (id, key): (String, Arc<CheckpointKey>) = (key.id().to_owned(), Arc::new(key));
    Ok(Some(Signer::new(id, move |message| {
        key.sign(message).map(|signature| signature.to_vec()).map_err(|error| error.to_string())
    })))
}

/// Tells the database which kinds of jobs change something: their ends go into the log. The kinds of a
/// former start stand already, so a process need not wait for a PostgreSQL that is away just now.
pub(crate) fn declare_kinds(store: &Store, registry: &Registry) {
    let kinds: Vec<_> = registry.all().into_iter().map(|policy| (policy.kind, policy.effect)).collect();
    let store = store.clone();
    tokio::spawn(async move {
        while let Err(error) = audit::declare_kinds(&store, &kinds).await {
            tracing::warn!(%error, "the kinds of jobs that are audited were not declared; trying again");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
}

async fn list(args: List, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(&args.org).await?.org_id;
    let filter = Filter {
        action: args.action,
        job: args.job,
        request: args.request,
        q: args.q,
        from: args.since,
        ..Filter::default()
    };
    let mut tx = operator.tx(org).await?;
    let page = audit::list(&mut tx, &filter, &PageAsk { cursor: None, limit: args.n }).await?;
    let mut table = Table::new(&[">SEQ", "AT (UTC)", "WHO", "AS", "ACTION", "TO", "REASON"]);
    let mut entries = Vec::new();
    for row in &page.rows {
        let content = row.parsed();
        let reason = content.get("reason").and_then(|reason| reason.as_str()).unwrap_or_default();
        table.row([
            row.seq.map_or_else(|| "-".into(), |seq| seq.to_string()),
            when::shown(row.at),
            row.actor_name.clone().unwrap_or_else(|| "Countersign".into()),
            row.standing.clone(),
            row.action.clone(),
            format!("{} {}", row.subject_kind, out.cell(&row.subject_id, 40)),
            out.cell(reason, 60),
        ]);
        entries.push(serde_json::json!({
            "seq": row.seq, "hash": row.hash.as_ref().map(hex::encode), "entry": content,
        }));
    }
    out.json(&serde_json::json!({ "entries": entries, "searched_back_to": page.searched_back_to }))?;
    out.table(&table, "nothing like this is in the log")
}

/// The keys that signatures are checked with.
struct Keys(Vec<CheckpointPublicKey>);

impl Keys {
    fn read(files: &[PathBuf], configured: &KeyConfig) -> anyhow::Result<Self> {
        let mut keys = Vec::new();
        for file in files {
            let text =
                std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
            keys.push(CheckpointPublicKey::from_text(&text, &file.display().to_string())?);
        }
        if keys.is_empty() {
            keys.extend(if_any(configured.checkpoint_public_key())?);
        }
        Ok(Self(keys))
    }

    fn check(&self, id: &str, message: &[u8], signature: &[u8]) -> Option<bool> {
        self.0.iter().find(|key| key.id() == id).map(|key| key.verify(message, signature))
    }
}

async fn verify(args: Verify, config: Config, out: Out) -> anyhow::Result<ExitCode> {
    let keys = Keys::read(&args.public_key, &config.keys)?;
    let check = |id: &str, message: &[u8], signature: &[u8]| keys.check(id, message, signature);
    let check: Option<&CheckSignature<'_>> = if keys.0.is_empty() { None } else { Some(&check) };
    let kept = match &args.checkpoints {
        Some(file) => read_checkpoints(file)?,
        None => Vec::new(),
    };
    let mut reports = Vec::new();
    if let Some(file) = &args.export {
        let opened = File::open(file).with_context(|| format!("{} can't be read", file.display()))?;
        let bar = out.progress(0, "links");
        let progress = |done: u64, total: u64| {
            bar.set_length(total);
            bar.set_position(done);
        };
        let report = audit::verify_export(BufReader::new(opened), kept, check, &progress)
            .with_context(|| format!("{} can't be verified", file.display()))?;
        bar.finish_and_clear();
        reports.push(("export".to_owned(), report));
    } else {
        let operator = Operator::connect(config).await?;
        for (name, org) in logs(&args, &operator).await? {
            let bar = out.progress(0, "links");
            let shown = bar.clone();
            let progress = move |done: u64, total: u64| {
                shown.set_length(total);
                shown.set_position(done);
            };
            let report = audit::verify(operator.store(), org, kept.clone(), check, &progress).await?;
            bar.finish_and_clear();
            reports.push((name, report));
        }
    }
    let mut intact = true;
    for (name, report) in &reports {
        intact &= report.intact;
        out.json(report)?;
        tell(name, report, out)?;
    }
    Ok(if intact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn logs(args: &Verify, operator: &Operator) -> anyhow::Result<Vec<(String, OrgId)>> {
    if !args.all {
        let org = operator.org(&args.org).await?;
        return Ok(vec![(org.slug, org.org_id)]);
    }
    let orgs = audit::orgs(operator.store()).await?;
    Ok(orgs.into_iter().map(|org| (org.to_string(), org)).collect())
}

fn tell(name: &str, report: &Report, out: Out) -> anyhow::Result<()> {
    if report.intact {
        out.say(format_args!("{name}: {} entries, nothing was changed", report.links))?;
    } else {
        let problems = if report.problems_total == 1 { "problem" } else { "problems" };
        out.say(format_args!(
            "{name}: {} entries, {} {problems} found",
            report.links, report.problems_total
        ))?;
    }
    for problem in &report.problems {
        let place = problem.seq.map_or_else(|| "-".into(), |seq| format!("link {seq}"));
        let entry = problem.entry_id.map_or_else(String::new, |id| format!(", entry {id}"));
        out.say(format_args!("  {place}{entry}: {}", problem.message))?;
    }
    if !report.signatures_checked {
        out.say(
            "  signatures were not checked: there is no public key here; give --public-key, or set COUNTERSIGN_KEYS_DIR",
        )?;
    } else if report.signed_to < report.last_seq {
        out.say(format_args!(
            "  signed up to link {} of {}: what follows is only as safe as the database",
            report.signed_to, report.last_seq
        ))?;
    }
    Ok(())
}

/// One checkpoint a line, or a list of them.
fn read_checkpoints(file: &Path) -> anyhow::Result<Vec<Checkpoint>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let one: Result<Checkpoint, _> = serde_json::from_str(line);
        found.push(one.with_context(|| {
            format!(
                "{} line {}: this is no checkpoint; write what `countersign audit checkpoint --json` prints",
                file.display(),
                number + 1
            )
        })?);
    }
    if found.is_empty() {
        bail!("{} holds no checkpoint", file.display());
    }
    Ok(found)
}

async fn checkpoint(org: &InOrg, operator: &Operator, keys: &KeyConfig, out: Out) -> anyhow::Result<()> {
    let org = operator.org(org).await?.org_id;
    let Some(signer) = signer(keys)? else {
        return Err(usage(
            "there is no key to sign with: set COUNTERSIGN_KEYS_DIR to the folder that `countersign keys init` made",
        ));
    };
    audit::checkpoint(operator.store(), org, &signer).await?;
    let mut tx = operator.tx(org).await?;
    let mut table = Table::new(&[">SEQ", "AT (UTC)", "HASH", "KEY"]);
    let mut found = audit::checkpoints(&mut tx, None, 100_000).await?;
    found.reverse();
    for one in &found {
        out.json(one)?;
        table.row([one.seq.to_string(), when::shown(one.at), hex::encode(&one.hash), one.key_id.clone()]);
    }
    out.table(&table, "the log is empty")
}

async fn export(args: &Export, operator: &Operator, keys: &KeyConfig, out: Out) -> anyhow::Result<()> {
    let org = operator.org(&args.org).await?.org_id;
    if let Some(signer) = signer(keys)? {
        // So that signatures vouch for all of it.
        audit::checkpoint(operator.store(), org, &signer).await?;
    }
    let sink: Box<dyn Write> = match &args.output {
        Some(file) => {
            Box::new(File::create_new(file).with_context(|| format!("{} can't be written", file.display()))?)
        }
        None => Box::new(std::io::stdout()),
    };
    let mut sink = BufWriter::new(sink);
    let written = match args.format {
        Format::Json => write_chain(args, operator.store(), org, &mut sink, out).await?,
        Format::Csv => write_table(args, operator.store(), org, &mut sink).await?,
    };
    sink.flush()?;
    if let Some(file) = &args.output {
        out.json(&serde_json::json!({ "entries": written, "file": file }))?;
        out.say(format_args!("{written} entries in {}", file.display()))?;
    }
    Ok(())
}

async fn write_chain(
    args: &Export,
    store: &Store,
    org: OrgId,
    sink: &mut impl Write,
    out: Out,
) -> anyhow::Result<u64> {
    audit::extend(store, org).await?;
    let open = async || Tx::system(store, org, "export the audit log").await;
    let range = audit::range(&mut open().await?, args.from, args.until).await?;
    let mut line = |line: &ExportLine| -> anyhow::Result<()> {
        serde_json::to_writer(&mut *sink, line)?;
        sink.write_all(b"\n")?;
        Ok(())
    };
    line(&range.head(org))?;
    let total = u64::try_from(range.to_seq - range.after_seq).unwrap_or_default();
    let bar = out.progress(total, "entries");
    let (mut after, mut links) = (range.after_seq, 0);
    loop {
        let page = audit::linked(&mut open().await?, after, range.to_seq, 1000).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for link in page {
            line(&ExportLine::Link(link))?;
            links += 1;
        }
        bar.set_position(links);
    }
    bar.finish_and_clear();
    let to = range.to_seq.saturating_add(1);
    let mut found = audit::checkpoints(&mut open().await?, Some(to), 100_000).await?;
    found.retain(|one| one.seq > range.after_seq);
    let checkpoints = u64::try_from(found.len()).unwrap_or_default();
    for checkpoint in found.into_iter().rev() {
        line(&ExportLine::Checkpoint { checkpoint })?;
    }
    line(&ExportLine::End { end: Counts { links, checkpoints } })?;
    Ok(links)
}

async fn write_table(args: &Export, store: &Store, org: OrgId, sink: &mut impl Write) -> anyhow::Result<u64> {
    let filter = Filter { from: args.from, until: args.until, ..Filter::default() };
    // So that the newest rows have their numbers too.
    audit::extend(store, org).await?;
    let (mut cursor, mut written) = (None, 0);
    sink.write_all(audit::CSV_HEAD.as_bytes())?;
    loop {
        let mut tx = Tx::system(store, org, "export the audit log").await?;
        let page = audit::list(&mut tx, &filter, &PageAsk { cursor, limit: 200 }).await?;
        for row in &page.rows {
            sink.write_all(audit::csv_row(row).as_bytes())?;
            written += 1;
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(written);
        }
    }
}
