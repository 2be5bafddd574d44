//! A login that fails names the cause and not the password.

use domain::mail::MailFault;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::{LOOPBACK, client, config, mail};

const PLANTED: &str = "planted-7f3a";

/// A server that offers these logins and answers each with this.
async fn server(offers: &'static str, answer: &'static str) -> String {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 mail.example\r\n").await.unwrap();
            let mut line = String::new();
            while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
                let reply = match line.split(' ').next().unwrap().trim() {
                    "EHLO" => format!("250-mail.example\r\n250 {offers}\r\n"),
                    "AUTH" => answer.to_owned(),
                    "QUIT" => "221 bye\r\n".to_owned(),
                    _ => "530 5.7.0 authentication required\r\n".to_owned(),
                };
                if stream.write_all(reply.as_bytes()).await.is_err() {
                    break;
                }
                line.clear();
            }
        }
    });
    format!("smtp://{PLANTED}-user:{PLANTED}@{address}")
}

#[tokio::test]
async fn a_refused_login_is_about_us_and_can_be_put_right() {
    for (offers, answer, says) in [
        ("AUTH PLAIN LOGIN", "535 5.7.8 no\r\n", "COUNTERSIGN_SMTP_URL: 535 5.7.8 no"),
        ("AUTH GSSAPI", "", "offers no login"),
        ("AUTH PLAIN", "235 ok\r\n", "COUNTERSIGN_SMTP_URL: 530 5.7.0"),
    ] {
        let url = server(offers, answer).await;
        let client = client(&url);
        let fault = client.send(&mail("zoe@example.com")).await.unwrap_err();
        assert!(matches!(fault, MailFault::Unreachable { code: "auth", .. }), "{offers}: {fault:?}");
        let shown = format!("{fault} {fault:?} {client:?} {:?}", config(&url));
        assert!(shown.contains(says), "{shown}");
        assert!(!shown.contains(PLANTED), "{shown}");
    }
}

/// lettre's own log lines repeat the conversation, the login among it; its `tracing` feature must stay off.
#[test]
fn lettre_cannot_log() {
    let listed = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal,features",
            "--invert",
            "lettre",
            "--workspace",
        ])
        .output()
        .unwrap();
    let tree = String::from_utf8_lossy(&listed.stdout);
    assert!(tree.contains("smtp-transport"), "{}", String::from_utf8_lossy(&listed.stderr));
    assert!(!tree.contains("lettre feature \"tracing\""), "{tree}");
}
