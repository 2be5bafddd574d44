//! PostgreSQL and Redis for as long as some test holds them; the last one to let go stops them.

use std::sync::{Arc, Weak};

use tokio::sync::{Mutex, oneshot};

/// Where the servers are.
pub(crate) struct Held {
    /// Of a superuser, with `DATABASE` where the database's name belongs.
    database_url: String,
    pub(crate) redis_url: String,
    _private: Option<Private>,
}

struct Private {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Held {
    pub(crate) fn database_url(&self, name: &str) -> String {
        self.database_url.replace("DATABASE", name)
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The run's servers where `COUNTERSIGN_TEST_DATABASE_URL` and `COUNTERSIGN_TEST_REDIS_URL` name them, else
/// private ones that tests running at the same time share.
pub(crate) async fn servers() -> Arc<Held> {
    static HELD: Mutex<Weak<Held>> = Mutex::const_new(Weak::new());
    let mut weak = HELD.lock().await;
    if let Some(held) = weak.upgrade() {
        return held;
    }
    let held = Arc::new(match given() {
        Some(held) => held,
        None => private().await,
    });
    *weak = Arc::downgrade(&held);
    held
}

fn given() -> Option<Held> {
    let url = std::env::var("COUNTERSIGN_TEST_DATABASE_URL").ok()?;
    let redis_url = std::env::var("COUNTERSIGN_TEST_REDIS_URL").ok()?;
    let (base, query) = url.split_once('?').unwrap_or((&url, ""));
    let (server, _) = base.rsplit_once('/').unwrap();
    Some(Held { database_url: format!("{server}/DATABASE?{query}"), redis_url, _private: None })
}

async fn private() -> Held {
    let (ready, started) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    // Supervision must outlive the runtime of the test that happened to start the servers.
    let thread = std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let servers = embedded::Servers::start(embedded::Options::temporary().unwrap()).await.unwrap();
            let _ = ready.send((servers.database_url("postgres", "DATABASE"), servers.redis_url()));
            let _ = stopped.await;
            servers.stop().await.unwrap();
        });
    });
    let (database_url, redis_url) = started.await.expect("the private servers did not start");
    Held { database_url, redis_url, _private: Some(Private { stop: Some(stop), thread: Some(thread) }) }
}
