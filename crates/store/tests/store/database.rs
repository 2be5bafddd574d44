//! A fresh, migrated database for each test, on one server for all of them.

use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use store::{Actor, Scopes, Store, orgs};
use tokio::sync::OnceCell;

/// A database of one test. `admin` bypasses row-level security; `store` is the app.
pub(crate) struct Database {
    pub(crate) url: SecretString,
    pub(crate) store: Store,
    pub(crate) admin: PgConnection,
}

impl Database {
    pub(crate) async fn empty() -> Self {
        let server = server().await;
        let name = format!("store_{}", uuid::Uuid::now_v7().simple());
        let mut root = PgConnection::connect(&server("postgres")).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut root).await.unwrap();
        let url = SecretString::from(server(&name));
        let admin = PgConnection::connect(url.expose_secret()).await.unwrap();
        let store = Store::connect(url.clone(), Some("countersign_app")).unwrap();
        Self { url, store, admin }
    }

    pub(crate) async fn migrated() -> Self {
        let database = Self::empty().await;
        store::migrate::run(&database.url).await.unwrap();
        database
    }

    /// A new organisation, seen as its system actor.
    pub(crate) async fn org(&self, slug: &str) -> Actor {
        let org = orgs::create(&self.store, slug, slug).await.unwrap();
        Actor { org_id: org.org_id, actor_id: org.system_actor_id, scopes: Scopes::ALL }
    }
}

type Urls = Box<dyn Fn(&str) -> String + Send + Sync>;

/// `DATABASE_URL` (of a superuser) when set, else a private server that dies with this process.
async fn server() -> &'static Urls {
    static SERVER: OnceCell<Urls> = OnceCell::const_new();
    SERVER
        .get_or_init(|| async {
            if let Ok(url) = std::env::var("DATABASE_URL") {
                let (base, query) = url.split_once('?').unwrap_or((&url, ""));
                let base = base.rsplit_once('/').unwrap().0.to_owned();
                let query = query.to_owned();
                return Box::new(move |name: &str| format!("{base}/{name}?{query}")) as Urls;
            }
            private_server().await
        })
        .await
}

async fn private_server() -> Urls {
    // The server must outlive the runtime of the test that happened to start it.
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let servers = embedded::Servers::start(embedded::Options::temporary().unwrap()).await.unwrap();
            let template = servers.database_url("postgres", "DATABASE");
            let _ = send.send(template);
            std::future::pending::<()>().await;
        });
    });
    let template = receive.await.expect("the private PostgreSQL did not start");
    Box::new(move |name: &str| template.replace("DATABASE", name))
}
