//! Mail over real sockets on loopback: to the sandbox's catcher, which is strict and can misbehave, and to
//! aiosmtpd, which knows nothing of ours.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aiosmtpd;
mod faults;
mod mails;
mod secrets;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use domain::mail::{Mail, MailFault};
use providers::smtp::{SmtpClient, SmtpConfig};
use sandbox::smtp::{CatcherOptions, MailCatcher};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const FROM: &str = "Countersign <no-reply@countersign.example>";

fn mail(to: &str) -> Mail {
    Mail {
        message_id: "0197c1.reset.1@countersign.example".to_owned(),
        to: to.to_owned(),
        to_name: Some("Zoë Müller".to_owned()),
        subject: "Set a new password".to_owned(),
        text: "Open this: https://countersign.example/reset#abc\n".to_owned(),
        html: "<p>Open <a href=\"https://countersign.example/reset#abc\">this</a></p>\n".to_owned(),
        language: "en".to_owned(),
    }
}

async fn catcher() -> MailCatcher {
    MailCatcher::start(LOOPBACK, None).await.unwrap()
}

async fn catcher_with(options: CatcherOptions) -> MailCatcher {
    MailCatcher::start_with(LOOPBACK, None, options).await.unwrap()
}

fn config(url: &str) -> SmtpConfig {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    SmtpConfig { timeout: Duration::from_secs(10), ..SmtpConfig::new(url, FROM).unwrap() }
}

fn client(url: &str) -> SmtpClient {
    SmtpClient::new(config(url)).unwrap()
}

fn hurried(url: &str) -> SmtpClient {
    SmtpClient::new(SmtpConfig { timeout: Duration::from_secs(1), ..config(url) }).unwrap()
}

async fn fault(client: &SmtpClient, to: &str) -> MailFault {
    client.send(&mail(to)).await.unwrap_err()
}
