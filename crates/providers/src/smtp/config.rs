//! Which mail server, as whom, and how: read from the environment and refused when it can't be safe.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use domain::mail::{BadMail, Mailbox};
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::{Host, Url};

/// When the conversation is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsUse {
    /// From the first byte (`smtps://`).
    Wrapped,
    /// By STARTTLS, or not at all (`smtp://…?tls=required`).
    Required,
    /// By STARTTLS where the server offers it (`smtp://…?tls=opportunistic`).
    Opportunistic,
    /// Never (`smtp://`).
    Never,
}

/// A login. Neither half is ever shown: some services use one key for both.
#[derive(Clone)]
pub struct Credentials {
    /// User name.
    pub user: SecretString,
    /// Password.
    pub password: SecretString,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// Settings of an [`SmtpClient`](super::SmtpClient).
#[derive(Clone, Debug)]
pub struct SmtpConfig {
    /// The server's name (which its certificate must carry) or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// When to encrypt.
    pub tls: TlsUse,
    /// Login, if any.
    pub credentials: Option<Credentials>,
    /// How this machine names itself: the URL's path, or else the sender's domain.
    pub hello_name: String,
    /// The sender of every mail.
    pub from: Mailbox,
    /// Where answers go, when not to the sender.
    pub reply_to: Option<Mailbox>,
    /// Upper bound for one mail, from connecting to the server's last answer.
    pub timeout: Duration,
    /// Certificate authorities trusted besides the system's, as PEM; empty for none.
    pub extra_roots_pem: Vec<u8>,
}

impl SmtpConfig {
    /// How long one mail may take, unless configured otherwise.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

    /// Reads `COUNTERSIGN_SMTP_URL`, `COUNTERSIGN_MAIL_FROM`, `COUNTERSIGN_MAIL_REPLY_TO` and
    /// `COUNTERSIGN_SMTP_TIMEOUT_SECONDS` (1 to 600). Without a URL there is no mail server: `None`.
    ///
    /// # Errors
    /// [`SmtpConfigError`] says what to set; no value is repeated in it.
    pub fn from(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, SmtpConfigError> {
        let get =
            |name: &str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let Some(url) = get("COUNTERSIGN_SMTP_URL") else {
            return Ok(None);
        };
        let from = get("COUNTERSIGN_MAIL_FROM").ok_or(SmtpConfigError::NoFrom)?;
        let mut config = Self::new(&url, &from)?;
        if let Some(reply_to) = get("COUNTERSIGN_MAIL_REPLY_TO") {
            config.reply_to = Some(Mailbox::parse(&reply_to).map_err(SmtpConfigError::ReplyTo)?);
        }
        if let Some(seconds) = get("COUNTERSIGN_SMTP_TIMEOUT_SECONDS") {
            let seconds = seconds.parse().ok().filter(|seconds| (1..=600).contains(seconds));
            config.timeout = Duration::from_secs(seconds.ok_or(SmtpConfigError::Timeout)?);
        }
        Ok(Some(config))
    }

    /// Reads a server's URL and a sender such as `Countersign <no-reply@example.com>`.
    ///
    /// The URL is `smtps://user:password@host:465` or `smtp://user:password@host:587?tls=required`; user and
    /// password percent-encoded. Without a port it is 465, 587 or, without TLS, 25.
    ///
    /// # Errors
    /// [`SmtpConfigError`].
    pub fn new(url: &str, from: &str) -> Result<Self, SmtpConfigError> {
        let url = Url::parse(url).map_err(|_| SmtpConfigError::Url)?;
        let tls = tls_use(&url)?;
        // The URL parser does not look into hosts of schemes it does not know.
        let host = Host::parse(url.host_str().unwrap_or_default()).map_err(|_| SmtpConfigError::Url)?;
        let loopback = match &host {
            Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => IpAddr::V6(*address).to_canonical().is_loopback(),
        };
        let credentials = credentials(&url)?;
        let encrypted = matches!(tls, TlsUse::Wrapped | TlsUse::Required);
        if credentials.is_some() && !encrypted && !loopback {
            return Err(SmtpConfigError::PlainPassword);
        }
        let from = Mailbox::parse(from).map_err(SmtpConfigError::From)?;
        let host = match host {
            Host::Domain(name) => name,
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let default_port = match tls {
            TlsUse::Wrapped => 465,
            TlsUse::Required | TlsUse::Opportunistic => 587,
            TlsUse::Never => 25,
        };
        let port = match url.port() {
            Some(0) => return Err(SmtpConfigError::Url),
            port => port.unwrap_or(default_port),
        };
        let hello_name = match url.path().trim_matches('/') {
            "" => from.address.domain().to_owned(),
            name if is_hello_name(name) => name.to_owned(),
            _ => return Err(SmtpConfigError::HelloName),
        };
        Ok(Self {
            host,
            port,
            tls,
            credentials,
            hello_name,
            from,
            reply_to: None,
            timeout: Self::DEFAULT_TIMEOUT,
            extra_roots_pem: Vec::new(),
        })
    }
}

/// Settings that cannot work, or would not be safe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SmtpConfigError {
    /// The URL is not one of a mail server.
    #[error(
        "COUNTERSIGN_SMTP_URL can't be read; write smtps://user:password@mail.example.com or smtp://user:password@mail.example.com:587?tls=required, with : / @ ? # % in user and password percent-encoded"
    )]
    Url,
    /// An unknown query, or one that contradicts the scheme.
    #[error(
        "COUNTERSIGN_SMTP_URL: after ? only tls=required or tls=opportunistic may follow, and only with smtp://"
    )]
    Query,
    /// User without password, or either not text.
    #[error(
        "COUNTERSIGN_SMTP_URL: give both user and password, percent-encoded, without control characters, or neither"
    )]
    Credentials,
    /// A password would travel, or could be made to travel, in the clear.
    #[error(
        "COUNTERSIGN_SMTP_URL would send the password unencrypted; use smtps:// or add ?tls=required (opportunistic TLS can be stripped on the way)"
    )]
    PlainPassword,
    /// The name for EHLO.
    #[error("COUNTERSIGN_SMTP_URL: the path is this machine's own name, such as /worker.example.com")]
    HelloName,
    /// A server but no sender.
    #[error(
        "COUNTERSIGN_SMTP_URL is set, so set COUNTERSIGN_MAIL_FROM, such as Countersign <no-reply@example.com>"
    )]
    NoFrom,
    /// The sender.
    #[error("COUNTERSIGN_MAIL_FROM must be an address or Name <address>")]
    From(#[source] BadMail),
    /// The address for answers.
    #[error("COUNTERSIGN_MAIL_REPLY_TO must be an address or Name <address>")]
    ReplyTo(#[source] BadMail),
    /// The time limit.
    #[error("COUNTERSIGN_SMTP_TIMEOUT_SECONDS must be a whole number from 1 to 600")]
    Timeout,
    /// A sender that mail servers would not take.
    #[error(
        "COUNTERSIGN_MAIL_FROM and COUNTERSIGN_MAIL_REPLY_TO: mail servers would not take this address; use letters, digits, dots and hyphens"
    )]
    Sender,
    /// Extra roots or the system's.
    #[error("the mail client's certificate authorities can't be read; give PEM blocks of type CERTIFICATE")]
    Roots(#[source] lettre::transport::smtp::Error),
    /// Extra roots were given and none was found in them.
    #[error("the mail client's extra roots hold no certificate; give PEM blocks of type CERTIFICATE")]
    NoRoots,
}

fn tls_use(url: &Url) -> Result<TlsUse, SmtpConfigError> {
    if url.fragment().is_some() {
        return Err(SmtpConfigError::Url);
    }
    match (url.scheme(), url.query()) {
        ("smtps", None) => Ok(TlsUse::Wrapped),
        ("smtp", None) => Ok(TlsUse::Never),
        ("smtp", Some("tls=required")) => Ok(TlsUse::Required),
        ("smtp", Some("tls=opportunistic")) => Ok(TlsUse::Opportunistic),
        ("smtp" | "smtps", Some(_)) => Err(SmtpConfigError::Query),
        _ => Err(SmtpConfigError::Url),
    }
}

fn credentials(url: &Url) -> Result<Option<Credentials>, SmtpConfigError> {
    let (user, password) = match (url.username(), url.password()) {
        ("", None | Some("")) => return Ok(None),
        ("", Some(_)) | (_, None | Some("")) => return Err(SmtpConfigError::Credentials),
        (user, Some(password)) => (user, password),
    };
    let decode = |text: &str| match percent_decode_str(text).decode_utf8() {
        Ok(text) if !text.chars().any(char::is_control) => Ok(SecretString::from(text.into_owned())),
        _ => Err(SmtpConfigError::Credentials),
    };
    Ok(Some(Credentials { user: decode(user)?, password: decode(password)? }))
}

fn is_hello_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::error::Error as _;

    use secrecy::ExposeSecret as _;

    use super::*;

    const FROM: &str = "Countersign <no-reply@example.com>";

    #[test]
    fn urls_are_read() {
        for (url, host, port, tls) in [
            ("smtps://mail.example.com", "mail.example.com", 465, TlsUse::Wrapped),
            ("smtp://u:p@mail.example.com?tls=required", "mail.example.com", 587, TlsUse::Required),
            ("smtp://mail.example.com?tls=opportunistic", "mail.example.com", 587, TlsUse::Opportunistic),
            ("smtp://u:p@127.0.0.1:1025", "127.0.0.1", 1025, TlsUse::Never),
            ("smtp://u:p@[::1]:1025", "::1", 1025, TlsUse::Never),
            ("smtp://mail.example.com", "mail.example.com", 25, TlsUse::Never),
        ] {
            let config = SmtpConfig::new(url, FROM).unwrap();
            assert_eq!((config.host.as_str(), config.port, config.tls), (host, port, tls), "{url}");
            assert_eq!(config.hello_name, "example.com");
        }
        let config = SmtpConfig::new("smtps://a%40b:p%3A%2F%C3%A9@m.example/worker-1.example", FROM).unwrap();
        assert_eq!(config.hello_name, "worker-1.example");
        let login = config.credentials.unwrap();
        assert_eq!((login.user.expose_secret(), login.password.expose_secret()), ("a@b", "p:/é"));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        for (url, expected) in [
            ("mail.example.com:25", "can't be read"),
            ("https://mail.example.com", "can't be read"),
            ("smtp://", "can't be read"),
            ("smtp://mail.example.com:0", "can't be read"),
            ("smtp://ma il.example.com", "can't be read"),
            ("smtp://mail.example.com#x", "can't be read"),
            ("smtp://mail.example.com?tls=maybe", "only tls=required"),
            ("smtps://mail.example.com?tls=required", "only tls=required"),
            ("smtps://planted@mail.example.com", "both user and password"),
            ("smtps://:planted@mail.example.com", "both user and password"),
            ("smtps://u:planted%0d%0a@mail.example.com", "control characters"),
            ("smtps://u:planted%ff@mail.example.com", "percent-encoded"),
            ("smtp://u:planted@mail.example.com", "unencrypted"),
            ("smtp://u:planted@mail.example.com?tls=opportunistic", "unencrypted"),
            ("smtp://u:planted@192.0.2.1", "unencrypted"),
            ("smtps://mail.example.com/a%20b", "own name"),
        ] {
            let error = SmtpConfig::new(url, FROM).unwrap_err();
            let shown = error.to_string();
            assert!(shown.contains(expected), "{url}: {shown}");
            assert!(!format!("{shown}{error:?}").contains("planted"), "{shown}");
        }
    }

    #[test]
    fn the_environment_is_read_and_contradictions_are_refused() {
        let from = |pairs: &[(&str, &str)]| {
            SmtpConfig::from(|name| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(from(&[]).unwrap().is_none());
        assert!(from(&[("COUNTERSIGN_SMTP_URL", " "), ("COUNTERSIGN_MAIL_FROM", FROM)]).unwrap().is_none());
        let url = ("COUNTERSIGN_SMTP_URL", "smtps://u:planted@mail.example.com");
        assert!(matches!(from(&[url]), Err(SmtpConfigError::NoFrom)));
        let error = from(&[url, ("COUNTERSIGN_MAIL_FROM", "A\r\nBcc: b <a@example.com>")]).unwrap_err();
        assert!(matches!(error, SmtpConfigError::From(_)) && error.source().is_some(), "{error:?}");
        let sender = ("COUNTERSIGN_MAIL_FROM", FROM);
        let error = from(&[url, sender, ("COUNTERSIGN_MAIL_REPLY_TO", "nobody")]).unwrap_err();
        assert!(matches!(error, SmtpConfigError::ReplyTo(_)), "{error:?}");
        for seconds in ["0", "601", "1.5", "soon"] {
            let error = from(&[url, sender, ("COUNTERSIGN_SMTP_TIMEOUT_SECONDS", seconds)]).unwrap_err();
            assert!(matches!(error, SmtpConfigError::Timeout), "{error:?}");
        }
        let all = [
            url,
            sender,
            ("COUNTERSIGN_MAIL_REPLY_TO", "help@example.com"),
            ("COUNTERSIGN_SMTP_TIMEOUT_SECONDS", "5"),
        ];
        let config = from(&all).unwrap().unwrap();
        assert_eq!(config.timeout, Duration::from_secs(5));
        assert_eq!(config.reply_to.as_ref().unwrap().address.local(), "help");
        assert!(!format!("{config:?}").contains("planted"), "{config:?}");
    }
}
