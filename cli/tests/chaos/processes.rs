//! Processes of the real binary, each with a log of its own, none of which outlives its scenario.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use secrecy::ExposeSecret;
use serde_json::Value;
use tempfile::TempDir;
use testkit::{TestDb, eventually};
use tokio::process::{Child, ChildStdin, Command};

const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");
/// Longest time until a process does what it is for, on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Lines of the log that a failed scenario shows.
const SHOWN: usize = 25;

/// Starts processes that all know the same servers.
pub(crate) struct Fleet {
    environment: Vec<(&'static str, String)>,
    logs: TempDir,
}

impl Fleet {
    pub(crate) fn new(db: &TestDb, receiver: SocketAddr) -> Self {
        let environment = vec![
            ("DATABASE_URL", db.database_url().expose_secret().to_owned()),
            ("REDIS_URL", db.redis_url().expose_secret().to_owned()),
            ("COUNTERSIGN_NAMESPACE", db.namespace().to_owned()),
            ("COUNTERSIGN_LOG_FORMAT", "json".to_owned()),
            ("COUNTERSIGN_WEBHOOK_ALLOW", format!("127.0.0.1/32:{}", receiver.port())),
            ("COUNTERSIGN_WEBHOOK_KEYS", "k".repeat(40)),
        ];
        Self { environment, logs: TempDir::new().unwrap() }
    }

    /// A worker that has taken its place in the fleet under `name`.
    pub(crate) async fn worker(&self, name: &str) -> Process {
        let mut worker =
            self.start(name, &["worker", "--name", name, "--metrics-listen", "127.0.0.1:0"]).await;
        worker.says("worker started").await;
        worker.listens_as("serving /metrics, /healthz and /readyz").await;
        worker
    }

    /// A scheduler at work.
    pub(crate) async fn scheduler(&self, name: &str) -> Process {
        let mut scheduler = self.start(name, &["scheduler", "--metrics-listen", "127.0.0.1:0"]).await;
        scheduler.listens_as("serving /metrics, /healthz and /readyz").await;
        scheduler.says("the scheduler is at work").await;
        scheduler
    }

    /// An API that answers, and a token for the organisation `chaos`.
    pub(crate) async fn api(&self) -> (Process, String) {
        let made = self.command(&["token", "create", "--org", "chaos", "--json"]).output().await.unwrap();
        assert!(made.status.success(), "no token: {}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).expect("token create --json prints JSON");
        let token = made["token"].as_str().expect("the token's secret").to_owned();
        let mut api = self.start("api", &["api", "--listen", "127.0.0.1:0"]).await;
        api.listens_as("the API listens").await;
        (api, token)
    }

    async fn start(&self, name: &str, arguments: &[&str]) -> Process {
        let log = self.logs.path().join(format!("{name}.log"));
        let output = std::fs::File::create(&log).unwrap();
        let mut command = self.command(arguments);
        command
            // Should this process die without a word, the end of their input tells them.
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .kill_on_drop(true);
        let mut child = command.spawn().expect("start a countersign process");
        // Kept apart: waiting for the child would close it.
        let input = child.stdin.take();
        Process { name: name.to_owned(), child, log, address: None, _input: input }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        // Settings of whoever runs the tests are none of the scenario's.
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// One process. Killed when dropped.
pub(crate) struct Process {
    pub(crate) name: String,
    child: Child,
    log: PathBuf,
    address: Option<SocketAddr>,
    _input: Option<ChildStdin>,
}

impl Process {
    /// Its number; panics when it has ended and been waited for.
    pub(crate) fn pid(&self) -> i32 {
        let pid = self.child.id().unwrap_or_else(|| panic!("{} has ended", self.name));
        i32::try_from(pid).unwrap()
    }

    /// Where it serves HTTP.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.unwrap_or_else(|| panic!("{} serves nothing", self.name))
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// SIGKILL; returns when it is gone.
    pub(crate) async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait().await.unwrap();
    }

    /// SIGSTOP: alive, and doing nothing.
    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// SIGTERM; answers how long it took to leave in good order.
    pub(crate) async fn leave(&mut self, within: Duration) -> Duration {
        let asked = Instant::now();
        self.signal(Signal::SIGTERM);
        let status = tokio::time::timeout(within, self.child.wait()).await;
        let status =
            status.unwrap_or_else(|_| panic!("{} is still there after {within:?}", self.name)).unwrap();
        assert!(status.success(), "{} left with {status}", self.name);
        asked.elapsed()
    }

    /// Fails the scenario when the process has ended by itself.
    pub(crate) fn lives(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "{} ended by itself: {ended:?}", self.name);
    }

    async fn says(&mut self, message: &str) -> Value {
        let started = Instant::now();
        loop {
            if let Some(line) = lines_with(&self.log, message).pop() {
                return line;
            }
            self.lives();
            assert!(started.elapsed() < READY_WITHIN, "{} never said “{message}”", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn listens_as(&mut self, message: &str) {
        let line = self.says(message).await;
        let address = line["address"].as_str().and_then(|address| address.parse().ok());
        let address: SocketAddr = address.unwrap_or_else(|| panic!("no address in {line}"));
        // The API listens before it serves.
        let url = format!("http://{address}/readyz");
        eventually(READY_WITHIN, || async {
            reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        self.address = Some(address);
    }

    /// The sum of a counter's series on its metrics page.
    pub(crate) async fn counter(&self, name: &str) -> u64 {
        let page = reqwest::get(format!("http://{}/metrics", self.address())).await.unwrap();
        let page = page.text().await.unwrap();
        let series = page
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.iter().skip(lines.len().saturating_sub(SHOWN));
            eprintln!("--- {} said last:", self.name);
            last.for_each(|line| eprintln!("{line}"));
        }
    }
}

fn lines_with(log: &Path, message: &str) -> Vec<Value> {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let lines = log.lines().filter(|line| line.contains(message));
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}
