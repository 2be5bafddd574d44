//! The children: api, workers, scheduler.

use std::net::SocketAddr;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::child::{self, Child};
use super::console::Console;
use super::home::Home;

/// How long a worker may go on with what it has in hand.
const DRAIN_SECS: &str = "5";

/// What the children are told.
pub(super) struct Settings {
    /// Owner's login; they act as their roles.
    pub(super) database_url: String,
    /// Redis.
    pub(super) redis_url: String,
    /// The API's address.
    pub(super) listen: SocketAddr,
    /// What endpoints' signing secrets are derived from.
    pub(super) webhook_keys: Vec<String>,
    /// The receiver's address.
    pub(super) webhook_allow: String,
    /// The mail catcher; none when mail goes elsewhere.
    pub(super) smtp_url: Option<String>,
    /// Folder with keys; none when they are set otherwise.
    pub(super) keys_dir: Option<String>,
    /// How many workers.
    pub(super) workers: u8,
}

/// The running children.
pub(super) struct Fleet {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Fleet {
    /// Starts them; each is started again when it dies.
    pub(super) fn start(settings: &Settings, home: &Home, console: &Console) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program can't find itself")?;
        let fleet = Self { stop: CancellationToken::new(), tasks: TaskTracker::new() };
        let add = |name: &str, colour: u8, arguments: &[&str]| {
            let child = Child {
                program: program.clone(),
                name: name.to_owned(),
                colour,
                arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
                environment: environment(settings),
                log: home.logs().join(format!("{name}.log")),
            };
            fleet.tasks.spawn(child::keep(child, console.clone(), fleet.stop.clone()));
        };
        add("api", 36, &["api"]);
        for number in 1..=settings.workers {
            let name = format!("worker-{number}");
            let label = format!("demo-{number}");
            let colour = if number % 2 == 0 { 32 } else { 35 };
            add(&name, colour, &["worker", "--drain-secs", DRAIN_SECS, "--name", &label]);
        }
        add("scheduler", 33, &["scheduler"]);
        fleet.tasks.close();
        Ok(fleet)
    }

    /// Asks all of them to stop and waits until they are gone.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

fn environment(settings: &Settings) -> Vec<(&'static str, Option<String>)> {
    let allow = match std::env::var("COUNTERSIGN_WEBHOOK_ALLOW") {
        Ok(own) if !own.trim().is_empty() => format!("{own},{}", settings.webhook_allow),
        _ => settings.webhook_allow.clone(),
    };
    let mut environment = vec![
        ("DATABASE_URL", Some(settings.database_url.clone())),
        ("REDIS_URL", Some(settings.redis_url.clone())),
        ("COUNTERSIGN_LISTEN", Some(settings.listen.to_string())),
        ("COUNTERSIGN_WEBHOOK_ALLOW", Some(allow)),
        ("COUNTERSIGN_WEBHOOK_KEYS", Some(settings.webhook_keys.join(","))),
        // One address can't serve several processes.
        ("COUNTERSIGN_METRICS_LISTEN", None),
    ];
    // Links in mails lead to the address that the banner shows.
    if std::env::var_os("COUNTERSIGN_PUBLIC_URL").is_none_or(|url| url.is_empty()) {
        environment.push(("COUNTERSIGN_PUBLIC_URL", Some(format!("http://{}", settings.listen))));
    }
    if let Some(url) = &settings.smtp_url {
        environment.push(("COUNTERSIGN_SMTP_URL", Some(url.clone())));
        environment.push(("COUNTERSIGN_MAIL_FROM", Some("Countersign <no-reply@demo.test>".into())));
    }
    if let Some(dir) = &settings.keys_dir {
        environment.push(("COUNTERSIGN_KEYS_DIR", Some(dir.clone())));
    }
    if std::env::var_os("RUST_LOG").is_none_or(|filter| filter.is_empty()) {
        // The API's edge names the request that a line belongs to from info on.
        environment.push(("RUST_LOG", Some("warn,sqlx=error,api::edge=info".into())));
    }
    environment
}
