//! The servers tests run against: those the environment names, else private ones, once a process.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use embedded::{Options, Servers};
use secrecy::SecretString;
use tokio::sync::OnceCell;

use crate::folders;

/// Names the PostgreSQL to use, with a superuser's login; both variables must be set.
const DATABASE_URL: &str = "COUNTERSIGN_TEST_DATABASE_URL";
/// Names the Redis to use.
const REDIS_URL: &str = "COUNTERSIGN_TEST_REDIS_URL";

/// Addresses of a pair of servers.
#[derive(Clone, Debug)]
pub struct Urls {
    /// Everything before the database's name, and the query after it.
    database: (String, String),
    redis: String,
}

impl Urls {
    fn new(database: &str, redis: &str) -> Self {
        let (base, query) = database.split_once('?').unwrap_or((database, ""));
        let base = base.rsplit_once('/').map_or(base, |(base, _)| base);
        Self { database: (base.to_owned(), query.to_owned()), redis: redis.to_owned() }
    }

    /// Address of a database, for the superuser.
    #[must_use]
    pub fn database(&self, name: &str) -> SecretString {
        let (base, query) = &self.database;
        let mark = if query.is_empty() { "" } else { "?" };
        SecretString::from(format!("{base}/{name}{mark}{query}"))
    }

    /// Address of Redis.
    #[must_use]
    pub fn redis(&self) -> SecretString {
        SecretString::from(self.redis.clone())
    }
}

/// The servers that all tests of this process share. Nobody may stop, restart or flush them.
pub async fn shared() -> &'static Urls {
    static URLS: OnceCell<Urls> = OnceCell::const_new();
    URLS.get_or_init(|| async {
        match (std::env::var(DATABASE_URL), std::env::var(REDIS_URL)) {
            (Ok(database), Ok(redis)) => Urls::new(&database, &redis),
            (Err(_), Err(_)) => private().await,
            _ => panic!("set both {DATABASE_URL} and {REDIS_URL}, or neither"),
        }
    })
    .await
}

/// Servers that outlive the runtime of the test that happened to start them; they end with the process.
async fn private() -> Urls {
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        static KEPT: OnceLock<Servers> = OnceLock::new();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let servers = start(&folders::make()).await;
            let _ = send.send(urls(&servers));
            let _ = KEPT.set(servers);
            std::future::pending::<()>().await;
        });
    });
    receive.await.expect("the private servers did not start; the lines above say why")
}

async fn start(folder: &Path) -> Servers {
    let options = Options { keep_data: false, ..Options::new(folder) };
    Servers::start(options).await.expect("start private servers")
}

fn urls(servers: &Servers) -> Urls {
    Urls::new(&servers.database_url("postgres", "postgres"), &servers.redis_url())
}

/// A pair of servers of one's own, to be stopped, restarted and flushed.
pub struct OwnServers {
    folder: PathBuf,
    servers: Servers,
    urls: Urls,
}

impl OwnServers {
    /// Starts them; takes a few seconds.
    pub async fn start() -> Self {
        let folder = folders::make();
        let servers = start(&folder).await;
        let urls = urls(&servers);
        Self { folder, servers, urls }
    }

    /// Their addresses.
    #[must_use]
    pub fn urls(&self) -> &Urls {
        &self.urls
    }

    /// Empties Redis, as a failover to an empty replica would.
    pub async fn flush_redis(&self) {
        let client = redis::Client::open(&*self.urls.redis).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.expect("reach Redis");
        redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await.expect("empty Redis");
    }

    /// Starts Redis after [`Servers::stop_redis`] without what it had, as on a new disk.
    pub async fn start_redis_empty(&self) {
        let kept = self.folder.join("valkey").join("appendonlydir");
        std::fs::remove_dir_all(&kept).expect("remove what Redis had written");
        self.servers.start_redis().await.expect("start Redis");
    }

    /// Stops them and removes what they wrote.
    pub async fn stop(self) {
        self.servers.stop().await.expect("stop private servers");
    }
}

impl Deref for OwnServers {
    type Target = Servers;

    fn deref(&self) -> &Servers {
        &self.servers
    }
}
