//! The mail that leaves a development machine goes no further than this: caught, kept as files, announced.
//!
//! A mail's link signs somebody in, so what is printed is where the mail is, not what is in it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use sandbox::smtp::{CaughtMail, MailCatcher};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use super::console::Console;
use super::home::Home;

const DIM: u8 = 2;

/// Catches mail until it is dropped.
pub(super) struct Mails {
    catcher: MailCatcher,
}

impl Mails {
    /// Listens on a free loopback port.
    pub(super) async fn start(home: &Home, console: &Console) -> anyhow::Result<Self> {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let catcher =
            MailCatcher::start(anywhere, Some(home.mail())).await.context("mail can't be caught")?;
        let mut news = catcher.subscribe();
        let (console, base) = (console.clone(), home.base().to_owned());
        tokio::spawn(async move {
            loop {
                match news.recv().await {
                    Ok(mail) => announce(&console, &base, &mail),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        });
        Ok(Self { catcher })
    }

    /// Where workers hand mail over.
    pub(super) fn url(&self) -> String {
        self.catcher.url()
    }
}

fn announce(console: &Console, base: &std::path::Path, mail: &Arc<CaughtMail>) {
    let file = mail.file.as_deref().map(|file| file.strip_prefix(base).unwrap_or(file).display().to_string());
    let file = file.unwrap_or_default();
    let to = mail.to.join(", ");
    // A subject holds what people wrote: no control character of theirs reaches the terminal.
    let subject: String = mail.subject.chars().filter(|c| !c.is_control()).take(120).collect();
    let event = json!({ "event": "mail", "to": mail.to, "subject": subject, "file": file });
    let where_to = console.paint(&format!("({file})"), DIM);
    console.event(&event, &format!("✉ mail to {to}: {subject} {where_to}"));
}
