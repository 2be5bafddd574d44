//! A PostgreSQL cluster: making one, refusing one of another major version, the settings it runs
//! with, and seeing that it answers. It keeps `fsync` and `synchronous_commit` on: what was
//! acknowledged must be there after any crash.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::Error;
use crate::folders::{Folders, remove};
use crate::options::Progress;
use crate::programs::PostgresPrograms;
use crate::spawner::{CommandLine, Launch};
use crate::supervisor::{Probe, Service};
use crate::urls::SUPERUSER;

pub(crate) const NAME: &str = "PostgreSQL";

/// Everything else stays at PostgreSQL's own defaults.
const SETTINGS: [(&str, &str); 17] = [
    ("shared_buffers", "256MB"),
    ("max_connections", "100"),
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("wal_compression", "off"),
    ("max_wal_size", "2GB"),
    ("jit", "off"),
    // Queue tables churn: clean early, often and without pauses, so that the live part stays small.
    ("autovacuum_naptime", "5s"),
    ("autovacuum_vacuum_scale_factor", "0.02"),
    ("autovacuum_vacuum_threshold", "500"),
    ("autovacuum_analyze_scale_factor", "0.02"),
    ("autovacuum_vacuum_cost_delay", "0"),
    ("TimeZone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_destination", "stderr"),
    ("logging_collector", "off"),
    ("unix_socket_permissions", "0777"),
];

/// Smart shutdown would wait for the app's idle connections, so: fast, then immediate.
const STOP: [(Signal, Duration); 2] =
    [(Signal::SIGINT, Duration::from_secs(20)), (Signal::SIGQUIT, Duration::from_secs(5))];

/// Makes the cluster if there is none, and refuses one of another major version.
pub(crate) async fn prepare(
    folders: &Folders,
    programs: &PostgresPrograms,
    progress: &Progress,
) -> Result<(), Error> {
    let cluster = folders.postgres();
    let version = cluster.join("PG_VERSION");
    if cluster.exists() {
        let found = std::fs::read_to_string(&version).map_err(Error::io("read", &version))?;
        let found = found.trim();
        if found != programs.major.to_string() {
            return Err(Error::OtherMajor { found: found.to_owned(), wanted: programs.major, cluster });
        }
        return Ok(());
    }
    progress.say(&format!("creating a PostgreSQL {} cluster in {}", programs.version, cluster.display()));
    // Made beside and renamed, so that a cluster is there whole or not at all.
    let unfinished = folders.data.join("postgres.unfinished");
    remove(&unfinished)?;
    folders.make_for_servers(&unfinished)?;
    let line = CommandLine {
        program: programs.initdb.clone(),
        arguments: vec![
            "-D".into(),
            unfinished.clone().into(),
            "-U".into(),
            SUPERUSER.into(),
            "--auth=trust".into(),
            "--encoding=UTF8".into(),
            "--no-locale".into(),
            "--no-instructions".into(),
        ],
        account: folders.account.clone(),
    };
    let output = tokio::process::Command::from(line.command())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|e| Error::DoesNotRun { program: programs.initdb.clone(), reason: e.to_string() })?;
    if !output.status.success() {
        remove(&unfinished)?;
        let text = [output.stdout, output.stderr].concat();
        return Err(Error::Initdb { output: String::from_utf8_lossy(&text).trim().to_owned() });
    }
    std::fs::rename(&unfinished, &cluster).map_err(Error::io("name", &cluster))?;
    std::fs::File::open(&folders.data)
        .and_then(|folder| folder.sync_all())
        .map_err(Error::io("sync", &folders.data))
}

/// The server on its cluster. `tuning` wins over the built-in settings, but not over where the
/// server listens.
pub(crate) fn service(
    folders: &Folders,
    programs: &PostgresPrograms,
    tuning: &[(String, String)],
) -> Service {
    let cluster = folders.postgres();
    let mut arguments = vec!["-D".into(), cluster.clone().into()];
    let chosen = tuning.iter().map(|(name, value)| (&**name, &**value));
    let fixed = [("listen_addresses", ""), ("port", "5432")];
    for (name, value) in SETTINGS.into_iter().chain(chosen).chain(fixed) {
        arguments.extend(["-c".into(), format!("{name}={value}").into()]);
    }
    arguments.extend(["-k".into(), folders.sockets.clone().into()]);
    Service {
        title: format!("{NAME} {}", programs.version),
        name: NAME,
        launch: Arc::new(Launch {
            line: CommandLine {
                program: programs.postgres.clone(),
                arguments,
                account: folders.account.clone(),
            },
            log: folders.log("postgres"),
            // Immediate: nobody is left to wait for a checkpoint, and the log replays it.
            on_launcher_death: Signal::SIGQUIT,
        }),
        probe: Probe::PostmasterFile(cluster),
        stop: &STOP,
        pid_file: None,
    }
}

/// Reads the state that the main process keeps in its pid file: id in the first line, state in
/// the eighth.
pub(crate) fn is_ready(cluster: &Path, pid: u32) -> bool {
    std::fs::read_to_string(cluster.join("postmaster.pid")).is_ok_and(|text| {
        let line = |n: usize| text.lines().nth(n).map(str::trim);
        line(0) == Some(pid.to_string().as_str()) && line(7) == Some("ready")
    })
}
