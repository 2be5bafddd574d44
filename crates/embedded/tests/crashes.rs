//! What survives which death: of a server, of the launcher, of both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use embedded::{Options, Servers, find_running};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

async fn connect(servers: &Servers) -> PgConnection {
    PgConnection::connect(&servers.database_url("postgres", "postgres")).await.unwrap()
}

async fn count(db: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select count(*) from t").fetch_one(db).await.unwrap()
}

fn alive(pid: u32) -> bool {
    // A process that only waits to be reaped by its parent counts as ended.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    if Path::new("/proc/self").exists() {
        return stat.is_ok_and(|s| !s.rsplit(')').next().unwrap().trim().starts_with('Z'));
    }
    kill(Pid::from_raw(pid.cast_signed()), None).is_ok()
}

async fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < give_up, "waited in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_killed_postgres_comes_back_with_every_acknowledged_row() {
    let servers = Servers::start(Options::temporary().unwrap()).await.unwrap();
    let mut db = connect(&servers).await;
    sqlx::raw_sql("create table t (x bigint primary key)").execute(&mut db).await.unwrap();
    let mut acknowledged = 0_i64;
    for round in 1..=2 {
        let before = servers.postgres_pid().unwrap();
        // Writes go on until the connection breaks under them.
        let writer = tokio::spawn(async move {
            let mut done = acknowledged;
            loop {
                let insert = sqlx::query("insert into t values ($1)").bind(done + 1);
                if insert.execute(&mut db).await.is_err() {
                    return done;
                }
                done += 1;
            }
        });
        sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        servers.kill_postgres().await.unwrap();
        acknowledged = writer.await.unwrap();
        servers.ready().await.unwrap();
        println!("round {round}: back after {:?}", began.elapsed());
        assert_ne!(servers.postgres_pid().unwrap(), before);
        db = connect(&servers).await;
        let found = count(&mut db).await;
        // The one that was under way may have been committed without an answer.
        assert!(found == acknowledged || found == acknowledged + 1, "{found} of {acknowledged}");
        assert!(acknowledged > 0);
        acknowledged = found;
    }
    drop(db);
    servers.stop().await.unwrap();
}

#[tokio::test]
async fn servers_can_be_stopped_started_and_restarted() {
    let servers = Servers::start(Options::temporary().unwrap()).await.unwrap();
    let client = redis::Client::open(servers.redis_url()).unwrap();
    let mut cache = client.get_multiplexed_async_connection().await.unwrap();
    let _: () = redis::cmd("SET").arg(&["k", "v"]).query_async(&mut cache).await.unwrap();

    servers.stop_redis().await.unwrap();
    assert_eq!(servers.redis_pid(), None);
    sleep(Duration::from_millis(400)).await;
    assert_eq!(servers.redis_pid(), None, "stopped means that it stays down");
    assert!(client.get_multiplexed_async_connection().await.is_err());
    servers.start_redis().await.unwrap();
    let mut cache = client.get_multiplexed_async_connection().await.unwrap();
    let value: String = redis::cmd("GET").arg("k").query_async(&mut cache).await.unwrap();
    assert_eq!(value, "v");

    servers.kill_redis().await.unwrap();
    servers.ready().await.unwrap();
    client.get_multiplexed_async_connection().await.unwrap();

    let before = servers.postgres_pid().unwrap();
    // An open connection must not hold a restart up.
    let held = connect(&servers).await;
    let began = Instant::now();
    servers.restart_postgres().await.unwrap();
    println!("restart: {:?}", began.elapsed());
    assert_ne!(servers.postgres_pid().unwrap(), before);
    drop(held);
    drop(connect(&servers).await);
    servers.stop().await.unwrap();
}

/// Set for the second run of this test program, which then plays the launcher that gets killed.
const PLAY_LAUNCHER: &str = "EMBEDDED_TEST_LAUNCHER_DATA";

// Several threads, because the kernel's signal follows a thread, not the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_launcher_leaves_nothing_in_the_way() {
    if let Some(data) = std::env::var_os(PLAY_LAUNCHER) {
        let servers = Servers::start(Options::new(data)).await.unwrap();
        let mut db = connect(&servers).await;
        sqlx::raw_sql("create table t (x bigint); insert into t values (1)").execute(&mut db).await.unwrap();
        println!("\npids {} {}", servers.postgres_pid().unwrap(), servers.redis_pid().unwrap());
        // Idle threads of the runtime end meanwhile; the servers must not end with them.
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        tokio::task::block_in_place(|| ());
        sleep(Duration::from_secs(300)).await;
        drop(servers);
        return;
    }
    let options = Options::temporary().unwrap();
    let data = options.data_dir;
    let mut launcher = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_launcher_leaves_nothing_in_the_way", "--nocapture"])
        .env(PLAY_LAUNCHER, &data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = std::io::BufReader::new(launcher.stdout.take().unwrap());
    let pids: Vec<u32> = std::io::BufRead::lines(output)
        .map_while(Result::ok)
        .find_map(|line| {
            let pids = line.strip_prefix("pids ")?;
            Some(pids.split(' ').map(|p| p.parse().unwrap()).collect())
        })
        .expect("the launcher started its servers");
    assert_eq!(find_running(&data).unwrap().unwrap().pid, launcher.id());
    let refused = Servers::start(Options::new(&data)).await.unwrap_err();
    assert!(refused.to_string().contains(&launcher.id().to_string()), "{refused}");
    // Longer than the runtime keeps an idle thread (10 s), after which the children must be there.
    sleep(Duration::from_secs(12)).await;
    assert!(pids.iter().all(|pid| alive(*pid)));

    launcher.kill().unwrap();
    launcher.wait().unwrap();
    if cfg!(target_os = "linux") {
        wait_until("children end with their launcher", || !pids.iter().any(|pid| alive(*pid))).await;
    }
    let began = Instant::now();
    let servers = Servers::start(Options::new(&data)).await.unwrap();
    println!("start after a killed launcher: {:?}", began.elapsed());
    let mut db = connect(&servers).await;
    assert_eq!(count(&mut db).await, 1);
    drop(db);
    servers.stop().await.unwrap();
    std::fs::remove_dir_all(&data).unwrap();
}

/// Ends a process of the test also when the test fails.
#[cfg(target_os = "linux")]
struct Unsupervised(std::process::Child);

#[cfg(target_os = "linux")]
impl Drop for Unsupervised {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The command line of a process, and the user and group it runs as.
#[cfg(target_os = "linux")]
fn how_it_runs(pid: u32) -> (Vec<std::ffi::OsString>, u32, u32) {
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::MetadataExt;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let words = line
        .strip_suffix(b"\0")
        .unwrap()
        .split(|b| *b == 0)
        .map(|word| std::ffi::OsString::from_vec(word.to_vec()))
        .collect();
    let owner = std::fs::metadata(format!("/proc/{pid}")).unwrap();
    (words, owner.uid(), owner.gid())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn servers_left_running_are_ended_first_and_strangers_are_not() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;

    let options = Options::temporary().unwrap();
    let data = options.data_dir;
    let servers = Servers::start(Options::new(&data)).await.unwrap();
    let mut db = connect(&servers).await;
    sqlx::raw_sql("create table t (x bigint); insert into t values (1)").execute(&mut db).await.unwrap();
    drop(db);
    let commands = [servers.postgres_pid(), servers.redis_pid()].map(|pid| how_it_runs(pid.unwrap()));
    servers.stop().await.unwrap();

    // The socket folder went with the stop; the leftovers need one.
    let run = data.join("run");
    std::fs::create_dir(&run).unwrap();
    chown(&run, Some(commands[0].1), Some(commands[0].2)).unwrap();
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut left = commands.map(|(words, uid, gid)| {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
        // Only root may and must change who it is.
        if nix::unistd::Uid::effective().is_root() {
            command.uid(uid).gid(gid);
        }
        Unsupervised(command.spawn().unwrap())
    });
    wait_until("the leftovers run", || {
        run.join(".s.PGSQL.5432").exists() && run.join("valkey.sock").exists()
    })
    .await;
    std::fs::write(data.join("valkey.pid"), format!("{}\n", left[1].0.id())).unwrap();

    let servers = Servers::start(Options::new(&data)).await.unwrap();
    for child in &mut left {
        assert!(child.0.try_wait().unwrap().is_some(), "{} still runs", child.0.id());
    }
    let mut db = connect(&servers).await;
    assert_eq!(count(&mut db).await, 1);
    drop(db);
    servers.stop().await.unwrap();

    // A pid file that names a process of the same user that has nothing to do with us.
    let cluster = data.join("postgres");
    let owner = std::fs::metadata(&cluster).unwrap();
    let mut stranger = Command::new("sleep");
    stranger.arg("300").current_dir("/");
    if nix::unistd::Uid::effective().is_root() {
        stranger.uid(owner.uid()).gid(owner.gid());
    }
    let mut stranger = Unsupervised(stranger.spawn().unwrap());
    let pid_file = cluster.join("postmaster.pid");
    let text = format!("{}\n{}\n1\n5432\n\n\n\nready\n", stranger.0.id(), cluster.display());
    std::fs::write(&pid_file, text).unwrap();
    chown(&pid_file, Some(owner.uid()), Some(owner.gid())).unwrap();
    std::fs::write(data.join("valkey.pid"), format!("{}\n", stranger.0.id())).unwrap();

    let servers = Servers::start(Options::new(&data)).await.unwrap();
    assert!(stranger.0.try_wait().unwrap().is_none(), "a stranger was ended");
    let mut db = connect(&servers).await;
    assert_eq!(count(&mut db).await, 1);
    drop(db);
    servers.stop().await.unwrap();
    drop(stranger);
    std::fs::remove_dir_all(&data).unwrap();
}

#[tokio::test]
async fn dropped_servers_end_by_themselves() {
    let options = Options::temporary().unwrap();
    let data = options.data_dir.clone();
    let servers = Servers::start(options).await.unwrap();
    let pids = [servers.postgres_pid().unwrap(), servers.redis_pid().unwrap()];
    drop(servers);
    wait_until("dropped servers end", || !pids.iter().any(|pid| alive(*pid))).await;
    std::fs::remove_dir_all(&data).unwrap();
}
