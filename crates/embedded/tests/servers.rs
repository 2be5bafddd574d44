//! Real servers from an empty folder: what they are, who gets in, and what is left afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use embedded::{Error, Options, Servers, find_running};
use sqlx::{Connection, PgConnection};

async fn connect(servers: &Servers, user: &str, database: &str) -> PgConnection {
    PgConnection::connect(&servers.database_url(user, database)).await.unwrap()
}

async fn redis(servers: &Servers) -> redis::aio::MultiplexedConnection {
    redis::Client::open(servers.redis_url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

async fn text(connection: &mut PgConnection, sql: &'static str) -> String {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

/// A folder that others may pass through, also when the tests run as root.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[tokio::test]
async fn both_servers_start_and_are_what_they_should_be() {
    let said = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&said);
    let mut options = Options::temporary().unwrap();
    let data = options.data_dir.clone();
    options.tuning = vec![("work_mem".into(), "9MB".into())];
    options.on_progress = Some(Arc::new(move |line: &str| {
        listener.lock().unwrap().push(line.to_owned());
    }));
    let began = Instant::now();
    let servers = Servers::start(options).await.unwrap();
    println!("start with a new cluster: {:?}", began.elapsed());
    println!("{:#?}", said.lock().unwrap());
    assert!(said.lock().unwrap().iter().any(|line| line.contains("is ready")));

    let mut db = connect(&servers, "postgres", "postgres").await;
    let version = text(&mut db, "select version()").await;
    assert!(version.starts_with("PostgreSQL 18.6"), "{version}");
    sqlx::raw_sql("create extension vector; create extension pg_trgm").execute(&mut db).await.unwrap();
    let distance: f64 =
        sqlx::query_scalar("select '[1,2]'::vector <-> '[1,5]'::vector").fetch_one(&mut db).await.unwrap();
    assert!((distance - 3.0).abs() < f64::EPSILON);
    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("listen_addresses", ""),
        ("TimeZone", "UTC"),
        ("shared_buffers", "256MB"),
        ("work_mem", "9MB"),
        ("server_encoding", "UTF8"),
    ] {
        let found: String =
            sqlx::query_scalar("select current_setting($1)").bind(setting).fetch_one(&mut db).await.unwrap();
        assert_eq!(found, value, "{setting}");
    }
    for sql in ["create role app login", "create database other owner app"] {
        sqlx::raw_sql(sql).execute(&mut db).await.unwrap();
    }
    let mut app = connect(&servers, "app", "other").await;
    assert_eq!(text(&mut app, "select current_user::text").await, "app");

    let mut cache = redis(&servers).await;
    let pong: String = redis::cmd("PING").query_async(&mut cache).await.unwrap();
    assert_eq!(pong, "PONG");
    let setting: Vec<String> =
        redis::cmd("CONFIG").arg(&["GET", "appendonly"]).query_async(&mut cache).await.unwrap();
    assert_eq!(setting, ["appendonly", "yes"]);

    let found = find_running(&data).unwrap().unwrap();
    assert_eq!(found.pid, std::process::id());
    assert_eq!(found.database_url("app", "other"), servers.database_url("app", "other"));
    assert_eq!(found.redis_url(), servers.redis_url());

    let run = std::fs::metadata(data.join("run")).unwrap();
    assert_eq!(run.permissions().mode() & 0o007, 0, "strangers get in");

    drop((db, app, cache));
    let began = Instant::now();
    servers.stop().await.unwrap();
    println!("stop: {:?}", began.elapsed());
    assert!(!data.exists(), "what need not be kept was removed");
    assert_eq!(find_running(&data).unwrap(), None);
}

#[tokio::test]
async fn kept_data_is_there_at_the_next_start_and_never_removed() {
    let base = folder();
    let data = base.path().join("kept");
    let servers = Servers::start(Options::new(&data)).await.unwrap();
    let mut db = connect(&servers, "postgres", "postgres").await;
    sqlx::raw_sql("create table t (x int); insert into t values (42)").execute(&mut db).await.unwrap();
    let mut cache = redis(&servers).await;
    let _: () = redis::cmd("SET").arg(&["k", "v"]).query_async(&mut cache).await.unwrap();
    drop((db, cache));
    servers.stop().await.unwrap();

    let forgetful = Options { keep_data: false, ..Options::new(&data) };
    let refused = Servers::start(forgetful).await.unwrap_err();
    assert!(matches!(refused, Error::WouldRemove { .. }), "{refused}");

    let began = Instant::now();
    let servers = Servers::start(Options::new(&data)).await.unwrap();
    println!("start with a cluster: {:?}", began.elapsed());
    let mut db = connect(&servers, "postgres", "postgres").await;
    assert_eq!(text(&mut db, "select x::text from t").await, "42");
    let mut cache = redis(&servers).await;
    let value: String = redis::cmd("GET").arg("k").query_async(&mut cache).await.unwrap();
    assert_eq!(value, "v");
    drop((db, cache));
    servers.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_instance_is_refused_with_the_pid_of_the_first() {
    let options = Options::temporary().unwrap();
    let servers = Servers::start(options.clone()).await.unwrap();
    let refused = Servers::start(options.clone()).await.unwrap_err();
    let sentence = refused.to_string();
    assert!(sentence.contains(&format!("process {}", std::process::id())), "{sentence}");
    let mut db = connect(&servers, "postgres", "postgres").await;
    assert_eq!(text(&mut db, "select 'unharmed'").await, "unharmed");
    drop(db);
    servers.stop().await.unwrap();
}

#[tokio::test]
async fn a_cluster_of_another_major_version_is_refused() {
    let base = folder();
    let cluster = base.path().join("postgres");
    std::fs::create_dir(&cluster).unwrap();
    std::fs::write(cluster.join("PG_VERSION"), "15\n").unwrap();
    let refused = Servers::start(Options::new(base.path())).await.unwrap_err();
    let Error::OtherMajor { found, wanted, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!((found.as_str(), *wanted), ("15", 18));
    assert!(cluster.join("PG_VERSION").exists(), "and left alone");
    assert_eq!(find_running(base.path()).unwrap(), None);
}

#[tokio::test]
async fn a_long_path_gets_its_sockets_in_a_short_place() {
    let base = folder();
    let data: PathBuf = base.path().join("long".repeat(30)).join("d ä%");
    let options = Options { keep_data: false, ..Options::new(&data) };
    let servers = Servers::start(options).await.unwrap();
    let mut db = connect(&servers, "postgres", "postgres").await;
    let folder = text(&mut db, "show unix_socket_directories").await;
    assert!(folder.len() < 60, "{folder}");
    let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0, "{mode:o}");
    let mut cache = redis(&servers).await;
    let pong: String = redis::cmd("PING").query_async(&mut cache).await.unwrap();
    assert_eq!(pong, "PONG");
    drop((db, cache));
    servers.stop().await.unwrap();
    assert!(!Path::new(&folder).exists());
    assert!(!data.exists());
}

#[tokio::test]
async fn a_folder_closed_to_the_servers_is_refused_for_root() {
    if !nix::unistd::Uid::effective().is_root() {
        println!("not root: the servers run as this user, so there is nothing to refuse");
        return;
    }
    let base = tempfile::tempdir().unwrap();
    std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let options = Options::new(base.path().join("data"));
    let refused = Servers::start(options).await.unwrap_err();
    let Error::Closed { closed, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(closed, base.path());
    assert!(refused.to_string().contains("/var/lib/countersign"), "{refused}");
}

#[tokio::test]
async fn given_servers_are_used_as_they_are() {
    let mut options = Options::new("/nonexistent/never/made");
    options.postgres = Some("postgres://owner:pw@127.0.0.1:1/db".into());
    options.redis = Some("redis://127.0.0.1:1/2".into());
    let servers = Servers::start(options).await.unwrap();
    assert_eq!(servers.redis_url(), "redis://127.0.0.1:1/2");
    assert_eq!(servers.database_url("postgres", "x"), "postgres://owner:pw@127.0.0.1:1/db");
    assert_eq!(servers.postgres_pid(), None);
    assert!(matches!(servers.kill_postgres().await, Err(Error::NotOurs { .. })));
    servers.stop().await.unwrap();
}

#[tokio::test]
async fn a_setting_that_the_server_refuses_is_reported_with_its_words() {
    let mut options = Options::temporary().unwrap();
    let data = options.data_dir.clone();
    options.tuning = vec![("no_such_setting".into(), "1".into())];
    let began = Instant::now();
    let refused = Servers::start(options).await.unwrap_err().to_string();
    assert!(refused.contains("unrecognized configuration parameter"), "{refused}");
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(!data.exists());
}
