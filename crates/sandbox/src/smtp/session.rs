//! One conversation with one client: the order of commands, the limits, the faults.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::catcher::CatcherOptions;
use super::command::{Command, Mail};
use super::fault::Fault;
use super::keep::{CaughtMail, Keep};
use super::wire::{Line, Reply, read_line};

/// The standard says 512 and lets extensions add to it.
const MAX_COMMAND_BYTES: usize = 1024;
/// Longest line of a mail, with its CRLF.
const MAX_TEXT_LINE_BYTES: usize = 1000;
const MAX_RECIPIENTS: usize = 100;
const MAX_COMMANDS: u32 = 10_000;
const MAX_MISTAKES: u32 = 20;

/// Goes on, or ends the conversation.
type Next = io::Result<ControlFlow<()>>;

pub(super) struct Session {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    keep: Arc<Keep>,
    options: Arc<CatcherOptions>,
    greeted: bool,
    mail: Option<Mail>,
    to: Vec<String>,
    mistakes: u32,
}

impl Session {
    pub(super) fn new(stream: TcpStream, keep: Arc<Keep>, options: Arc<CatcherOptions>) -> Self {
        // Answers are short; waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.into_split();
        let reader = BufReader::new(reader);
        Self { reader, writer, keep, options, greeted: false, mail: None, to: Vec::new(), mistakes: 0 }
    }

    /// Talks until either side ends it.
    pub(super) async fn run(mut self) -> io::Result<()> {
        self.say(Reply::new(220, "sandbox.localhost ESMTP catches mail and delivers none")).await?;
        for _ in 0..MAX_COMMANDS {
            let next = match self.line(MAX_COMMAND_BYTES).await? {
                None => {
                    self.say(Reply::new(421, "4.4.2 silent for too long")).await?;
                    break;
                }
                Some(Line::Gone) => break,
                Some(Line::TooLong) => self.mistake(Reply::new(500, "5.5.2 line too long")).await?,
                Some(Line::BadEnd) => self.mistake(Reply::new(500, "5.5.2 lines end with CRLF")).await?,
                Some(Line::Whole(line)) => match Command::parse(&line) {
                    Ok(command) => self.obey(command).await?,
                    Err(reply) => self.mistake(reply).await?,
                },
            };
            if next.is_break() {
                break;
            }
        }
        self.writer.shutdown().await
    }

    async fn obey(&mut self, command: Command) -> Next {
        match command {
            Command::Ehlo => {
                self.hello();
                self.answer(self.extensions()).await
            }
            Command::Helo => {
                self.hello();
                self.answer(Reply::new(250, "sandbox.localhost")).await
            }
            Command::Noop => self.answer(Reply::new(250, "2.0.0 ok")).await,
            Command::Rset => {
                self.reset();
                self.answer(Reply::new(250, "2.0.0 forgotten")).await
            }
            Command::Vrfy => self.answer(Reply::new(252, "2.1.5 send it and see")).await,
            Command::Help => self.answer(Reply::new(214, "2.0.0 RFC 5321")).await,
            Command::Quit => {
                self.say(Reply::new(221, "2.0.0 bye")).await?;
                Ok(ControlFlow::Break(()))
            }
            Command::Mail(mail) => self.sender(mail).await,
            Command::Rcpt(to) => self.recipient(to).await,
            Command::Data => self.data().await,
        }
    }

    fn hello(&mut self) {
        self.greeted = true;
        self.reset();
    }

    fn reset(&mut self) {
        self.mail = None;
        self.to.clear();
    }

    fn extensions(&self) -> Reply {
        let mut lines = vec![
            "sandbox.localhost".to_owned(),
            format!("SIZE {}", self.options.mail_bytes),
            "8BITMIME".to_owned(),
            "PIPELINING".to_owned(),
            "ENHANCEDSTATUSCODES".to_owned(),
        ];
        if self.options.smtputf8 {
            lines.push("SMTPUTF8".to_owned());
        }
        Reply { code: 250, lines }
    }

    async fn sender(&mut self, mail: Mail) -> Next {
        if !self.greeted {
            return self.mistake(Reply::new(503, "5.5.1 say EHLO first")).await;
        }
        if self.mail.is_some() {
            return self.mistake(Reply::new(503, "5.5.1 one sender at a time; RSET forgets")).await;
        }
        if mail.smtputf8 && !self.options.smtputf8 {
            return self.mistake(Reply::new(555, "5.5.4 SMTPUTF8 is not supported")).await;
        }
        if !mail.smtputf8 && !mail.from.is_ascii() {
            return self.mistake(Reply::new(553, "5.6.7 this address needs SMTPUTF8")).await;
        }
        if mail.size.is_some_and(|size| size > self.options.mail_bytes) {
            return self.answer(self.too_large()).await;
        }
        self.mail = Some(mail);
        self.answer(Reply::new(250, "2.1.0 ok")).await
    }

    async fn recipient(&mut self, to: String) -> Next {
        let Some(mail) = &self.mail else {
            return self.mistake(Reply::new(503, "5.5.1 say MAIL first")).await;
        };
        if !mail.smtputf8 && !to.is_ascii() {
            return self.mistake(Reply::new(553, "5.6.7 this address needs SMTPUTF8")).await;
        }
        if self.to.len() >= MAX_RECIPIENTS {
            return self.answer(Reply::new(452, "4.5.3 too many recipients")).await;
        }
        match Fault::of(&to) {
            Some(Fault::Reject(code)) => {
                return self.answer(Reply::new(code, "5.1.1 nobody here by that name")).await;
            }
            Some(Fault::Defer(code)) => {
                self.say(Reply::new(code, "4.7.1 not now, try again later")).await?;
                return Ok(if code == 421 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
            }
            Some(Fault::Hang) => return self.hang().await,
            Some(Fault::Drop) => return Ok(ControlFlow::Break(())),
            Some(Fault::Slow(delay)) => tokio::time::sleep(delay).await,
            Some(Fault::Data(_) | Fault::HangAfterData | Fault::DropAfterData) | None => {}
        }
        self.to.push(to);
        self.answer(Reply::new(250, "2.1.5 ok")).await
    }

    async fn data(&mut self) -> Next {
        if self.mail.is_none() || self.to.is_empty() {
            return self.mistake(Reply::new(503, "5.5.1 say MAIL and RCPT first")).await;
        }
        self.say(Reply::new(354, "go ahead, end with a dot on a line of its own")).await?;
        let raw = match self.text().await? {
            Text::Whole(raw) => raw,
            Text::Bad(reply) => {
                self.reset();
                return self.mistake(reply).await;
            }
            Text::Broken => return Ok(ControlFlow::Break(())),
        };
        let faults: Vec<Fault> = self.to.iter().filter_map(|to| Fault::of(to)).collect();
        let from = self.mail.take().unwrap_or_default().from;
        let to = std::mem::take(&mut self.to);
        for fault in &faults {
            match fault {
                Fault::Data(code) => {
                    let class = code / 100;
                    return self.answer(Reply::new(*code, format!("{class}.6.0 not this mail"))).await;
                }
                Fault::Slow(delay) => tokio::time::sleep(*delay).await,
                _ => {}
            }
        }
        let number = match self.keep.keep(CaughtMail::read(from, to, raw)).await {
            Ok(number) => number,
            Err(error) => {
                tracing::warn!(%error, "a caught mail could not be written");
                return self.answer(Reply::new(451, "4.3.0 the mail could not be written")).await;
            }
        };
        if faults.contains(&Fault::DropAfterData) {
            return Ok(ControlFlow::Break(()));
        }
        if faults.contains(&Fault::HangAfterData) {
            return self.hang().await;
        }
        self.answer(Reply::new(250, format!("2.0.0 caught as {number}"))).await
    }

    /// Reads a mail up to its dot, with doubled dots made single.
    async fn text(&mut self) -> io::Result<Text> {
        let max = self.options.mail_bytes;
        let (mut raw, mut bad, mut seen) = (Vec::new(), None, 0_usize);
        // A dot ends the mail only where the line before it ended with CRLF.
        let mut after_crlf = true;
        loop {
            let line = self.line(MAX_TEXT_LINE_BYTES).await?;
            let ended_well = !matches!(line, Some(Line::BadEnd));
            match line {
                None => {
                    self.say(Reply::new(421, "4.4.2 silent for too long")).await?;
                    return Ok(Text::Broken);
                }
                Some(Line::Gone) => return Ok(Text::Broken),
                Some(Line::TooLong) => {
                    seen += MAX_TEXT_LINE_BYTES;
                    bad.get_or_insert_with(|| Reply::new(554, "5.6.0 a line is longer than 1000 bytes"));
                }
                Some(Line::BadEnd) => {
                    seen += 1;
                    bad.get_or_insert_with(|| Reply::new(554, "5.6.0 lines end with CRLF"));
                }
                Some(Line::Whole(line)) if line == b"." && after_crlf => break,
                Some(Line::Whole(line)) => {
                    seen += line.len() + 2;
                    if seen <= max {
                        raw.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
                        raw.extend_from_slice(b"\r\n");
                    }
                }
            }
            after_crlf = ended_well;
            // Nobody is listened to for ever.
            if seen > max.saturating_mul(4) {
                self.say(self.too_large()).await?;
                return Ok(Text::Broken);
            }
        }
        if seen > max {
            bad.get_or_insert_with(|| self.too_large());
        }
        Ok(bad.map_or(Text::Whole(raw), Text::Bad))
    }

    fn too_large(&self) -> Reply {
        Reply::new(552, format!("5.3.4 more than {} bytes", self.options.mail_bytes))
    }

    /// Says nothing until the client gives up.
    async fn hang(&mut self) -> Next {
        loop {
            match self.line(MAX_COMMAND_BYTES).await? {
                None | Some(Line::Gone) => return Ok(ControlFlow::Break(())),
                Some(_) => {}
            }
        }
    }

    /// The next line; `None` when the client has been silent for too long.
    async fn line(&mut self, max: usize) -> io::Result<Option<Line>> {
        match timeout(self.options.idle, read_line(&mut self.reader, max)).await {
            Ok(line) => line.map(Some),
            Err(_) => Ok(None),
        }
    }

    async fn mistake(&mut self, reply: Reply) -> Next {
        self.mistakes += 1;
        if self.mistakes > MAX_MISTAKES {
            self.say(Reply::new(421, "4.7.0 too many mistakes")).await?;
            return Ok(ControlFlow::Break(()));
        }
        self.answer(reply).await
    }

    async fn answer(&mut self, reply: Reply) -> Next {
        self.say(reply).await.map(|()| ControlFlow::Continue(()))
    }

    async fn say(&mut self, reply: Reply) -> io::Result<()> {
        // A client that does not read its answers would hold its place for ever.
        match timeout(self.options.idle, self.writer.write_all(reply.wire().as_bytes())).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// How reading a mail ended.
enum Text {
    Whole(Vec<u8>),
    /// Read to its end, but not acceptable.
    Bad(Reply),
    /// The conversation is over.
    Broken,
}
