//! What is refused, each with one sentence that says what to do: no stack trace, no secret.

use crate::terminal::Terminal;

fn is_a_sentence(err: &str) {
    let first = err.lines().next().unwrap_or_default();
    assert!(first.starts_with("countersign: ") || first.starts_with("error: "), "{err}");
    for word in ["panicked", "RUST_BACKTRACE", "hunter2", "Stack"] {
        assert!(!err.contains(word), "{err}");
    }
}

#[tokio::test]
async fn settings_that_can_not_be_meant_end_with_code_1() {
    for (settings, says) in [
        (vec![], "start `make up`"),
        (vec![("DATABASE_URL", "nonsense:hunter2")], "DATABASE_URL is no PostgreSQL address"),
        (vec![("REDIS_URL", "redis://:hunter2@127.0.0.1:1")], "set both or none"),
        (
            vec![
                ("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:9/d"),
                ("REDIS_URL", "redis://127.0.0.1:9"),
            ],
            "PostgreSQL at 127.0.0.1:9 does not answer",
        ),
        (vec![("COUNTERSIGN_LOG_FORMAT", "xml")], "COUNTERSIGN_LOG_FORMAT"),
    ] {
        let mut terminal = Terminal::bare();
        settings.iter().for_each(|(name, value)| terminal.set(name, value));
        let ended = terminal.run(&["jobs", "list"]).await;
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        assert!(ended.err.contains(says), "{}", ended.err);
        is_a_sentence(&ended.err);
        let ended = terminal.run(&["jobs", "list", "--json"]).await;
        let error: serde_json::Value = serde_json::from_str(&ended.err).unwrap();
        assert!(error["error"].as_str().unwrap().contains(says) && ended.out.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_or_fit_is_named() {
    let terminal = Terminal::new().await;
    let nobody = "01890000-0000-7000-8000-000000000000";
    for (arguments, code, says) in [
        (vec!["jobs", "frob"], 2, "unrecognized subcommand"),
        (vec!["jobs", "list", "--state", "asleep"], 2, "asleep"),
        (vec!["jobs", "list", "--since", "yesterday"], 2, "2026-05-01T12:00:00Z"),
        (vec!["jobs", "list", "--org", "nobody"], 1, "--create-org"),
        (vec!["jobs", "show", nobody], 1, "no such job"),
        (vec!["jobs", "show", "7"], 2, "36 characters"),
        (vec!["enqueue", "system.ecoh"], 1, "system.echo"),
        (vec!["enqueue", "system.echo", "--payload", "{"], 2, "no JSON"),
        (vec!["enqueue", "system.echo", "--payload", "@missing.json"], 1, "missing.json"),
        (vec!["enqueue", "system.echo", "--payload", r#"{"mesage":"x"}"#], 1, "mesage"),
        (vec!["enqueue", "system.noop", "--lane", "fast"], 1, "critical"),
        (vec!["enqueue", "system.noop", "--priority", "101"], 1, "-100 and 100"),
        (vec!["enqueue", "system.noop", "--at", "800d"], 1, "run_at"),
        (vec!["dead", "replay", "--yes"], 2, "--all"),
        (vec!["dead", "replay", nobody, "--all"], 2, "--all"),
        (vec!["dead", "discard", nobody, "--reason", "x"], 1, "no such job"),
        (vec!["limits", "set", "Webhooks", "--units", "1"], 1, "name"),
        (vec!["limits", "remove", "nonsense"], 1, "or the limit's name"),
        (vec!["limits", "remove", nobody, "--org", "acme"], 1, "or the limit's name"),
        (vec!["worker", "--lanes", "fast"], 1, "no lane"),
        (vec!["token", "revoke", nobody], 1, "no such token"),
    ] {
        let ended = terminal.run(&arguments).await;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}{}", ended.out, ended.err);
        assert!(ended.err.contains(says), "{arguments:?}: {}", ended.err);
        if arguments[0] != "worker" {
            is_a_sentence(&ended.err);
        }
    }
}
