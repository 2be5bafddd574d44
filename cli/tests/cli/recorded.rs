//! What operators do inside an organisation is in its audit log, with whose shell it was.

use serde_json::{Value, json};

use crate::terminal::Terminal;

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_do_is_written_down_with_whose_shell_it_was() {
    let mut terminal = Terminal::new().await;
    terminal.set("USER", "ana");
    terminal.set("SUDO_USER", "");
    let made = terminal.json(&["enqueue", "system.noop", "--at", "1h"]).await;
    let job = made["job_id"].as_str().unwrap().to_owned();
    let superuser = terminal.db.as_ref().unwrap().superuser().clone();
    let dead = "INSERT INTO job_history (job_id, org_id, created_at, run_at, finished_at, claim_no, state, priority,
                                         kind_version, attempt, max_attempts, recoveries, kind, lane, error_code, payload)
                SELECT gen_random_uuid(), org_id, now(), now(), now(), 1, 'dead', 0, 1, 1, 1, 0, 'system.noop', 'default',
                       code, '{}' FROM org, unnest(ARRAY['one', 'two']) AS code WHERE slug = 'acme'";
    sqlx::query(dead).execute(&superuser).await.unwrap();
    for (arguments, action, said) in [
        (vec!["jobs", "retry", &job], "job.retry", None),
        (vec!["jobs", "cancel", &job, "--reason", "not today"], "job.cancel", Some("not today")),
        (vec!["dead", "replay", "--code", "one", "--yes"], "dead.replay", None),
        (
            vec!["dead", "discard", "--code", "two", "--reason", "no use", "--yes"],
            "dead.discard",
            Some("no use"),
        ),
        (vec!["lanes", "pause", "bulk", "--org", "acme"], "lane.pause", None),
        (vec!["lanes", "set", "bulk", "--org", "acme", "--org-cap", "7"], "lane.change", None),
        (vec!["limits", "set", "calls", "--units", "5", "--org", "acme"], "limit.set", None),
        (vec!["limits", "remove", "calls", "--org", "acme", "--yes"], "limit.delete", None),
        (vec!["schedule", "add", "nightly", "@daily", "system.noop"], "schedule.create", None),
        (vec!["schedule", "pause", "nightly"], "schedule.pause", None),
        (vec!["schedule", "run-now", "nightly"], "schedule.run_now", None),
        (vec!["schedule", "remove", "nightly", "--yes"], "schedule.delete", None),
    ] {
        terminal.ok(&arguments).await;
        let newest = "SELECT content FROM audit_entry WHERE action = $1 ORDER BY entry_id DESC LIMIT 1";
        let content: Option<String> =
            sqlx::query_scalar(newest).bind(action).fetch_optional(&superuser).await.unwrap();
        let entry: Value = serde_json::from_str(&content.unwrap_or_else(|| panic!("no {action}"))).unwrap();
        let reason = match said {
            Some(said) => format!("at the command line by ana: {said}"),
            None => "at the command line by ana".to_owned(),
        };
        assert_eq!((&entry["standing"], &entry["reason"]), (&json!("system"), &json!(reason)), "{entry}");
    }
}
