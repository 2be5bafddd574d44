//! An independent mail server: aiosmtpd, with Python's own mail parser as the judge of what arrived.
//! `COUNTERSIGN_AIOSMTPD` names a Python that has it; `make test` installs one.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use domain::mail::{Mail, MailFault};
use providers::smtp::{SmtpClient, SmtpConfig};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::{config, mail};

struct Server {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
    pem: String,
    _scratch: tempfile::TempDir,
}

impl Server {
    /// Starts one; `None` where there is no aiosmtpd.
    async fn start(mode: &str) -> Option<Self> {
        let Some(python) = std::env::var_os("COUNTERSIGN_AIOSMTPD").filter(|path| !path.is_empty()) else {
            eprintln!("not checked: aiosmtpd");
            return None;
        };
        let scratch = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (scratch.path().join("cert.pem"), scratch.path().join("key.pem"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/smtp/server.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(mode)
            .args([cert, key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = timeout(Duration::from_secs(20), lines.next_line()).await.unwrap().unwrap().unwrap();
        let pem = made.cert.pem();
        Some(Self { _child: child, lines, port: port.parse().unwrap(), pem, _scratch: scratch })
    }

    fn client(&self, url: &str) -> SmtpClient {
        let url = url.replace("PORT", &self.port.to_string());
        SmtpClient::new(SmtpConfig { extra_roots_pem: self.pem.as_bytes().to_vec(), ..config(&url) }).unwrap()
    }

    /// What Python read from the next mail.
    async fn read(&mut self) -> serde_json::Value {
        let line = timeout(Duration::from_secs(10), self.lines.next_line()).await.unwrap().unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

#[tokio::test]
async fn a_mail_reads_the_same_in_python() {
    let Some(mut server) = Server::start("plain").await else { return };
    let client = server.client("smtp://127.0.0.1:PORT/worker.example");
    let sent = Mail {
        to_name: Some("Łukasz, \"Ł\" 山田".to_owned()),
        subject: format!("パスワード 🔑 {}", "Größenänderung ".repeat(18)).trim().to_owned(),
        text: format!(".\n..\nلغة\n{}\n", "é".repeat(3000)),
        html: format!("<p>नमस्ते</p>\n.\n{}\n", "<b>y</b>".repeat(2000)),
        language: "pt-BR".to_owned(),
        ..mail("用户@例え.jp")
    };
    client.send(&sent).await.unwrap();
    let read = server.read().await;
    assert_eq!(read["peer_name"], "worker.example");
    assert_eq!(read["options"], serde_json::json!(["SMTPUTF8"]));
    assert_eq!(read["envelope_from"], "no-reply@countersign.example");
    assert_eq!(read["envelope_to"], serde_json::json!(["用户@xn--r8jz45g.jp"]));
    assert_eq!(read["subject"], sent.subject);
    assert_eq!(read["to_name"], sent.to_name.unwrap());
    assert_eq!(read["to_address"], "用户@xn--r8jz45g.jp");
    assert_eq!(read["message_id"], "<0197c1.reset.1@countersign.example>");
    assert_eq!(read["auto_submitted"], "auto-generated");
    assert_eq!(read["language"], "pt-BR");
    assert_eq!(read["type"], "multipart/alternative");
    assert_eq!(read["charsets"], serde_json::json!(["utf-8", "utf-8"]));
    assert_eq!(read["text"], sent.text);
    assert_eq!(read["html"], sent.html);
    assert_eq!(read["defects"], serde_json::json!([]));
}

#[tokio::test]
async fn starttls_and_login_are_used_where_they_are_required() {
    let Some(mut server) = Server::start("starttls").await else { return };
    let url = "smtp://us%40er:p%3Ass@localhost:PORT?tls=required";
    for _ in 0..2 {
        server.client(url).send(&mail("zoe@example.com")).await.unwrap();
        let read = server.read().await;
        assert_eq!((read["tls"].as_bool(), read["login"].as_str()), (Some(true), Some("us@er")));
    }
    server.client(&url.replace("required", "opportunistic")).send(&mail("zoe@example.com")).await.unwrap();
    assert_eq!(server.read().await["tls"], true);

    for (url, code) in [
        // No TLS: the server says 530 to the sender.
        ("smtp://localhost:PORT", "auth"),
        ("smtp://us%40er:wrong@localhost:PORT?tls=required", "auth"),
        // The certificate is for localhost.
        ("smtp://us%40er:p%3Ass@127.0.0.1:PORT?tls=required", "tls"),
    ] {
        let fault = server.client(url).send(&mail("zoe@example.com")).await.unwrap_err();
        assert!(
            matches!(&fault, MailFault::Unreachable { code: seen, .. } if *seen == code),
            "{url}: {fault:?}"
        );
        assert!(!format!("{fault:?}").contains("wrong"), "{fault:?}");
    }
}
