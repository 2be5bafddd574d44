//! `countersign dev`: everything on one machine, and the main job at work where it can be seen.
//!
//! Starts private servers (or uses the given ones), migrates, seeds an organisation `demo`, starts api,
//! workers and scheduler as children of this process, and then does what a customer would: enqueues events
//! over HTTP and verifies each delivery's signature. It has no short cut into the queue. Mail that leaves is
//! caught; one person a role can sign in.

mod child;
mod console;
mod demo;
mod fleet;
pub(crate) mod home;
mod mails;
mod people;
mod receiver;
mod seed;
mod servers;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use api::ApiConfig;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::output::Out;
use crate::when;
use console::Console;
use fleet::Fleet;
use home::{Home, RunningHere};
use mails::Mails;
use people::People;
use receiver::{Incoming, Receiver};

/// The demo's organisation.
const ORG: &str = "demo";
/// How long the API may take to answer after its start.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Start everything, but send no events
    #[arg(long)]
    no_demo: bool,
    /// Stop by itself after this [default: COUNTERSIGN_DEV_SECONDS, or never]
    #[arg(long = "for", value_name = "TIME", value_parser = when::length)]
    run_for: Option<Duration>,
    /// Worker processes
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    workers: u8,
}

/// Runs until told to stop, then stops everything in order.
pub(crate) async fn run(
    args: Args,
    config: &Config,
    out: Out,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let console = Console::new(out);
    let home = Home::open()?;
    let mut lock = home.lock()?;
    let address = free_address(&console).await?;
    let servers = Box::pin(servers::start(&home, config, &console)).await?;
    // Everything below may fail; what runs is stopped all the same.
    let stay = Stay { args: &args, config, console: &console, home: &home, address, stop };
    let outcome = Box::pin(stay.run(&servers, &mut lock)).await;
    console.say("stopping the servers");
    let stopped = Box::pin(servers.stop()).await.context("the servers' files could not be cleaned up");
    lock.forget();
    outcome.and(stopped)?;
    console.event(
        &json!({ "event": "stopped" }),
        "stopped; the data stays in .countersign (`make clean-data` removes it)",
    );
    Ok(())
}

/// What one run needs.
struct Stay<'a> {
    args: &'a Args,
    config: &'a Config,
    console: &'a Console,
    home: &'a Home,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Stay<'_> {
    async fn run(&self, servers: &embedded::Servers, lock: &mut home::Lock) -> anyhow::Result<()> {
        let (database_url, redis_url) = servers::prepare(servers, &self.stop).await?;
        let seeded = seed::seed(self.home, &database_url).await?;
        let keys = self.keys()?;
        // Whoever set up a mail server of their own wants to see mail arrive there.
        let mails = match self.config.smtp {
            Some(_) => None,
            None => Some(Mails::start(self.home, self.console).await?),
        };
        let receiver = Receiver::start(self.home).await?;
        let own_keys: Vec<String> =
            self.config.webhook_keys.iter().map(|key| key.expose_secret().to_owned()).collect();
        let webhook_keys = if own_keys.is_empty() { vec![receiver.key().to_owned()] } else { own_keys };
        lock.note(&RunningHere {
            pid: std::process::id(),
            database_url: database_url.clone(),
            redis_url: redis_url.clone(),
            api: format!("http://{}", self.address),
            org: ORG.into(),
            webhook_keys: webhook_keys.clone(),
            keys_dir: keys.clone(),
        })?;
        let settings = fleet::Settings {
            database_url,
            redis_url,
            listen: self.address,
            webhook_keys,
            webhook_allow: receiver.exception(),
            smtp_url: mails.as_ref().map(Mails::url),
            keys_dir: keys,
            workers: self.args.workers,
        };
        let incoming = receiver.open(seeded.org, &settings.webhook_keys)?;
        let fleet = Fleet::start(&settings, self.home, self.console)?;
        let outcome = Box::pin(self.stay(&seeded, incoming)).await;
        self.console.say("stopping api, workers and scheduler");
        fleet.stop().await;
        outcome
    }

    /// The folder with this machine's keys, made when missing; none when somebody named theirs.
    fn keys(&self) -> anyhow::Result<Option<String>> {
        if self.config.keys.is_set() {
            return Ok(None);
        }
        let dir = self.home.keys();
        vault::files::init(&dir).context("the keys could not be made")?;
        Ok(Some(dir.display().to_string()))
    }

    /// From ready to told to stop.
    async fn stay(&self, seeded: &seed::Seeded, incoming: Incoming) -> anyhow::Result<()> {
        let api = format!("http://{}", self.address);
        tokio::select! {
            ready = ready(&api) => ready?,
            () = self.stop.cancelled() => return Ok(()),
        }
        self.welcome(&api, &seeded.people);
        let limit = self.args.run_for.or(self.config.dev_for);
        if let Some(limit) = limit {
            let stop = self.stop.clone();
            tokio::spawn(async move {
                tokio::time::sleep(limit).await;
                stop.cancel();
            });
        }
        if self.args.no_demo {
            self.stop.cancelled().await;
            return Ok(());
        }
        // Ends by itself when told to stop: it still takes in what is on its way.
        demo::run(&api, seeded, incoming, self.console, &self.stop).await
    }

    fn welcome(&self, api: &str, people: &People) {
        let program = std::env::args().next().unwrap_or_else(|| "countersign".into());
        let token = self.home.shown(&self.home.token());
        let people_file = self.home.shown(&self.home.people());
        let ready = json!({ "event": "ready", "api": api, "token_file": token, "people_file": people_file,
                            "pid": std::process::id() });
        self.console.event(
            &ready,
            &format!(
                "\nCountersign runs: {api}/   (API reference: {api}/docs)\n\n\
                 Sign in as (password kept in {people_file}):\n{}\n\n\
                 Try it in another terminal:\n  \
                 curl -i {api}/v1/jobs -H \"Authorization: Bearer $(cat {token})\" \\\n    \
                 -H 'Content-Type: application/json' -d '{{\"kind\":\"system.echo\",\"payload\":{{\"message\":\"hello\"}}}}'\n\
                 Look further:\n  \
                 {program} jobs list          {program} jobs watch\n  \
                 {program} lanes              {program} workers\n  \
                 logs: {}   mail: {}\n\
                 Ctrl-C stops everything.\n",
                people.table(),
                self.home.shown(&self.home.logs()),
                self.home.shown(&self.home.mail()),
            ),
        );
    }
}

/// The API's address: the wanted one, or a free one when nobody insisted and it is taken.
async fn free_address(console: &Console) -> anyhow::Result<SocketAddr> {
    let insisted = std::env::var("COUNTERSIGN_LISTEN").is_ok_and(|value| !value.trim().is_empty());
    let wanted = ApiConfig::from_env()?.listen;
    let error = match TcpListener::bind(wanted).await {
        Ok(free) => return Ok(free.local_addr()?),
        Err(error) => error,
    };
    if insisted {
        return Err(error).context(format!("can't listen on {wanted}; choose another COUNTERSIGN_LISTEN"));
    }
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("there is no free port")?;
    let address = free.local_addr()?;
    console.say(format!("{wanted} is taken, so the API listens on {address}"));
    Ok(address)
}

/// Waits until the API takes jobs.
async fn ready(api: &str) -> anyhow::Result<()> {
    let client = demo::client()?;
    let url = format!("{api}/readyz");
    let began = tokio::time::Instant::now();
    while began.elapsed() < READY_WITHIN {
        if client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("the API did not get ready within a minute; .countersign/log/api.log says why")
}
