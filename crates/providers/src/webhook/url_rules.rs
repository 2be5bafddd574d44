//! Which URLs may be delivered to at all, before any name is resolved.
//!
//! The text is judged as well as the parsed form, because a parser that repairs
//! its input (tabs dropped, backslashes turned, slashes added) lets a URL mean
//! one thing to a reader and another to the client. Addresses in odd notations
//! (`0x7f.1`, `2130706433`) come out of the parser as plain addresses and are
//! then judged by the address guard, not here.
//!
//! Errors never repeat the URL: its path or query may be a secret.

use std::net::IpAddr;

use url::{Host, Url};

/// The longest URL that is accepted, in bytes.
pub const MAX_URL_BYTES: usize = 2048;

/// A URL that cannot be delivered to, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadUrl {
    /// Not an absolute URL with a host.
    #[error("the endpoint URL is not a full URL with a host; write it like https://example.com/path")]
    Malformed,
    /// Longer than [`MAX_URL_BYTES`].
    #[error("the endpoint URL is longer than {MAX_URL_BYTES} bytes; shorten it")]
    TooLong,
    /// Holds white space, control characters or a backslash.
    #[error("the endpoint URL holds white space, a control character or a backslash; percent-encode it")]
    Characters,
    /// Neither https nor http.
    #[error("the endpoint URL must begin with https://")]
    Scheme,
    /// Plain http, and neither configuration nor an exception allows it here.
    #[error("the endpoint URL uses plain http; use https, or allow http in the configuration")]
    PlainHttp,
    /// User name or password in the URL.
    #[error(
        "the endpoint URL carries a user name or password; remove it, deliveries are authenticated by their signature"
    )]
    Credentials,
    /// A fragment, which is never sent to a server.
    #[error("the endpoint URL has a fragment (#…); remove it")]
    Fragment,
    /// A port outside the configured list, or port 0.
    #[error("port {port} is not allowed for endpoints; use one that the configuration lists")]
    Port {
        /// The refused port.
        port: u16,
    },
}

/// A URL that passed the rules.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// The parsed URL.
    pub url: Url,
    /// The port that will be dialled.
    pub port: u16,
    /// The address, when the host is one and no name has to be resolved.
    pub literal: Option<IpAddr>,
    /// Whether the connection is encrypted.
    pub https: bool,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("host", &self.url.host_str())
            .field("port", &self.port)
            .field("https", &self.https)
            .finish_non_exhaustive()
    }
}

/// Judges a URL. `ports` is the list of allowed ports, `None` for any.
///
/// Whether plain http is allowed depends on the address and is judged by the
/// client; here both schemes pass.
///
/// # Errors
/// [`BadUrl`], the first rule that the URL breaks.
pub fn check_url(text: &str, ports: Option<&[u16]>) -> Result<Target, BadUrl> {
    if text.len() > MAX_URL_BYTES {
        return Err(BadUrl::TooLong);
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(BadUrl::Characters);
    }
    let url = Url::parse(text).map_err(|_| BadUrl::Malformed)?;
    let https = match url.scheme() {
        "https" => true,
        "http" => false,
        _ => return Err(BadUrl::Scheme),
    };
    // The parser also takes `https:host` and `https:////host`.
    let after_scheme = text.get(url.scheme().len()..).unwrap_or_default();
    if after_scheme.strip_prefix("://").is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
        return Err(BadUrl::Malformed);
    }
    // An empty `user@` leaves no trace in the parsed form, so the text counts.
    let authority = after_scheme["://".len()..].split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') || !url.username().is_empty() || url.password().is_some() {
        return Err(BadUrl::Credentials);
    }
    if url.fragment().is_some() {
        return Err(BadUrl::Fragment);
    }
    let literal = match url.host() {
        None => return Err(BadUrl::Malformed),
        Some(Host::Domain(name)) if name.trim_matches('.').is_empty() => {
            return Err(BadUrl::Malformed);
        }
        Some(Host::Domain(_)) => None,
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
    };
    let port = url.port_or_known_default().ok_or(BadUrl::Malformed)?;
    if port == 0 || ports.is_some_and(|ports| !ports.contains(&port)) {
        return Err(BadUrl::Port { port });
    }
    Ok(Target { url, port, literal, https })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::webhook::{AddressGuard, AddressKind};

    #[test]
    fn bad_urls_are_told_what_to_change() {
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL_BYTES));
        let table = [
            ("", BadUrl::Malformed),
            ("example.com/hook", BadUrl::Malformed),
            ("//example.com/hook", BadUrl::Malformed),
            ("https://", BadUrl::Malformed),
            ("https:", BadUrl::Malformed),
            ("https:example.com", BadUrl::Malformed),
            ("https:/example.com", BadUrl::Malformed),
            ("https:///example.com", BadUrl::Malformed),
            ("https:////127.0.0.1/", BadUrl::Malformed),
            ("https://./", BadUrl::Malformed),
            ("https://[::1", BadUrl::Malformed),
            ("https://[fe80::1%25eth0]/", BadUrl::Malformed),
            ("https://1.2.3.4.5/", BadUrl::Malformed),
            ("https://256.1.1.1/", BadUrl::Malformed),
            ("https://example.com:99999/", BadUrl::Malformed),
            ("https://exa<mple.com/", BadUrl::Malformed),
            ("ftp://example.com/", BadUrl::Scheme),
            ("file:///etc/passwd", BadUrl::Scheme),
            ("gopher://127.0.0.1:6379/_PING", BadUrl::Scheme),
            ("dict://127.0.0.1:11211/", BadUrl::Scheme),
            ("javascript:alert(1)", BadUrl::Scheme),
            ("data:text/plain,x", BadUrl::Scheme),
            ("unix:///run/redis.sock", BadUrl::Scheme),
            ("https://user@example.com/", BadUrl::Credentials),
            ("https://user:word@example.com/", BadUrl::Credentials),
            ("https://@example.com/", BadUrl::Credentials),
            ("https://:@example.com/", BadUrl::Credentials),
            ("https://example.com@127.0.0.1/", BadUrl::Credentials),
            ("https://example.com/#top", BadUrl::Fragment),
            ("https://example.com#", BadUrl::Fragment),
            ("https://127.0.0.1#@example.com/", BadUrl::Fragment),
            ("https://example.com:0/", BadUrl::Port { port: 0 }),
            (" https://example.com/", BadUrl::Characters),
            ("https://example.com/a b", BadUrl::Characters),
            ("https://exam\tple.com/", BadUrl::Characters),
            ("https://example.com/\r\nhost: x", BadUrl::Characters),
            ("https://example.com\\@127.0.0.1/", BadUrl::Characters),
            ("https://example.com/\u{0}", BadUrl::Characters),
            (long.as_str(), BadUrl::TooLong),
        ];
        for (text, expected) in table {
            assert_eq!(check_url(text, None), Err(expected), "{text}");
        }
    }

    #[test]
    fn every_spelling_of_an_internal_address_reaches_the_guard() {
        use AddressKind::*;
        let table = [
            ("http://127.0.0.1/", Loopback),
            ("http://127.1/", Loopback),
            ("http://127.0.1/", Loopback),
            ("http://2130706433/", Loopback),
            ("http://0x7f000001/", Loopback),
            ("http://0x7F.0.0.1/", Loopback),
            ("http://0177.0.0.1/", Loopback),
            ("http://017700000001/", Loopback),
            ("http://0x7f.0x0.0x0.0x1/", Loopback),
            ("http://127.0.0.1./", Loopback),
            ("http://%31%32%37.0.0.1/", Loopback),
            ("http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/", Loopback),
            ("http://\u{2460}\u{2461}\u{2466}.\u{24ea}.\u{24ea}.\u{2460}/", Loopback),
            ("http://127\u{3002}0\u{3002}0\u{3002}1/", Loopback),
            ("http://0/", Unspecified),
            ("http://0.0.0.0/", Unspecified),
            ("http://10.1/", Private),
            ("http://0xa9fea9fe/latest/meta-data/", Metadata),
            ("http://2852039166/", Metadata),
            ("http://0251.0376.0251.0376/", Metadata),
            ("http://169.254.43518/", Metadata),
            ("http://[::1]/", Loopback),
            ("http://[0:0:0:0:0:0:0:1]/", Loopback),
            ("http://[::]/", Unspecified),
            ("http://[::ffff:127.0.0.1]/", EmbeddedV4),
            ("http://[::ffff:7f00:1]/", EmbeddedV4),
            ("http://[::127.0.0.1]/", EmbeddedV4),
            ("http://[64:ff9b::7f00:1]/", Nat64),
            ("http://[2002:7f00:1::]/", SixToFour),
            ("http://[fd00:ec2::254]/", Metadata),
            ("http://[fe80::1]/", LinkLocal),
        ];
        let guard = AddressGuard::default().for_port(80);
        for (text, kind) in table {
            let literal =
                check_url(text, None).unwrap().literal.unwrap_or_else(|| panic!("{text} stayed a name"));
            assert_eq!(guard.check(literal).unwrap_err().kind, kind, "{text}");
        }
    }

    #[test]
    fn good_urls_pass_with_their_port() {
        for (text, port) in [
            ("https://example.com", 443),
            ("HTTPS://EXAMPLE.com/a?b=c", 443),
            ("https://example.com:8443/a%20b", 8443),
            ("http://example.com/", 80),
            ("https://münchen.example/", 443),
            ("https://example.com/path@tag", 443),
        ] {
            let target = check_url(text, None).unwrap();
            assert_eq!((target.port, target.literal), (port, None), "{text}");
        }
        assert_eq!(check_url("https://example.com:22/", Some(&[443])), Err(BadUrl::Port { port: 22 }));
        assert!(check_url("https://example.com/", Some(&[443])).is_ok());
    }

    #[test]
    fn debug_keeps_path_and_query_to_itself() {
        let shown = format!("{:?}", check_url("https://example.com/token-in-path?key=hush", None).unwrap());
        assert!(
            shown.contains("example.com") && !shown.contains("token") && !shown.contains("hush"),
            "{shown}"
        );
    }
}
