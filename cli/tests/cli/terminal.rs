//! A terminal to run the binary in: a directory of its own and an environment without surprises.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::Value;
use tempfile::TempDir;
use testkit::TestDb;
use tokio::process::{Child, Command};

/// Longest any command here may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Terminal {
    folder: TempDir,
    env: Vec<(String, String)>,
    /// Kept so that the database lives as long as the terminal.
    pub(crate) db: Option<TestDb>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// The first line of standard output.
    pub(crate) fn line(&self) -> &str {
        self.out.lines().next().unwrap_or_default()
    }
}

impl Terminal {
    /// Without any setting.
    pub(crate) fn bare() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("countersign-cli-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .unwrap();
        Self { folder, env: Vec::new(), db: None }
    }

    /// With a migrated database and an organisation `acme` that commands act in.
    pub(crate) async fn new() -> Self {
        let db = TestDb::new().await;
        db.org("acme").await;
        let mut terminal = Self::bare();
        terminal.set("DATABASE_URL", db.database_url().expose_secret());
        terminal.set("REDIS_URL", db.redis_url().expose_secret());
        terminal.set("COUNTERSIGN_NAMESPACE", db.namespace());
        terminal.set("COUNTERSIGN_ORG", "acme");
        terminal.set("COUNTERSIGN_WEBHOOK_KEYS", &"k".repeat(64));
        terminal.db = Some(db);
        terminal
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.into(), value.into()));
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        let ours = |name: &str| {
            name.starts_with("COUNTERSIGN_") || ["DATABASE_URL", "REDIS_URL", "RUST_LOG"].contains(&name)
        };
        // What was downloaded once is found again.
        for (name, _) in std::env::vars().filter(|(name, _)| ours(name) && name != "COUNTERSIGN_CACHE") {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end, whatever that is.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        let output = tokio::time::timeout(PATIENCE, self.command(arguments).output());
        let output = output.await.unwrap_or_else(|_| panic!("{arguments:?} does not end")).unwrap();
        Ended {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a command that must succeed.
    pub(crate) async fn ok(&self, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.out, ended.err);
        ended
    }

    /// Runs a command that must succeed, with `--json`, and reads what it printed.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        let mut with: Vec<&str> = arguments.to_vec();
        with.push("--json");
        let ended = self.ok(&with).await;
        serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{with:?}: {error}: {}", ended.out))
    }

    /// Starts a command that goes on.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process {
            child: Some(self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()),
        }
    }
}

/// A process that serves.
pub(crate) struct Process {
    child: Option<Child>,
}

impl Process {
    pub(crate) fn pid(&self) -> i32 {
        self.child.as_ref().unwrap().id().unwrap().try_into().unwrap()
    }

    /// SIGTERM, and the exit code.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        let pid = nix::unistd::Pid::from_raw(self.pid());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let mut child = self.child.take().unwrap();
        tokio::time::timeout(PATIENCE, child.wait()).await.expect("it does not stop").unwrap().code()
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
