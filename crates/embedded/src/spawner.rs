//! Starts the servers' processes from one thread that lives as long as they should. The kernel's
//! parent-death signal follows the spawning thread, and a runtime's threads come and go.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, mpsc};

use nix::sys::signal::Signal;
use tokio::process::Child;
use tokio::sync::oneshot;

use crate::account::Account;
use crate::parent_death;

/// Variables of the launcher that reach a server; PG* and locale settings must not.
const PASSED_ON: [&str; 3] = ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

/// A command line and who runs it.
#[derive(Debug, Clone)]
pub(crate) struct CommandLine {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) account: Option<Account>,
}

impl CommandLine {
    /// The command with a clean environment, no input, and rights dropped (the standard library
    /// clears supplementary groups whenever root sets a uid).
    pub(crate) fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            // The launcher's folder may be closed to the account.
            .current_dir("/")
            .stdin(Stdio::null());
        if let Some(account) = &self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }
}

/// What to start: a command line, its log, and the signal for the launcher's death.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) line: CommandLine,
    pub(crate) log: PathBuf,
    pub(crate) on_launcher_death: Signal,
}

struct Request {
    launch: Arc<Launch>,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// A handle to the thread; the thread ends with the last handle.
#[derive(Debug, Clone)]
pub(crate) struct Spawner(mpsc::Sender<Request>);

impl Spawner {
    /// Starts the thread. To be called inside a tokio runtime, which then reaps the children.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::current();
        let (sender, requests) = mpsc::channel::<Request>();
        std::thread::Builder::new().name("embedded-spawner".into()).spawn(move || {
            let _inside = runtime.enter();
            while let Ok(request) = requests.recv() {
                let child = spawn(&request.launch);
                // Nobody waits any more: a child without a supervisor must not stay.
                if let Err(Ok(mut child)) = request.reply.send(child)
                    && let Err(e) = child.start_kill()
                {
                    tracing::warn!(error = %e, "could not end an unwanted child");
                }
            }
        })?;
        Ok(Self(sender))
    }

    /// Starts one process in a process group of its own, so that Ctrl-C reaches the launcher only.
    pub(crate) async fn spawn(&self, launch: &Arc<Launch>) -> io::Result<Child> {
        let gone = || io::Error::other("the spawning thread has ended");
        let (reply, answer) = oneshot::channel();
        let launch = Arc::clone(launch);
        self.0.send(Request { launch, reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn spawn(launch: &Launch) -> io::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&launch.log)?;
    let mut command = launch.line.command();
    command.stdout(log.try_clone()?).stderr(log).process_group(0);
    parent_death::follow(&mut command, launch.on_launcher_death);
    tokio::process::Command::from(command).spawn()
}
