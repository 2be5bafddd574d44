//! Mail to one person: the words, the rules about addresses and text, and the port through which it leaves.
//!
//! Everything that ends up in a header or in the conversation with a mail server is judged here, so that no
//! line break and no second recipient can ride along in a name or an address. Refuses to do IO, to render
//! templates, and to send one mail to several people.

use std::fmt;
use std::time::Duration;

use url::Host;

use crate::ports::PortFuture;

/// Longest address, in bytes, with its domain in ASCII form (RFC 5321, 4.5.3.1).
pub const MAX_ADDRESS_BYTES: usize = 254;

/// Longest part before the `@`, in bytes.
pub const MAX_LOCAL_BYTES: usize = 64;

/// Longest display name, in characters.
pub const MAX_NAME_CHARS: usize = 120;

/// Longest subject, in characters.
pub const MAX_SUBJECT_CHARS: usize = 300;

/// Longest text, and longest HTML, of one mail, in bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Longest `message_id`, in bytes.
pub const MAX_MESSAGE_ID_BYTES: usize = 200;

/// One mail to one person. Its text often carries a link that signs somebody in, so [`Debug`](fmt::Debug)
/// shows sizes only.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// `left@right`, without angle brackets. The same for every attempt: it makes a repeat recognisable.
    pub message_id: String,
    /// The one address, without a name; see [`MailAddress::parse`].
    pub to: String,
    /// The person's name as it is shown beside the address.
    pub to_name: Option<String>,
    /// One line, any script.
    pub subject: String,
    /// The mail as plain text. Line ends may be LF or CRLF.
    pub text: String,
    /// The same mail as a whole HTML document.
    pub html: String,
    /// BCP 47 tag of both, such as `en` or `pt-BR`.
    pub language: String,
}

impl Mail {
    /// Judges every part that could confuse a mail server or a reader; gives the address it goes to.
    ///
    /// # Errors
    /// [`BadMail`], which names the part.
    pub fn check(&self) -> Result<MailAddress, BadMail> {
        check_message_id(&self.message_id)?;
        let to = MailAddress::parse(&self.to)?;
        if let Some(name) = &self.to_name {
            check_name(name)?;
        }
        let chars = self.subject.chars().count();
        if !(1..=MAX_SUBJECT_CHARS).contains(&chars) || self.subject.chars().any(unfit_for_a_line) {
            return Err(BadMail::Subject);
        }
        for (part, body) in [("text", &self.text), ("html", &self.html)] {
            if body.is_empty() || body.len() > MAX_BODY_BYTES {
                return Err(BadMail::BodySize { part });
            }
            if body.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
                return Err(BadMail::BodyControl { part });
            }
        }
        let letters = self.language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !(2..=35).contains(&self.language.len()) || !letters || self.language.starts_with('-') {
            return Err(BadMail::Language);
        }
        Ok(to)
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail")
            .field("message_id", &self.message_id)
            .field("language", &self.language)
            .field("text_bytes", &self.text.len())
            .field("html_bytes", &self.html.len())
            .finish_non_exhaustive()
    }
}

/// A mail that can't be put on the wire as it is. Says what to change, never repeats the offending text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadMail {
    /// The recipient.
    #[error(transparent)]
    To(#[from] BadAddress),
    /// A display name.
    #[error("the name must be 1 to {MAX_NAME_CHARS} characters on one line, without control characters")]
    Name,
    /// The subject.
    #[error(
        "the subject must be 1 to {MAX_SUBJECT_CHARS} characters on one line, without control characters"
    )]
    Subject,
    /// Text or HTML is missing or too large.
    #[error("the mail's {part} must be 1 to {MAX_BODY_BYTES} bytes")]
    BodySize {
        /// `text` or `html`.
        part: &'static str,
    },
    /// Text or HTML holds a control character.
    #[error("the mail's {part} holds a control character other than tab and line end")]
    BodyControl {
        /// `text` or `html`.
        part: &'static str,
    },
    /// The language.
    #[error("the language must be a tag such as en or pt-BR")]
    Language,
    /// The message id.
    #[error(
        "the message id must be left@right in at most {MAX_MESSAGE_ID_BYTES} letters, digits and . _ - + =, without <>"
    )]
    MessageId,
}

/// An address that was looked at: one recipient, no quoting, its domain in ASCII form and lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailAddress {
    local: String,
    domain: String,
}

impl MailAddress {
    /// Reads `local@domain`. An international domain becomes its ASCII form (`xn--…`); letters of any script
    /// may stand before the `@`, and then the mail server must know SMTPUTF8. Quoted local parts, comments,
    /// routes and address literals such as `[192.0.2.1]` are refused: nobody's address looks like that.
    ///
    /// # Errors
    /// [`BadAddress`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        if text.is_empty() {
            return Err(BadAddress::Empty);
        }
        if text.len() > MAX_ADDRESS_BYTES {
            return Err(BadAddress::TooLong);
        }
        if text.chars().any(|c| c.is_whitespace() || unfit_for_a_line(c) || invisible(c)) {
            return Err(BadAddress::Invisible);
        }
        if text.contains([',', ';']) || text.matches('@').count() > 1 {
            return Err(BadAddress::Several);
        }
        let (local, domain) = text.split_once('@').ok_or(BadAddress::NoAt)?;
        let atoms = local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(in_an_atom));
        if local.len() > MAX_LOCAL_BYTES || !atoms {
            return Err(BadAddress::Local);
        }
        let domain = ascii_domain(domain).ok_or(BadAddress::Domain)?;
        if local.len() + 1 + domain.len() > MAX_ADDRESS_BYTES {
            return Err(BadAddress::TooLong);
        }
        Ok(Self { local: local.to_owned(), domain })
    }

    /// The part before the `@`, as it was written.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain, ASCII and lower case.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether only a mail server that knows SMTPUTF8 can take it.
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        !self.local.is_ascii()
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl std::str::FromStr for MailAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        Self::parse(text)
    }
}

/// Why a text is not one mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAddress {
    /// Nothing there.
    #[error("the mail address is empty")]
    Empty,
    /// Over [`MAX_ADDRESS_BYTES`].
    #[error("the mail address is longer than {MAX_ADDRESS_BYTES} bytes")]
    TooLong,
    /// Space, line break, control or invisible character.
    #[error("the mail address holds a space, a line break or an invisible character")]
    Invisible,
    /// More than one address, or more than one `@`.
    #[error("give one mail address, with one @ and no comma or semicolon")]
    Several,
    /// No `@`.
    #[error("the mail address has no @")]
    NoAt,
    /// The part before the `@`.
    #[error(
        "the part before the @ must be 1 to {MAX_LOCAL_BYTES} bytes of letters, digits and . _ - + and the like, without quotes and without dots at its ends or in a row"
    )]
    Local,
    /// The part after the `@`.
    #[error("the part after the @ must be a domain name such as example.com")]
    Domain,
}

/// A name and an address, for a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Shown beside the address.
    pub name: Option<String>,
    /// Where it goes.
    pub address: MailAddress,
}

impl Mailbox {
    /// Reads `a@example.com` or `Some Name <a@example.com>`; quotes around the name are taken off.
    ///
    /// # Errors
    /// [`BadMail::To`] or [`BadMail::Name`].
    pub fn parse(text: &str) -> Result<Self, BadMail> {
        let text = text.trim_matches(' ');
        let Some((name, address)) = text.strip_suffix('>').and_then(|rest| rest.split_once('<')) else {
            return Ok(Self { name: None, address: MailAddress::parse(text)? });
        };
        let name = name.trim_matches(' ');
        let name = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(name);
        let name = if name.is_empty() {
            None
        } else {
            check_name(name)?;
            Some(name.to_owned())
        };
        Ok(Self { name, address: MailAddress::parse(address)? })
    }
}

/// What the mail server said when it took a mail over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailReceipt {
    /// Code and text of its last answer; often holds its queue id.
    pub answer: String,
}

/// Why a mail did not leave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailFault {
    /// The mail or its address is not acceptable, here or to the mail server: trying again won't help.
    #[error("{0}")]
    Refused(String),
    /// Not this time: connection, TLS, login, or the server asked for patience. May be tried again, with the
    /// same `message_id`: after `unanswered` and `timeout` the mail may have arrived all the same.
    #[error("{message}")]
    Unreachable {
        /// Short, stable, snake_case: `connect`, `tls`, `auth`, `timeout`, `busy`, `deferred`, `service`,
        /// `broken`, `unanswered`.
        code: &'static str,
        /// For people.
        message: String,
        /// The least wait that makes sense, where one is known.
        retry_after: Option<Duration>,
    },
    /// There is no mail server to hand it to.
    #[error("no mail server is configured; set COUNTERSIGN_SMTP_URL and COUNTERSIGN_MAIL_FROM")]
    NotConfigured,
}

impl MailFault {
    /// A stable name for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Unreachable { code, .. } => code,
            Self::NotConfigured => "not_configured",
        }
    }
}

/// Hands mail to a mail server.
pub trait Mailer: Send + Sync + 'static {
    /// Makes one attempt. Success means that the server has taken the mail over, not that it was read.
    fn send<'a>(&'a self, mail: &'a Mail) -> PortFuture<'a, Result<MailReceipt, MailFault>>;
}

fn check_name(name: &str) -> Result<(), BadMail> {
    let fits = (1..=MAX_NAME_CHARS).contains(&name.chars().count()) && !name.trim().is_empty();
    if !fits || name.chars().any(unfit_for_a_line) { Err(BadMail::Name) } else { Ok(()) }
}

fn check_message_id(id: &str) -> Result<(), BadMail> {
    let atoms = |side: &str| {
        side.split('.').all(|atom| !atom.is_empty() && atom.chars().all(|c| c.is_ascii() && in_an_atom(c)))
    };
    match id.split_once('@') {
        Some((left, right)) if id.len() <= MAX_MESSAGE_ID_BYTES && atoms(left) && atoms(right) => Ok(()),
        _ => Err(BadMail::MessageId),
    }
}

/// Control characters, other line ends, and marks that turn the reading direction of what follows.
fn unfit_for_a_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters that nobody sees, in an address only a disguise.
fn invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
}

fn in_an_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

fn ascii_domain(domain: &str) -> Option<String> {
    // The URL parser would decode %-escapes; only letters, digits, hyphens and dots may reach it.
    if domain.chars().any(|c| c.is_ascii() && !c.is_ascii_alphanumeric() && c != '-' && c != '.') {
        return None;
    }
    let Ok(Host::Domain(domain)) = Host::parse(domain) else {
        return None;
    };
    let labels = domain.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    let complete = domain.contains('.') || domain == "localhost";
    (labels && complete).then_some(domain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn mail() -> Mail {
        Mail {
            message_id: "0197c1.1@countersign.example".to_owned(),
            to: "zoë@example.com".to_owned(),
            to_name: Some("Zoë, née \"Z\" 👩‍💻".to_owned()),
            subject: "Réinitialisation 🔑".to_owned(),
            text: "Hello,\r\n\tworld\n".to_owned(),
            html: "<p>Hello</p>".to_owned(),
            language: "pt-BR".to_owned(),
        }
    }

    #[test]
    fn ordinary_addresses_are_read() {
        for (text, read) in [
            ("a@example.com", "a@example.com"),
            ("First.Last+tag@Example.COM", "First.Last+tag@example.com"),
            ("o'neil!#$%&*=?^_`{|}~/-@sub.example.co", "o'neil!#$%&*=?^_`{|}~/-@sub.example.co"),
            ("info@bücher.example", "info@xn--bcher-kva.example"),
            ("用户@例え.jp", "用户@xn--r8jz45g.jp"),
            ("root@localhost", "root@localhost"),
        ] {
            assert_eq!(MailAddress::parse(text).unwrap().to_string(), read);
        }
        assert!(MailAddress::parse("用户@example.com").unwrap().needs_smtputf8());
        assert!(!MailAddress::parse("info@bücher.example").unwrap().needs_smtputf8());
    }

    #[test]
    fn odd_addresses_are_refused_by_name() {
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long = format!("a@{}.com", "b.".repeat(130));
        let label = format!("a@{}.com", "b".repeat(64));
        for (text, error) in [
            ("", BadAddress::Empty),
            (long.as_str(), BadAddress::TooLong),
            ("a@example.com\r\nRCPT TO:<b@example.com>", BadAddress::Invisible),
            ("a@example.com\n", BadAddress::Invisible),
            (" a@example.com", BadAddress::Invisible),
            ("a\0@example.com", BadAddress::Invisible),
            ("a\u{200b}b@example.com", BadAddress::Invisible),
            ("a\u{202e}b@example.com", BadAddress::Invisible),
            ("a@example.com,b@example.com", BadAddress::Several),
            ("a@example.com;b@example.com", BadAddress::Several),
            ("a@b@example.com", BadAddress::Several),
            ("example.com", BadAddress::NoAt),
            ("@example.com", BadAddress::Local),
            (".a@example.com", BadAddress::Local),
            ("a..b@example.com", BadAddress::Local),
            ("<a@example.com>", BadAddress::Local),
            ("\"a\"@example.com", BadAddress::Local),
            (long_local.as_str(), BadAddress::Local),
            ("a@", BadAddress::Domain),
            ("a@example", BadAddress::Domain),
            ("a@example.com.", BadAddress::Domain),
            ("a@.example.com", BadAddress::Domain),
            ("a@-example.com", BadAddress::Domain),
            ("a@exa%6dple.com", BadAddress::Domain),
            ("a@192.0.2.1", BadAddress::Domain),
            ("a@[192.0.2.1]", BadAddress::Domain),
            ("a@example.com>", BadAddress::Domain),
            (label.as_str(), BadAddress::Domain),
        ] {
            assert_eq!(MailAddress::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn mailboxes_are_read_with_and_without_a_name() {
        let plain = Mailbox::parse("a@example.com").unwrap();
        assert_eq!((plain.name, plain.address.local()), (None, "a"));
        let named = Mailbox::parse("\"Countersign, Inc.\" <no-reply@example.com>").unwrap();
        assert_eq!(named.name.as_deref(), Some("Countersign, Inc."));
        assert_eq!(Mailbox::parse("<a@example.com>").unwrap().name, None);
        assert_eq!(Mailbox::parse("A\r\nBcc: b <a@example.com>"), Err(BadMail::Name));
        assert_eq!(Mailbox::parse("A <a@example.com"), Err(BadMail::To(BadAddress::Invisible)));
        assert_eq!(Mailbox::parse("A <a@example.com> <b@example.com>").unwrap_err(), {
            BadMail::To(BadAddress::Invisible)
        });
    }

    #[test]
    fn a_mail_with_anything_odd_is_refused() {
        assert_eq!(mail().check().unwrap().to_string(), "zoë@example.com");
        type Spoil = fn(&mut Mail);
        let cases: [(Spoil, BadMail); 15] = [
            (|m| m.to.push_str("\r\nX: y"), BadMail::To(BadAddress::Invisible)),
            (|m| m.to_name = Some("A\r\nBcc: b@example.com".to_owned()), BadMail::Name),
            (|m| m.to_name = Some("n".repeat(MAX_NAME_CHARS + 1)), BadMail::Name),
            (|m| m.to_name = Some("  ".to_owned()), BadMail::Name),
            (|m| m.subject.push_str("\nBcc: b@example.com"), BadMail::Subject),
            (|m| m.subject.clear(), BadMail::Subject),
            (|m| m.subject.push('\u{2028}'), BadMail::Subject),
            (|m| m.subject = "é".repeat(MAX_SUBJECT_CHARS + 1), BadMail::Subject),
            (|m| m.text.clear(), BadMail::BodySize { part: "text" }),
            (|m| m.html = "x".repeat(MAX_BODY_BYTES + 1), BadMail::BodySize { part: "html" }),
            (|m| m.text.push('\0'), BadMail::BodyControl { part: "text" }),
            (|m| m.language = "en\r\n".to_owned(), BadMail::Language),
            (|m| m.message_id = "<a@b>".to_owned(), BadMail::MessageId),
            (|m| m.message_id = "a@b@c".to_owned(), BadMail::MessageId),
            (|m| m.message_id = format!("{}@b", "a".repeat(200)), BadMail::MessageId),
        ];
        for (spoil, error) in cases {
            let mut mail = mail();
            spoil(&mut mail);
            assert_eq!(mail.check(), Err(error));
        }
    }

    #[test]
    fn what_a_mail_says_is_not_in_its_debug_output() {
        let shown = format!("{:?}", mail());
        assert!(!shown.contains("Hello") && !shown.contains("example.com\", to"), "{shown}");
    }
}
