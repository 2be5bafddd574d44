//! Keeps one server running: starts it, watches for readiness, starts it again after a crash
//! with a growing pause, and ends it politely, then firmly. Decides nothing about data.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::error::Error;
use crate::processes::send;
use crate::spawner::{Launch, Spawner};
use crate::{postgres, valkey};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A server that ran this long had a crash of its own, not one more failed start.
const HEALTHY: Duration = Duration::from_secs(10);
/// After a crash under load PostgreSQL first replays up to `max_wal_size` of log.
const READY_WITHIN: Duration = Duration::from_secs(300);
/// How long a first start may fail because a killed predecessor's backends are still ending.
const PREDECESSOR: Duration = Duration::from_secs(20);

/// One server to supervise.
#[derive(Debug)]
pub(crate) struct Service {
    /// For people: "PostgreSQL 18.6".
    pub(crate) title: String,
    /// For errors: "PostgreSQL".
    pub(crate) name: &'static str,
    pub(crate) launch: Arc<Launch>,
    pub(crate) probe: Probe,
    /// Signals that end it, each with the time it gets; SIGKILL follows.
    pub(crate) stop: &'static [(Signal, Duration)],
    /// Where its process id is noted, if it does not do that itself.
    pub(crate) pid_file: Option<PathBuf>,
}

/// How to see that a server answers.
#[derive(Debug)]
pub(crate) enum Probe {
    /// The state that the main process writes into its pid file, below this cluster.
    PostmasterFile(PathBuf),
    /// `PING` over this socket.
    Ping(PathBuf),
}

impl Probe {
    async fn answers(&self, pid: u32) -> bool {
        match self {
            Self::PostmasterFile(cluster) => postgres::is_ready(cluster, pid),
            Self::Ping(socket) => valkey::is_ready(socket).await,
        }
    }
}

/// What is known about the process.
#[derive(Debug, Clone, Default)]
struct Status {
    pid: Option<u32>,
    ready: bool,
    /// Counts starts, so that a waiter can tell a new process from the one it knew.
    starts: u64,
    /// Ends and failed starts since the last time it was ready.
    failures: u32,
    last_end: String,
    /// Length of the log before the newest start.
    log_from: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Start,
    Stop,
    Restart,
    Kill,
    End,
}

type Order = (Wish, oneshot::Sender<()>);

/// A supervised server. Dropped without [`Supervised::end`], its process is told to end, but
/// nobody waits for it.
#[derive(Debug)]
pub(crate) struct Supervised {
    service: Arc<Service>,
    orders: mpsc::Sender<Order>,
    status: watch::Receiver<Status>,
    task: JoinHandle<()>,
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // The task's own guard signals the process.
        self.task.abort();
    }
}

impl Supervised {
    pub(crate) fn start(service: Service, spawner: Spawner) -> Self {
        let service = Arc::new(service);
        let (orders, inbox) = mpsc::channel(8);
        let (tell, status) = watch::channel(Status::default());
        let keeper =
            Keeper { service: Arc::clone(&service), spawner, inbox, status: tell, pause: FIRST_PAUSE };
        Self { service, orders, status, task: tokio::spawn(keeper.run()) }
    }

    /// The main process, unless the server is down at this moment.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.status.borrow().pid
    }

    /// Waits for the first readiness; a server that ends instead is an error with its last words.
    pub(crate) async fn first_ready(&self) -> Result<(), Error> {
        let began = Instant::now();
        self.wait(|status| {
            // Orphans of a killed predecessor hold the cluster's shared memory until they end.
            let predecessor =
                began.elapsed() < PREDECESSOR && self.tail(status).contains("shared memory block");
            status.failures > 0 && !predecessor
        })
        .await
    }

    /// Waits until it is ready, through any number of restarts.
    pub(crate) async fn ready(&self) -> Result<(), Error> {
        self.wait(|_| false).await
    }

    async fn wait(&self, is_hopeless: impl Fn(&Status) -> bool) -> Result<(), Error> {
        let mut status = self.status.clone();
        let settled = timeout(READY_WITHIN, status.wait_for(|now| now.ready || is_hopeless(now))).await;
        match settled {
            Ok(Ok(now)) if now.ready => Ok(()),
            Ok(Ok(now)) => Err(self.not_ready(now.last_end.clone(), &now)),
            Ok(Err(_)) => Err(self.unsupervised()),
            Err(_) => {
                let now = self.status.borrow();
                let why = format!("waited {} s", READY_WITHIN.as_secs());
                Err(self.not_ready(why, &now))
            }
        }
    }

    fn not_ready(&self, why: String, status: &Status) -> Error {
        Error::NotReady {
            name: self.service.name,
            why,
            log: self.service.launch.log.clone(),
            tail: self.tail(status),
        }
    }

    fn tail(&self, status: &Status) -> String {
        tail(&self.service.launch.log, status.log_from)
    }

    fn unsupervised(&self) -> Error {
        Error::Unsupervised { name: self.service.name }
    }

    async fn order(&self, wish: Wish) -> Result<(), Error> {
        let (done, when_done) = oneshot::channel();
        let sent = self.orders.send((wish, done)).await;
        sent.map_err(|_| self.unsupervised())?;
        when_done.await.map_err(|_| self.unsupervised())
    }

    /// Ends the process politely and starts it again; returns when it is ready.
    pub(crate) async fn restart(&self) -> Result<(), Error> {
        self.order(Wish::Restart).await?;
        self.ready().await
    }

    /// Ends the process and leaves it down.
    pub(crate) async fn stop(&self) -> Result<(), Error> {
        self.order(Wish::Stop).await
    }

    /// Starts it again after [`Supervised::stop`]; returns when it is ready.
    pub(crate) async fn start_again(&self) -> Result<(), Error> {
        self.order(Wish::Start).await?;
        self.ready().await
    }

    /// SIGKILL; returns when the process is gone. Supervision brings it back.
    pub(crate) async fn kill(&self) -> Result<(), Error> {
        self.order(Wish::Kill).await
    }

    /// Ends the process and the supervision.
    pub(crate) async fn end(&self) -> Result<(), Error> {
        self.order(Wish::End).await
    }
}

/// What the keeper does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Run,
    PauseThenRun,
    StayDown,
    End,
}

struct Keeper {
    service: Arc<Service>,
    spawner: Spawner,
    inbox: mpsc::Receiver<Order>,
    status: watch::Sender<Status>,
    pause: Duration,
}

impl Keeper {
    async fn run(mut self) {
        let mut next = Next::Run;
        loop {
            next = match next {
                Next::Run => self.run_once().await,
                Next::PauseThenRun => self.pause().await,
                Next::StayDown => match self.inbox.recv().await {
                    Some(order) => obey_while_down(order, Next::StayDown),
                    None => Next::End,
                },
                Next::End => return,
            };
        }
    }

    async fn pause(&mut self) -> Next {
        let length = self.pause;
        self.pause = (length * 2).min(LONGEST_PAUSE);
        tokio::select! {
            () = sleep(length) => Next::Run,
            order = self.inbox.recv() => match order {
                Some(order) => obey_while_down(order, Next::Run),
                None => Next::End,
            },
        }
    }

    async fn run_once(&mut self) -> Next {
        let launch = Arc::clone(&self.service.launch);
        let log_from = std::fs::metadata(&launch.log).map_or(0, |m| m.len());
        self.status.send_modify(|status| status.log_from = log_from);
        let mut process = match self.spawner.spawn(&launch).await {
            Ok(child) => Process { child, on_drop: launch.on_launcher_death },
            Err(e) => {
                self.down(format!("{} does not start: {e}", launch.line.program.display()));
                return Next::PauseThenRun;
            }
        };
        let pid = process.child.id();
        if let (Some(file), Some(pid)) = (&self.service.pid_file, pid)
            && let Err(e) = std::fs::write(file, format!("{pid}\n"))
        {
            tracing::warn!(file = %file.display(), error = %e, "could not note a process id");
        }
        self.status.send_modify(|status| {
            status.pid = pid;
            status.starts += 1;
        });
        let next = self.watch(&mut process, pid.unwrap_or(0)).await;
        if let Some(file) = &self.service.pid_file
            && let Err(e) = std::fs::remove_file(file)
        {
            tracing::debug!(file = %file.display(), error = %e, "no process id to forget");
        }
        next
    }

    /// Looks after a running process until it ends or an order ends it.
    async fn watch(&mut self, process: &mut Process, pid: u32) -> Next {
        let began = Instant::now();
        let mut ready = false;
        let mut look_after = Duration::from_millis(2);
        loop {
            tokio::select! {
                exit = process.child.wait() => {
                    let end = match exit {
                        Ok(exit) => format!("it ended with {exit}"),
                        Err(e) => format!("it was lost: {e}"),
                    };
                    tracing::warn!(server = %self.service.title, pid, %end, "a server ended by itself");
                    if ready && began.elapsed() > HEALTHY {
                        self.pause = FIRST_PAUSE;
                    }
                    self.down(end);
                    return Next::PauseThenRun;
                }
                order = self.inbox.recv() => {
                    let Some((wish, done)) = order else { return Next::End };
                    let next = match wish {
                        Wish::Start => None,
                        Wish::Kill => {
                            process.kill().await;
                            Some(Next::PauseThenRun)
                        }
                        Wish::Restart | Wish::Stop | Wish::End => {
                            process.end(self.service.stop).await;
                            Some(match wish {
                                Wish::Restart => Next::Run,
                                Wish::Stop => Next::StayDown,
                                _ => Next::End,
                            })
                        }
                    };
                    if let Some(next) = next {
                        self.pause = FIRST_PAUSE;
                        self.down("it was stopped".into());
                        // Before the answer, so that the asker does not see the old state.
                        answer(done);
                        return next;
                    }
                    answer(done);
                }
                () = sleep(look_after), if !ready => {
                    ready = self.service.probe.answers(pid).await;
                    look_after = (look_after * 2).min(Duration::from_millis(50));
                    if ready {
                        self.status.send_modify(|status| {
                            status.ready = true;
                            status.failures = 0;
                        });
                    }
                }
            }
        }
    }

    fn down(&self, end: String) {
        self.status.send_modify(|status| {
            status.pid = None;
            status.ready = false;
            status.failures += 1;
            status.last_end = end;
        });
    }
}

/// An order that arrives while no process runs.
fn obey_while_down((wish, done): Order, otherwise: Next) -> Next {
    answer(done);
    match wish {
        Wish::Start | Wish::Restart => Next::Run,
        Wish::Stop => Next::StayDown,
        Wish::Kill => otherwise,
        Wish::End => Next::End,
    }
}

fn answer(done: oneshot::Sender<()>) {
    // Whoever asked may have stopped waiting.
    let _ = done.send(());
}

/// A child that is told to end when the supervision is dropped.
struct Process {
    child: Child,
    on_drop: Signal,
}

impl Process {
    async fn end(&mut self, signals: &[(Signal, Duration)]) {
        for (signal, patience) in signals {
            // No id: it has ended and was reaped, so its number may belong to somebody else.
            let Some(pid) = self.child.id() else { return };
            send(pid, *signal);
            if timeout(*patience, self.child.wait()).await.is_ok() {
                return;
            }
            tracing::warn!(pid, %signal, "a server did not end in time");
        }
        self.kill().await;
    }

    async fn kill(&mut self) {
        if let Err(e) = self.child.kill().await {
            tracing::warn!(error = %e, "could not kill a server");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = self.child.id() {
            send(pid, self.on_drop);
        }
    }
}

/// The last lines that a log got since `from`.
fn tail(log: &Path, from: u64) -> String {
    const ENOUGH: u64 = 2_000;
    let read = || {
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(ENOUGH))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    match read() {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(e) => format!("(no log: {e})"),
    }
}
