//! Commands that change something.

use std::time::Duration;

use crate::terminal::Terminal;
use serde_json::{Value, json};

async fn state(terminal: &Terminal, id: &str) -> String {
    terminal.json(&["jobs", "show", id]).await["state"].as_str().unwrap().to_owned()
}

async fn becomes(terminal: &Terminal, id: &str, wanted: &str) {
    testkit::eventually(Duration::from_secs(20), || async { state(terminal, id).await == wanted }).await;
}

fn id(made: &Value) -> String {
    made["job_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_is_run_now_or_called_off() {
    let terminal = Terminal::new().await;
    let first = id(&terminal.json(&["enqueue", "system.noop", "--at", "1h"]).await);
    let second = id(&terminal.json(&["enqueue", "system.noop", "--at", "1h"]).await);
    terminal.ok(&["jobs", "retry", &first]).await;
    assert_eq!(state(&terminal, &first).await, "queued");
    assert_eq!(
        terminal.json(&["jobs", "cancel", &second, "--reason", "changed my mind"]).await["outcome"],
        "cancelled"
    );
    let shown = terminal.ok(&["jobs", "show", &second]).await.out;
    assert!(shown.contains("cancelled") && shown.contains("changed my mind"), "{shown}");
    let refused = terminal.run(&["jobs", "cancel", &second]).await;
    assert!(refused.code == Some(1) && refused.err.contains("is cancelled"), "{}", refused.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_what_is_enqueued_and_dead_letters_are_replayed_and_discarded() {
    let terminal = Terminal::new().await;
    let worker = terminal.start(&["worker", "--concurrency", "4", "--drain-secs", "5"]);
    let many = terminal
        .json(&["enqueue", "system.noop", "--count", "1500", "--key", "bulk", "--lane", "bulk"])
        .await;
    assert_eq!(many["created"], 1500);
    let again = terminal
        .json(&["enqueue", "system.noop", "--count", "1500", "--key", "bulk", "--lane", "bulk"])
        .await;
    assert_eq!(again["created"], 0);
    let slow =
        terminal.ok(&["enqueue", "system.slow", "--payload", r#"{"duration_ms":600,"steps":3}"#]).await;
    let watched = terminal.ok(&["jobs", "watch", slow.line(), "--json"]).await;
    let states: Vec<Value> = watched.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(states.last().unwrap()["state"], "succeeded");

    let mut dead = Vec::new();
    for _ in 0..3 {
        let made = terminal
            .json(&["enqueue", "system.flaky", "--payload", r#"{"fail_first":9,"permanent":true}"#])
            .await;
        dead.push(id(&made));
    }
    for job in &dead {
        becomes(&terminal, job, "dead").await;
    }
    let watched = terminal.run(&["jobs", "watch", &dead[0]]).await;
    assert!(watched.code == Some(1) && watched.err.contains("dead"), "{}", watched.err);
    let groups = terminal.json(&["dead", "groups"]).await;
    assert_eq!(
        (&groups["groups"][0]["count"], &groups["groups"][0]["kind"]),
        (&json!(3), &json!("system.flaky"))
    );
    assert_eq!(terminal.json(&["dead", "list"]).await["dead"].as_array().unwrap().len(), 3);

    let dry = terminal.json(&["dead", "replay", "--kind", "system.flaky"]).await;
    assert_eq!((&dry["dry_run"], &dry["count"]), (&json!(true), &json!(3)));
    assert!(terminal.ok(&["dead", "replay", "--all"]).await.out.contains("add --yes"));
    assert_eq!(state(&terminal, &dead[0]).await, "dead");
    let unfit = terminal.run(&["dead", "replay", &dead[0], "--payload", r#"{"fail_frist":0}"#]).await;
    assert!(unfit.code == Some(1) && unfit.err.contains("fail_frist"), "{}{}", unfit.out, unfit.err);
    let edited = ["dead", "replay", &dead[0], "--payload", r#"{"fail_first":0}"#, "--yes"];
    assert_eq!(terminal.json(&edited).await["replayed"], 1);
    becomes(&terminal, &dead[0], "succeeded").await;
    assert_eq!(
        terminal.json(&["dead", "discard", &dead[1], "--reason", "known", "--yes"]).await["discarded"],
        1
    );
    assert_eq!(terminal.json(&["dead", "replay", "--all", "--yes"]).await["replayed"], 1);
    becomes(&terminal, &dead[2], "dead").await;
    assert_eq!(
        terminal.json(&["dead", "discard", "--all", "--reason", "enough", "--yes"]).await["discarded"],
        1
    );
    assert!(terminal.ok(&["dead", "groups"]).await.out.contains("no dead letters"));

    terminal.db.as_ref().unwrap().all_ended(Duration::from_secs(30)).await;
    let fleet = terminal.json(&["workers"]).await;
    assert_eq!(fleet["workers"][0]["state"], "running");
    assert_eq!(worker.terminate().await, Some(0));
    assert_eq!(terminal.json(&["workers"]).await["workers"][0]["state"], "stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_obey_the_platform_and_an_organisation() {
    let terminal = Terminal::new().await;
    let lane = |all: Value| {
        all["lanes"].as_array().unwrap().iter().find(|lane| lane["lane"] == "bulk").unwrap().clone()
    };
    terminal.ok(&["lanes", "pause", "bulk"]).await;
    assert_eq!(lane(terminal.json(&["lanes"]).await)["mode"], "paused");
    assert!(terminal.ok(&["lanes", "open", "bulk"]).await.out.contains("within a second"));
    terminal.ok(&["lanes", "drain", "bulk", "--org", "acme"]).await;
    let seen = lane(terminal.json(&["lanes", "list", "--org", "acme"]).await);
    assert_eq!((&seen["mode"], &seen["org_mode"]), (&json!("open"), &json!("draining")));
    terminal.ok(&["lanes", "set", "bulk", "--concurrency", "3", "--org-cap", "7"]).await;
    let seen = lane(terminal.json(&["lanes"]).await);
    assert_eq!((&seen["concurrency"], &seen["org_cap"]), (&json!(3), &json!(7)));
    terminal.ok(&["lanes", "set", "bulk", "--no-org-cap"]).await;
    assert_eq!(lane(terminal.json(&["lanes"]).await)["org_cap"], Value::Null);
    for (arguments, code) in [
        (vec!["lanes", "pause", "nope"], 1),
        (vec!["lanes", "set", "bulk"], 2),
        (vec!["lanes", "set", "bulk", "--org", "acme", "--concurrency", "3"], 2),
        (vec!["lanes", "set", "bulk", "--concurrency", "0"], 1),
    ] {
        assert_eq!(terminal.run(&arguments).await.code, Some(code), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_tokens_are_made_listed_and_taken_away() {
    let terminal = Terminal::new().await;
    terminal.ok(&["limits", "set", "webhooks.endpoint", "--units", "50"]).await;
    let own = [
        "limits",
        "set",
        "webhooks.endpoint",
        "--key",
        "example.com:443",
        "--units",
        "5",
        "--per",
        "1m",
        "--org",
        "acme",
    ];
    let rate = terminal.json(&own).await["rate_limit_id"].as_str().unwrap().to_owned();
    assert_eq!(terminal.json(&["limits", "list"]).await["limits"].as_array().unwrap().len(), 1);
    let limits = terminal.json(&["limits", "list", "--org", "acme"]).await;
    assert_eq!(limits["limits"].as_array().unwrap().len(), 2);
    let dry = terminal.run(&["limits", "remove", &rate, "--org", "acme"]).await;
    assert!(dry.code == Some(2) && dry.out.contains("would remove"), "{}{}", dry.out, dry.err);
    terminal.ok(&["limits", "remove", &rate, "--org", "acme", "--yes"]).await;
    let gone = terminal.run(&["limits", "remove", &rate, "--org", "acme", "--yes"]).await;
    assert_eq!(gone.code, Some(1));
    let others = terminal.run(&["limits", "remove", "webhooks.endpoint", "--org", "acme", "--yes"]).await;
    assert!(others.code == Some(1) && others.err.contains("leave --org out"), "{}", others.err);

    // The platform's own: by name, by name and bucket, by id.
    terminal.ok(&["limits", "set", "webhooks.endpoint", "--key", "a:1", "--units", "5"]).await;
    let two = terminal.run(&["limits", "remove", "webhooks.endpoint", "--yes"]).await;
    assert!(two.code == Some(2) && two.err.contains("--key"), "{}", two.err);
    terminal.ok(&["limits", "remove", "webhooks.endpoint", "--key", "a:1", "--yes"]).await;
    terminal.ok(&["limits", "remove", "webhooks.endpoint", "--yes"]).await;
    let again = terminal.json(&["limits", "set", "webhooks.endpoint", "--units", "50"]).await;
    let id = again["rate_limit_id"].as_str().unwrap();
    assert_eq!(terminal.json(&["limits", "remove", id, "--yes"]).await["removed"], true);
    assert!(terminal.json(&["limits", "list"]).await["limits"].as_array().unwrap().is_empty());

    let made = terminal
        .json(&["token", "create", "--name", "ci", "--scopes", "jobs:read", "--expires-days", "3"])
        .await;
    assert!(made["token"].as_str().unwrap().starts_with("cst_"));
    let id = made["token_id"].as_str().unwrap();
    let listed = terminal.ok(&["token", "list"]).await.out;
    assert!(listed.contains("ci") && !listed.contains("cst_"), "{listed}");
    let dry = terminal.run(&["token", "revoke", id]).await;
    assert!(dry.code == Some(2) && dry.out.contains("ci"), "{}{}", dry.out, dry.err);
    assert!(terminal.json(&["token", "list"]).await["tokens"][0]["revoked_at"].is_null());
    terminal.ok(&["token", "revoke", id, "--yes"]).await;
    assert!(terminal.ok(&["token", "revoke", id]).await.out.contains("was revoked already"));
    assert!(terminal.json(&["token", "list"]).await["tokens"][0]["revoked_at"].is_string());
    assert_eq!(terminal.run(&["token", "create", "--scopes", "jobs:reed"]).await.code, Some(2));

    let secret = terminal.ok(&["webhook-secret", "https://example.com/hook"]).await;
    assert!(secret.line().starts_with("whsec_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_lives_and_a_scheduler_fires_it() {
    let terminal = Terminal::new().await;
    let made =
        terminal.json(&["schedule", "add", "pulse", "@every 1s", "system.noop", "--payload", "{}"]).await;
    assert_eq!(made["name"], "pulse");
    let ticks = terminal.json(&["schedule", "ticks", "pulse", "-n", "4"]).await;
    assert_eq!(ticks["ticks"].as_array().unwrap().len(), 4);
    let scheduler = terminal.start(&["scheduler"]);
    testkit::eventually(Duration::from_secs(20), || async {
        terminal.json(&["schedule", "list"]).await["schedules"][0]["last_tick_at"].is_string()
    })
    .await;
    terminal.ok(&["schedule", "pause", "pulse"]).await;
    assert_eq!(terminal.json(&["schedule", "list"]).await["schedules"][0]["paused"], true);
    let run = terminal.json(&["schedule", "run-now", "pulse"]).await;
    assert_eq!(state(&terminal, run["job_id"].as_str().unwrap()).await, "queued");
    assert_eq!(
        terminal.json(&["schedule", "resume", made["schedule_id"].as_str().unwrap()]).await["paused"],
        false
    );
    let dry = terminal.run(&["schedule", "remove", "pulse"]).await;
    assert!(dry.code == Some(2) && dry.out.contains("would remove pulse"), "{}{}", dry.out, dry.err);
    terminal.ok(&["schedule", "remove", "pulse", "--yes"]).await;
    assert_eq!(terminal.run(&["schedule", "pause", "pulse"]).await.code, Some(1));
    let refused = terminal
        .run(&["schedule", "add", "bad", "61 * * * *", "system.noop", "--zone", "Europe/Madird"])
        .await;
    assert!(refused.err.contains("expression") && refused.err.contains("zone"), "{}", refused.err);
    assert_eq!(scheduler.terminate().await, Some(0));
}
