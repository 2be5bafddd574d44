//! `countersign keys`: makes keys, shows them, adds newer ones and moves what older ones hold.
//!
//! Prints ids, never keys. Removes no key: that is left to whoever has seen that nothing needs it any more.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use domain::OrgId;
use secrecy::ExposeSecret;
use serde_json::json;
use store::audit::Entry;
use store::hooks::{self, SEAL_PURPOSE};
use store::secrets::{self, SEED_PURPOSE, SealedValue, Wrapped, seal_context};
use store::{Store, StoreError, Tx};
use vault::{AuthKeys, OpeningKeys, Sealed, SealingKeys, VaultError, files};

use crate::config::Config;
use crate::database;
use crate::operator::by_hand;
use crate::output::Out;
use crate::table::Table;

/// Values wrapped anew in one transaction.
const BATCH: i64 = 100;

/// What to do with keys.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make the folder and every key that is missing in it; never writes over one
    Init(Folder),
    /// Which keys there are, which is current, and how much each still holds
    Show,
    /// Put a new key first: seals from now on, once the processes are restarted
    Add(Add),
    /// Move everything sealed to the current key. Can be stopped and started again
    Rotate(Rotate),
}

/// Where the keys are.
#[derive(clap::Args)]
pub(crate) struct Folder {
    /// The folder [default: COUNTERSIGN_KEYS_DIR]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

/// Arguments of `add`.
#[derive(clap::Args)]
pub(crate) struct Add {
    #[command(flatten)]
    folder: Folder,
    /// A key of the API itself, instead of one for credentials
    #[arg(long)]
    auth: bool,
}

/// Arguments of `rotate`.
#[derive(clap::Args)]
pub(crate) struct Rotate {
    /// What the API's own keys hold (inbound webhooks' secrets, second factors), instead of credentials
    #[arg(long)]
    auth: bool,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, config: &Config, out: Out) -> anyhow::Result<()> {
    match command {
        Command::Init(folder) => init(&folder, config, out),
        Command::Show => show(config, out).await,
        Command::Add(args) => add(&args, config, out),
        Command::Rotate(Rotate { auth: false }) => rotate(config, out).await,
        Command::Rotate(Rotate { auth: true }) => reseal(config, out).await,
    }
}

fn folder(named: &Folder, config: &Config) -> anyhow::Result<PathBuf> {
    named
        .dir
        .clone()
        .or_else(|| config.keys.dir.clone())
        .context("which folder? Name it with --dir <folder>, or set COUNTERSIGN_KEYS_DIR")
}

fn init(named: &Folder, config: &Config, out: Out) -> anyhow::Result<()> {
    let dir = folder(named, config)?;
    let made = files::init(&dir)?;
    out.json(&json!({ "dir": dir, "made": made }))?;
    for file in &made {
        out.say(format_args!("made {}", file.display()))?;
    }
    if made.is_empty() {
        return out.say(format_args!("{} has every key already; nothing was changed", dir.display()));
    }
    out.say("back the folder up apart from the database: without vault.pem no credential opens again")
}

fn add(args: &Add, config: &Config, out: Out) -> anyhow::Result<()> {
    let dir = folder(&args.folder, config)?;
    let (key_id, next) = if args.auth {
        (
            files::add_auth_key(&dir)?,
            "restart every API process and worker, then: countersign keys rotate --auth",
        )
    } else {
        let id = files::add_vault_key(&dir)?;
        (id, "restart the workers, then the API, then: countersign keys rotate")
    };
    out.json(&json!({ "dir": dir, "key_id": key_id, "next": next }))?;
    out.say(format_args!("added the key {key_id}; {next}"))
}

/// A store under the vault's role.
async fn vault_store(config: &Config) -> anyhow::Result<Store> {
    let login = config.servers()?.vault.context(
        "COUNTERSIGN_VAULT_DATABASE_URL is not set; set it to a login with the role countersign_vault, or set DATABASE_URL",
    )?;
    database::require(&login.url).await?;
    Ok(Store::connect(login.url, login.role)?)
}

/// A store under the app's role, for the audit log and what the API's own keys hold.
async fn app_store(config: &Config) -> anyhow::Result<Store> {
    let login = config.servers()?.app;
    database::require(&login.url).await?;
    let store = Store::connect(login.url, login.role)?;
    database::require_tables(&store).await?;
    Ok(store)
}

async fn show(config: &Config, out: Out) -> anyhow::Result<()> {
    let sealing = config.keys.sealing_keys()?;
    let opening = vault::if_any(config.keys.opening_keys())?;
    let auth = vault::if_any(config.keys.auth_keys())?;
    let mut held: BTreeMap<String, i64> = BTreeMap::new();
    for used in secrets::keys(&vault_store(config).await?).await? {
        *held.entry(used.key_id).or_default() += used.secrets;
    }
    let ids = sealing.ids();
    let opens = |id: &str| opening.as_ref().is_some_and(|keys| keys.ids().contains(&id));
    let mut table = Table::new(&["KEY", "FOR", "STATE", ">HOLDS"]);
    let mut rows = Vec::new();
    for (place, id) in ids.iter().enumerate() {
        let state = if place == 0 { "current" } else { "older" };
        let holds = held.remove(*id).unwrap_or(0);
        rows.push(json!({ "key_id": id, "for": "credentials", "state": state, "holds": holds, "opens_here": opens(id) }));
        table.row([(*id).to_owned(), "credentials".into(), state.into(), holds.to_string()]);
    }
    for (id, holds) in held {
        rows.push(json!({ "key_id": id, "for": "credentials", "state": "missing", "holds": holds, "opens_here": opens(&id) }));
        table.row([id, "credentials".into(), "missing here".into(), holds.to_string()]);
    }
    for (place, id) in auth.iter().flat_map(AuthKeys::ids).enumerate() {
        let state = if place == 0 { "current" } else { "older" };
        rows.push(json!({ "key_id": id, "for": "the API", "state": state }));
        table.row([id.to_owned(), "the API".into(), state.into(), "-".into()]);
    }
    out.json(&json!({ "keys": rows }))?;
    out.table(&table, "no keys; `countersign keys init` makes them")
}

async fn rotate(config: &Config, out: Out) -> anyhow::Result<()> {
    let (sealing, opening) = (config.keys.sealing_keys()?, config.keys.opening_keys()?);
    let current = sealing.ids().first().map(|id| (*id).to_owned()).context("there is no key to move to")?;
    let (vault, app) = (vault_store(config).await?, app_store(config).await?);
    let used = secrets::keys(&vault).await?;
    let mut todo: BTreeMap<uuid::Uuid, i64> = BTreeMap::new();
    for held in used.iter().filter(|held| held.key_id != current) {
        *todo.entry(held.org_id.0).or_default() += held.secrets;
    }
    let bar = out.progress(todo.values().map(|count| count.unsigned_abs()).sum(), "secrets");
    let mover = Mover { vault: &vault, app: &app, sealing: &sealing, opening: &opening, current: &current };
    let (mut moved, mut stuck) = (0, Vec::new());
    for org in todo.into_keys().map(OrgId) {
        moved += mover.org(org, &bar, &mut stuck).await?;
    }
    bar.finish_and_clear();
    let left: Vec<_> =
        secrets::keys(&vault).await?.into_iter().filter(|held| held.key_id != current).collect();
    let mut by_key: BTreeMap<&str, i64> = BTreeMap::new();
    for held in &left {
        *by_key.entry(&held.key_id).or_default() += held.secrets;
    }
    out.json(&json!({ "current": current, "moved": moved, "left": by_key, "stuck": stuck.len() }))?;
    out.say(format_args!("moved to the key {current}: {moved}"))?;
    for (key, count) in &by_key {
        out.say(format_args!("{count} are still under {key}"))?;
    }
    match stuck.first() {
        Some(first) => Err(anyhow::anyhow!("{} secrets were not moved; the first: {first}", stuck.len())),
        None if by_key.is_empty() => {
            out.say("no older key holds anything: they may be taken out of vault.pem")
        }
        None => {
            out.say("something was stored under an older key meanwhile: restart the API, then run this again")
        }
    }
}

/// Moves one organisation after the other.
struct Mover<'a> {
    vault: &'a Store,
    app: &'a Store,
    sealing: &'a SealingKeys,
    opening: &'a OpeningKeys,
    current: &'a str,
}

impl Mover<'_> {
    async fn org(
        &self,
        org: OrgId,
        bar: &indicatif::ProgressBar,
        stuck: &mut Vec<String>,
    ) -> anyhow::Result<u64> {
        let (mut after, mut moved, mut failed) = (None, 0, 0);
        loop {
            let batch = secrets::with_old_keys(self.vault, org, self.current, after, BATCH).await?;
            let Some(last) = batch.last() else { break };
            after = Some(last.secret_id);
            let mut anew = Vec::with_capacity(batch.len());
            for row in batch {
                let id = row.secret_id;
                match self.rewrap(org, row).await {
                    Ok(row) => anew.push(row),
                    Err(error) => {
                        failed += 1;
                        stuck.push(format!("{id}: {error}"));
                    }
                }
                bar.inc(1);
            }
            moved += secrets::rewrap(self.vault, org, &anew).await?;
        }
        // One entry an organisation and run; a run that is cut off leaves the rest to the next.
        let mut tx = Tx::system(self.app, org, "an operator rotates keys").await?;
        let told = json!({ "key_id": self.current, "moved": moved, "failed": failed });
        tx.record(Entry::new("secret.rewrap", "vault_key", self.current).after(told).reason(by_hand(None)))
            .await?;
        tx.commit().await?;
        Ok(moved)
    }

    async fn rewrap(&self, org: OrgId, row: Wrapped) -> Result<Wrapped, VaultError> {
        let context = seal_context(org, row.secret_id, row.version);
        let SealedValue { key_id, wrapped_key, ciphertext } = row.sealed;
        let sealed = Sealed { key_id, wrapped_key, ciphertext };
        let Sealed { key_id, wrapped_key, ciphertext } =
            vault::rewrap(self.opening, &sealed, &context, self.sealing).await?;
        Ok(Wrapped { sealed: SealedValue { key_id, wrapped_key, ciphertext }, ..row })
    }
}

/// What stops a resealing.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

async fn reseal(config: &Config, out: Out) -> anyhow::Result<()> {
    let keys = config.keys.auth_keys()?;
    let app = app_store(config).await?;
    let orgs = hooks::endpoint_orgs(&app).await?;
    let bar = out.progress(orgs.len() as u64, "organisations");
    let mut changed = 0;
    for org in orgs {
        let mut tx = Tx::system(&app, org, "an operator rotates keys").await?;
        let count = hooks::reseal::<Stopped>(&mut tx, |endpoint, sealed| {
            if keys.is_current(sealed)? {
                return Ok(None);
            }
            let context = hooks::seal_context(endpoint);
            let secret = keys.open(SEAL_PURPOSE, sealed, &context)?;
            Ok(Some(keys.seal(SEAL_PURPOSE, secret.expose_secret(), &context)?))
        })
        .await?;
        if count > 0 {
            let key = keys.ids().first().map(|id| (*id).to_owned()).unwrap_or_default();
            let told = json!({ "key_id": key, "endpoints": count });
            tx.record(Entry::new("hook_endpoint.reseal", "auth_key", &key).after(told).reason(by_hand(None)))
                .await?;
            tx.commit().await?;
        }
        changed += count;
        bar.inc(1);
    }
    let mut people = 0;
    for account in secrets::accounts_with_seeds(&app).await? {
        let context = account.0.as_bytes();
        let resealed = secrets::reseal_seeds::<Stopped>(&app, account, |sealed| {
            if keys.is_current(sealed)? {
                return Ok(None);
            }
            let seed = keys.open(SEED_PURPOSE, sealed, context)?;
            Ok(Some(keys.seal(SEED_PURPOSE, seed.expose_secret(), context)?))
        });
        people += u64::from(resealed.await?);
    }
    bar.finish_and_clear();
    out.json(&json!({ "endpoints": changed, "second_factors": people }))?;
    out.say(format_args!(
        "moved to the current key: second factors: {people}, inbound webhook endpoints: {changed}"
    ))
}
