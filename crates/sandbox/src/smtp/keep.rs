//! What was caught: decoded for tests and people, and as files.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use mail_parser::MessageParser;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::broadcast;

/// Longest recipient in a file's name, in characters.
const MAX_NAME_CHARS: usize = 80;

/// One mail as it came in.
#[derive(Clone, Debug)]
pub struct CaughtMail {
    /// The envelope's sender; empty for a notice that wants no answer.
    pub from: String,
    /// The envelope's recipients, in the order they were named.
    pub to: Vec<String>,
    /// The subject, decoded; empty when there is none.
    pub subject: String,
    /// The plain text, decoded, or the HTML turned into text when there is no other.
    pub text: String,
    /// The HTML, decoded, or the text turned into HTML when there is no other.
    pub html: String,
    /// Every byte as sent, dots unstuffed.
    pub raw: Vec<u8>,
    /// When it was taken.
    pub at: DateTime<Utc>,
    /// Where it was written, when there is a folder.
    pub file: Option<PathBuf>,
}

impl CaughtMail {
    pub(super) fn read(from: String, to: Vec<String>, raw: Vec<u8>) -> Self {
        let (mut subject, mut text, mut html) = (String::new(), String::new(), String::new());
        if let Some(message) = MessageParser::default().parse(&raw) {
            message.subject().unwrap_or_default().clone_into(&mut subject);
            text = message.body_text(0).unwrap_or_default().into_owned();
            html = message.body_html(0).unwrap_or_default().into_owned();
        }
        Self { from, to, subject, text, html, raw, at: Utc::now(), file: None }
    }

    /// Whether the envelope names this recipient; case does not matter.
    #[must_use]
    pub fn is_to(&self, address: &str) -> bool {
        self.to.iter().any(|to| to.eq_ignore_ascii_case(address))
    }

    /// A header as it is on the wire, unfolded and trimmed but not decoded; the first of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let message = MessageParser::default().parse_headers(&self.raw)?;
        let value = message.header_raw(name.to_owned())?;
        Some(value.replace("\r\n", "").trim().to_owned())
    }

    /// The display name beside the first `To` address, decoded.
    #[must_use]
    pub fn to_name(&self) -> Option<String> {
        let message = MessageParser::default().parse_headers(&self.raw)?;
        message.to()?.first()?.name().map(str::to_owned)
    }
}

/// The newest mails in memory, and all of them as files when there is a folder.
#[derive(Debug)]
pub(super) struct Keep {
    mails: Mutex<VecDeque<Arc<CaughtMail>>>,
    most: usize,
    news: broadcast::Sender<Arc<CaughtMail>>,
    folder: Option<PathBuf>,
    count: AtomicU64,
}

impl Keep {
    pub(super) async fn open(folder: Option<PathBuf>, most: usize) -> io::Result<Self> {
        if let Some(folder) = &folder {
            let mut builder = tokio::fs::DirBuilder::new();
            builder.recursive(true);
            // Mails carry links that sign people in.
            #[cfg(unix)]
            builder.mode(0o700);
            builder.create(folder).await?;
        }
        let news = broadcast::Sender::new(256);
        Ok(Self { mails: Mutex::default(), most: most.max(1), news, folder, count: AtomicU64::new(0) })
    }

    /// Writes it, then shows it; gives its number, the first being 1.
    pub(super) async fn keep(&self, mut mail: CaughtMail) -> io::Result<u64> {
        if let Some(folder) = &self.folder {
            mail.file = Some(write(folder, &mail).await?);
        }
        let mail = Arc::new(mail);
        {
            let mut mails = self.lock();
            if mails.len() >= self.most {
                mails.pop_front();
            }
            mails.push_back(Arc::clone(&mail));
        }
        // Nobody has to listen.
        let _ = self.news.send(mail);
        Ok(self.count.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(super) fn mails(&self) -> Vec<Arc<CaughtMail>> {
        self.lock().iter().cloned().collect()
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<CaughtMail>> {
        self.news.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<CaughtMail>>> {
        // Nothing is left half done under this lock.
        self.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write(folder: &Path, mail: &CaughtMail) -> io::Result<PathBuf> {
    let stem = stem(mail);
    for number in 1..=1000_u32 {
        let name = if number == 1 { format!("{stem}.eml") } else { format!("{stem}-{number}.eml") };
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        let path = folder.join(name);
        match options.open(&path).await {
            Ok(mut file) => {
                file.write_all(&mail.raw).await?;
                file.flush().await?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "a thousand mails with one name"))
}

/// A file name without its ending: nothing a client wrote can point out of the folder.
fn stem(mail: &CaughtMail) -> String {
    let to = mail.to.first().map_or("nobody", String::as_str);
    let to: String = to
        .chars()
        .take(MAX_NAME_CHARS)
        .map(|c| if c.is_ascii_alphanumeric() || "@._+-".contains(c) { c } else { '_' })
        .collect();
    format!("{}-{to}", mail.at.format("%Y%m%dT%H%M%S%3fZ"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn file_names_stay_in_their_folder() {
        let mail = CaughtMail::read(String::new(), vec!["../../é/x@example.com".to_owned()], Vec::new());
        let stem = stem(&mail);
        assert!(stem.ends_with("Z-.._..___x@example.com"), "{stem}");
        assert!(!stem.contains('/'));
    }

    #[test]
    fn encoded_words_and_parts_are_decoded() {
        let raw = b"From: a@example.com\r\nTo: =?utf-8?q?Zo=C3=AB?= <b@example.com>\r\n\
            Subject: =?utf-8?b?w6kg8J+UkQ==?=\r\nX-Long: one\r\n two\r\n\
            Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            caf=E9\r\n";
        let mail =
            CaughtMail::read("a@example.com".to_owned(), vec!["b@example.com".to_owned()], raw.to_vec());
        assert_eq!((mail.subject.as_str(), mail.text.trim_end()), ("é 🔑", "café"));
        assert_eq!(mail.to_name().as_deref(), Some("Zoë"));
        assert_eq!(mail.header("x-long").as_deref(), Some("one two"));
        assert!(mail.is_to("B@example.com") && !mail.is_to("a@example.com"));
    }
}
