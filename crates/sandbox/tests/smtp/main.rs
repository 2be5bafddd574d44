//! The mail catcher as clients meet it: by hand, byte for byte, and with a client that is not ours.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conversation;
mod faults;
mod files;
mod smtplib;

use std::net::SocketAddr;
use std::time::Duration;

use sandbox::smtp::{CatcherOptions, MailCatcher};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

async fn catcher() -> MailCatcher {
    MailCatcher::start(LOOPBACK, None).await.unwrap()
}

async fn catcher_with(options: CatcherOptions) -> MailCatcher {
    MailCatcher::start_with(LOOPBACK, None, options).await.unwrap()
}

/// A client that says exactly what it is told to.
struct Hand {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Hand {
    async fn reach(catcher: &MailCatcher) -> Self {
        let (reader, writer) = TcpStream::connect(catcher.address()).await.unwrap().into_split();
        Self { reader: BufReader::new(reader), writer }
    }

    /// Greeted, and past EHLO.
    async fn ready(catcher: &MailCatcher) -> Self {
        let mut hand = Self::reach(catcher).await;
        assert_eq!(hand.code().await, 220);
        assert_eq!(hand.ask("EHLO client.example").await, 250);
        hand
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.writer.write_all(bytes.as_ref()).await.unwrap();
    }

    async fn ask(&mut self, line: &str) -> u16 {
        self.send(format!("{line}\r\n")).await;
        self.code().await
    }

    /// The code of the next whole answer; 0 when the connection has ended.
    async fn code(&mut self) -> u16 {
        self.answer().await.0
    }

    async fn answer(&mut self) -> (u16, Vec<String>) {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = timeout(Duration::from_secs(10), self.reader.read_line(&mut line));
            if read.await.expect("an answer in time").unwrap_or(0) == 0 {
                return (0, lines);
            }
            assert!(line.ends_with("\r\n"), "{line:?}");
            lines.push(line[4..].trim_end().to_owned());
            if &line[3..4] == " " {
                return (line[..3].parse().unwrap(), lines);
            }
        }
    }

    async fn envelope(&mut self, to: &str) -> u16 {
        assert_eq!(self.ask("MAIL FROM:<a@example.com>").await, 250);
        self.ask(&format!("RCPT TO:<{to}>")).await
    }

    /// A mail with these bytes after DATA, which bring their own end.
    async fn mail(&mut self, to: &str, bytes: impl AsRef<[u8]>) -> u16 {
        assert_eq!(self.envelope(to).await, 250);
        assert_eq!(self.ask("DATA").await, 354);
        self.send(bytes).await;
        self.code().await
    }
}
