//! Commands that need no organisation: help, migrate, probe, with-servers.

use crate::terminal::Terminal;
use secrecy::ExposeSecret;

const COMMANDS: &[&str] = &[
    "",
    "dev",
    "api",
    "worker",
    "scheduler",
    "migrate",
    "jobs",
    "jobs list",
    "jobs show",
    "jobs watch",
    "jobs cancel",
    "jobs retry",
    "enqueue",
    "lanes",
    "lanes list",
    "lanes pause",
    "lanes resume",
    "lanes drain",
    "lanes set",
    "dead",
    "dead groups",
    "dead list",
    "dead replay",
    "dead discard",
    "schedule",
    "schedule list",
    "schedule add",
    "schedule pause",
    "schedule resume",
    "schedule run-now",
    "schedule ticks",
    "schedule remove",
    "limits",
    "limits list",
    "limits set",
    "limits remove",
    "workers",
    "admin",
    "admin create-owner",
    "admin list",
    "token",
    "token create",
    "token list",
    "token revoke",
    "keys",
    "keys init",
    "keys show",
    "keys add",
    "keys rotate",
    "webhook-secret",
    "probe",
    "bench",
    "bench queue",
    "with-servers",
];

#[tokio::test]
async fn every_command_explains_itself() {
    let terminal = Terminal::bare();
    for command in COMMANDS {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("--help");
        let help = terminal.ok(&arguments).await.out;
        assert!(help.contains("Usage: countersign") && help.contains("--json"), "{command}: {help}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_is_named_and_then_migrated() {
    let mut terminal = Terminal::new().await;
    let db = terminal.db.as_ref().unwrap();
    let (url, name) = (db.database_url(), db.namespace());
    let (front, behind) = url.expose_secret().split_once(name).unwrap();
    let empty = format!("empty_{name}");
    let url = format!("{front}{empty}{behind}");
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {empty}")))
        .execute(db.superuser())
        .await
        .unwrap();
    terminal.set("DATABASE_URL", &url);

    let refused = terminal.run(&["jobs", "list"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("run `countersign migrate`"), "{}", refused.err);
    assert!(terminal.json(&["migrate", "--wait"]).await["applied"].as_u64().unwrap() >= 2);
    assert_eq!(terminal.json(&["migrate"]).await["applied"], 0);
    assert_eq!(terminal.ok(&["token", "create", "--create-org"]).await.line().len(), 47);
    assert!(terminal.ok(&["jobs", "list"]).await.out.contains("no jobs"));
    let drop = sqlx::AssertSqlSafe(format!("DROP DATABASE {empty} WITH (FORCE)"));
    sqlx::query(drop).execute(terminal.db.as_ref().unwrap().superuser()).await.unwrap();
}

#[tokio::test]
async fn a_probe_of_nobody_fails_with_the_cause() {
    let ended = Terminal::bare().run(&["probe", "http://127.0.0.1:9/healthz"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("does not answer"), "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_servers_hands_on_addresses_and_the_exit_code() {
    let mut terminal = Terminal::bare();
    let urls = testkit::shared().await;
    terminal.set("COUNTERSIGN_TEST_DATABASE_URL", urls.database("postgres").expose_secret());
    terminal.set("COUNTERSIGN_TEST_REDIS_URL", urls.redis().expose_secret());
    let script = "echo $COUNTERSIGN_TEST_DATABASE_URL; exit 7";
    let ended = terminal.run(&["with-servers", "--", "sh", "-c", script]).await;
    assert_eq!(ended.code, Some(7));
    assert_eq!(ended.line(), urls.database("postgres").expose_secret());
    let killed = terminal.run(&["with-servers", "--", "sh", "-c", "kill -9 $$"]).await;
    assert_eq!(killed.code, Some(137));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_servers_starts_its_own_and_leaves_nothing() {
    let terminal = Terminal::bare();
    let script = "echo $COUNTERSIGN_TEST_DATABASE_URL | sed 's/.*@//'; echo $COUNTERSIGN_TEST_REDIS_URL";
    let ended = terminal.run(&["with-servers", "--", "sh", "-c", script]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let socket = ended.out.lines().nth(1).unwrap().strip_prefix("redis+unix://").unwrap();
    assert!(!std::path::Path::new(socket).exists(), "{socket} is still there");
}
