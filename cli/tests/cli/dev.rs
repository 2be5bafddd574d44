//! `dev`, which `make up` runs: on a machine with nothing, from start to stop.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::terminal::{Terminal, free_port};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

/// Processes that work in the folder or name it: nobody may be left.
fn at_work_in(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let named = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let named = String::from_utf8_lossy(&named).replace('\0', " ");
        let works = std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
        if !named.is_empty() && (named.contains(folder) || works) {
            found.push(named);
        }
    }
    found
}

struct Dev {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Dev {
    fn start(terminal: &Terminal, arguments: &[&str]) -> Self {
        let arguments: Vec<&str> = ["dev", "--json"].iter().chain(arguments).copied().collect();
        let mut command = terminal.command(&arguments);
        // A test that fails must not leave the servers behind; the launcher cleans up when it is told to.
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads until an event of this name.
    async fn until(&mut self, name: &str) -> Value {
        let reading = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let event: Value = serde_json::from_str(&line).unwrap();
                if event["event"] == name {
                    return event;
                }
            }
            panic!("dev ended without “{name}”");
        };
        tokio::time::timeout(Duration::from_secs(120), reading)
            .await
            .unwrap_or_else(|_| panic!("no “{name}”"))
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().unwrap().try_into().unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }
}

fn terminal() -> Terminal {
    let mut terminal = Terminal::bare();
    terminal.set("COUNTERSIGN_LISTEN", &format!("127.0.0.1:{}", free_port()));
    terminal
}

#[tokio::test(flavor = "multi_thread")]
async fn it_delivers_verified_events_is_found_by_commands_and_leaves_nobody_behind() {
    let terminal = terminal();
    let mut dev = Dev::start(&terminal, &["--for", "10s"]);
    let ready = dev.until("ready").await;
    let delivered = dev.until("delivered").await;
    assert_eq!(delivered["verified"], true);

    let jobs = terminal.json(&["jobs", "list"]).await;
    assert_eq!(jobs["jobs"][0]["kind"], "webhooks.deliver");
    let second = terminal.run(&["dev"]).await;
    assert!(second.code == Some(1) && second.err.contains("runs here already"), "{}", second.err);
    let token =
        std::fs::read_to_string(terminal.folder().join(ready["token_file"].as_str().unwrap())).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/v1/jobs", ready["api"].as_str().unwrap());
    assert_eq!(client.get(url).bearer_auth(token.trim()).send().await.unwrap().status(), 200);

    dev.until("stopped").await;
    assert_eq!(dev.child.wait().await.unwrap().code(), Some(0));
    assert_eq!(at_work_in(terminal.folder()), Vec::<String>::new());

    // Again, in the same place: nothing is made twice.
    let people = std::fs::read_to_string(terminal.folder().join(".countersign/demo-people")).unwrap();
    let mut dev = Dev::start(&terminal, &["--no-demo", "--for", "1s"]);
    dev.until("ready").await;
    let again = std::fs::read_to_string(terminal.folder().join(".countersign/demo-token")).unwrap();
    assert_eq!(again, token);
    let same = std::fs::read_to_string(terminal.folder().join(".countersign/demo-people")).unwrap();
    assert_eq!(same, people);
    dev.until("stopped").await;
}

/// A signed-in person's client and the code for changes.
async fn signed_in(api: &str, email: &str, password: &str) -> (reqwest::Client, String, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = serde_json::json!({ "email": email, "password": password });
    let answer = client.post(format!("{api}/v1/auth/sign-in")).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{email}");
    let cookies = answer.headers().get_all("set-cookie").iter();
    let pairs: Vec<String> =
        cookies.map(|line| line.to_str().unwrap().split(';').next().unwrap().to_owned()).collect();
    let body: Value = answer.json().await.unwrap();
    (client, pairs.join("; "), body["csrf_token"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn its_people_sign_in_and_its_mail_is_caught() {
    let terminal = terminal();
    let mut dev = Dev::start(&terminal, &["--no-demo", "--workers", "1"]);
    let ready = dev.until("ready").await;
    let api = ready["api"].as_str().unwrap();
    let file = terminal.folder().join(ready["people_file"].as_str().unwrap());
    let mode = |path: &Path| {
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
    };
    assert_eq!(mode(&file), 0o600);
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let password = kept["password"].as_str().unwrap();
    for role in ["manager", "finance", "support", "auditor"] {
        signed_in(api, &format!("{role}@demo.test"), password).await;
    }
    let (client, cookie, csrf) = signed_in(api, "owner@demo.test", password).await;
    let invited = client
        .post(format!("{api}/v1/invitations"))
        .header("cookie", cookie)
        .header("x-csrf-token", csrf)
        .json(&serde_json::json!({ "email": "new@demo.test", "role": "support" }))
        .send()
        .await
        .unwrap();
    assert_eq!(invited.status(), 201);
    let mail = dev.until("mail").await;
    assert_eq!(
        (&mail["to"][0], &mail["subject"]),
        (&"new@demo.test".into(), &"You are invited to Demo".into())
    );
    assert!(!mail.to_string().contains("token="), "{mail}");
    let file = terminal.folder().join(mail["file"].as_str().unwrap());
    assert_eq!(mode(&file), 0o600);
    // Soft line ends may stand in the middle of the link.
    let text = std::fs::read_to_string(file).unwrap().replace("=\r\n", "");
    assert!(text.contains(&format!("{api}/invitation#token")), "{text}");
    dev.signal(nix::sys::signal::Signal::SIGINT);
    dev.until("stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_child_is_started_again_and_a_killed_launcher_takes_everybody_along() {
    let terminal = terminal();
    let mut dev = Dev::start(&terminal, &["--workers", "1"]);
    dev.until("delivered").await;
    let worker = terminal.json(&["workers"]).await["workers"][0]["pid"].as_i64().unwrap();
    let pid = nix::unistd::Pid::from_raw(worker.try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    assert_eq!(dev.until("restart").await["process"], "worker-1");
    dev.until("delivered").await;

    dev.signal(nix::sys::signal::Signal::SIGKILL);
    dev.child.wait().await.unwrap();
    testkit::eventually(Duration::from_secs(15), || async { at_work_in(terminal.folder()).is_empty() }).await;

    let mut dev = Dev::start(&terminal, &[]);
    dev.until("delivered").await;
    dev.signal(nix::sys::signal::Signal::SIGINT);
    dev.until("stopped").await;
    assert_eq!(dev.child.wait().await.unwrap().code(), Some(0));
    assert_eq!(at_work_in(terminal.folder()), Vec::<String>::new());
}
