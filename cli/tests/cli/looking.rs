//! Commands that look: each prints a table for people and one JSON document for programs.

use crate::terminal::Terminal;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_platform_has_something_to_say_for_every_list() {
    let terminal = Terminal::new().await;
    for (command, field) in [
        (vec!["jobs", "list"], "jobs"),
        (vec!["jobs", "list", "--search", "anything"], "jobs"),
        (vec!["lanes"], "lanes"),
        (vec!["lanes", "list", "--org", "acme"], "lanes"),
        (vec!["dead", "groups"], "groups"),
        (vec!["dead", "list"], "dead"),
        (vec!["schedule", "list"], "schedules"),
        (vec!["limits", "list"], "limits"),
        (vec!["limits", "list", "--org", "acme"], "limits"),
        (vec!["workers"], "workers"),
        (vec!["token", "list"], "tokens"),
    ] {
        assert!(!terminal.ok(&command).await.out.trim().is_empty(), "{command:?}");
        assert!(terminal.json(&command).await[field].is_array(), "{command:?}");
    }
    let lanes = terminal.json(&["lanes"]).await;
    assert_eq!(lanes["lanes"].as_array().unwrap().len(), 9);
    let table = terminal.ok(&["lanes"]).await.out;
    let widths: Vec<usize> = table.lines().map(|line| line.find("open").unwrap_or(10)).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_listed_found_and_shown_without_what_its_kind_hides() {
    let terminal = Terminal::new().await;
    let payload = json!({
        "url": "https://example.com/secret-path?token=hunter2",
        "event_type": "order.paid",
        "data": { "total": 12 },
    });
    let payload = payload.to_string();
    let made = terminal
        .json(&["enqueue", "webhooks.deliver", "--payload", &payload, "--key", "k1", "--at", "1h"])
        .await;
    assert_eq!(made["created"], true);
    let id = made["job_id"].as_str().unwrap();
    let again = terminal
        .json(&["enqueue", "webhooks.deliver", "--payload", &payload, "--key", "k1", "--at", "1h"])
        .await;
    assert_eq!((again["created"].as_bool(), again["job_id"].as_str()), (Some(false), Some(id)));

    let shown = terminal.json(&["jobs", "show", id]).await;
    assert_eq!((&shown["state"], &shown["waiting_on"]["what"]), (&json!("scheduled"), &json!("time")));
    assert!(!shown.to_string().contains("hunter2") && shown["timeline"].is_array());
    let page = terminal.ok(&["jobs", "show", id]).await.out;
    assert!(page.contains("webhooks.deliver@1") && !page.contains("hunter2"), "{page}");

    for (arguments, found) in [
        (vec!["--state", "scheduled,queued"], 1),
        (vec!["--state", "dead"], 0),
        (vec!["--key", "k1"], 1),
        (vec!["--search", "order.paid"], 1),
        (vec!["--search", "hunter2"], 0),
        (vec!["--lane", "bulk"], 0),
        (vec!["--kind", "webhooks.deliver", "--since", "5m"], 1),
        (vec!["--until", "5m"], 0),
    ] {
        let arguments: Vec<&str> = ["jobs", "list"].into_iter().chain(arguments).collect();
        let jobs = terminal.json(&arguments).await;
        assert_eq!(jobs["jobs"].as_array().unwrap().len(), found, "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other() {
    let terminal = Terminal::new().await;
    terminal.ok(&["enqueue", "system.noop", "--count", "5", "--at", "1h"]).await;
    let first = terminal.json(&["jobs", "list", "--limit", "3"]).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = terminal.json(&["jobs", "list", "--limit", "3", "--cursor", cursor]).await;
    assert_eq!((first["jobs"].as_array().unwrap().len(), second["jobs"].as_array().unwrap().len()), (3, 2));
    let refused = terminal.run(&["jobs", "list", "--cursor", "nonsense"]).await;
    assert!(refused.code == Some(1) && refused.err.contains("cursor"), "{}", refused.err);
}
