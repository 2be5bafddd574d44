//! Processes that serve: what they answer, and how they wait and leave.

use std::process::Stdio;
use std::time::Duration;

use crate::terminal::{Terminal, free_port};

async fn answers(terminal: &Terminal, url: &str) {
    testkit::eventually(Duration::from_secs(30), || async {
        terminal.run(&["probe", url]).await.code == Some(0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_and_scheduler_show_metrics_and_readiness() {
    let terminal = Terminal::new().await;
    for role in ["worker", "scheduler"] {
        let base = format!("127.0.0.1:{}", free_port());
        let process = terminal.start(&[role, "--metrics-listen", &base]);
        answers(&terminal, &format!("http://{base}/readyz")).await;
        answers(&terminal, &format!("http://{base}/healthz")).await;
        let page =
            reqwest::Client::builder().no_proxy().build().unwrap().get(format!("http://{base}/metrics"));
        let page = page.send().await.unwrap().text().await.unwrap();
        assert!(
            page.contains("countersign_queue_depth") && page.contains("countersign_workers_alive"),
            "{page}"
        );
        assert_eq!(process.terminate().await, Some(0), "{role}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_takes_a_job_with_a_token_of_ours() {
    let mut terminal = Terminal::new().await;
    let address = format!("127.0.0.1:{}", free_port());
    terminal.set("COUNTERSIGN_LISTEN", &address);
    let token = terminal.ok(&["token", "create"]).await.line().to_owned();
    let api = terminal.start(&["api"]);
    answers(&terminal, &format!("http://{address}/readyz")).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let job = serde_json::json!({ "kind": "system.echo", "payload": { "message": "hello" } });
    let answer =
        client.post(format!("http://{address}/v1/jobs")).bearer_auth(token).json(&job).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    assert_eq!(terminal.json(&["jobs", "list"]).await["jobs"][0]["kind"], "system.echo");
    let second = terminal.run(&["api"]).await;
    assert!(second.code == Some(1) && second.err.contains("COUNTERSIGN_LISTEN"), "{}", second.err);
    assert_eq!(api.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_a_worker_says_so_waits_and_leaves_when_told() {
    let mut terminal = Terminal::bare();
    terminal.set("DATABASE_URL", &format!("postgres://u:hunter2@127.0.0.1:{}/d", free_port()));
    terminal.set("REDIS_URL", "redis://127.0.0.1:1");
    let child = terminal.command(&["worker"]).spawn().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let pid = nix::unistd::Pid::from_raw(child.id().unwrap().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let output =
        tokio::time::timeout(Duration::from_secs(10), child.wait_with_output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.matches("waiting for PostgreSQL at 127.0.0.1").count(), 1, "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_leaves_when_its_launcher_is_gone() {
    let terminal = Terminal::new().await;
    let mut command = terminal.command(&["scheduler", "--until-stdin-closes"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(child.try_wait().unwrap().is_none());
    drop(child.stdin.take());
    tokio::time::timeout(Duration::from_secs(10), child.wait()).await.expect("it stays").unwrap();
}
