//! Why an attempt brought no answer.
//!
//! Messages are safe to show to the endpoint's owner: no secret, no URL path, no
//! internal address. The chain below a message is for the operator's log.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use super::address::Refusal;
use super::resolver::LookupFailed;
use super::signature::SignatureError;
use super::url_rules::BadUrl;

/// The cause below a [`DeliverError`], for the log.
pub type Source = Box<dyn StdError + Send + Sync>;

/// An attempt without an answer, or with one that must not be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliverError {
    /// The URL breaks a rule; nothing was sent.
    #[error(transparent)]
    BadUrl(#[from] BadUrl),
    /// Every address of the host is refused; nothing was dialled.
    #[error(transparent)]
    RefusedAddress(#[from] Refusal),
    /// The event cannot be signed; nothing was sent.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The event type does not fit a header; nothing was sent.
    #[error("the event type must be 1 to 128 letters, digits, `.`, `_` or `-`")]
    EventType,
    /// The host's name has no answer; nothing was dialled.
    #[error("the receiver's host name cannot be resolved; check the endpoint's URL")]
    Resolve(#[source] Source),
    /// No connection; nothing was sent.
    #[error("no connection to the receiver; check that it is up and reachable from the internet")]
    Connect(#[source] Source),
    /// The TLS handshake failed; nothing was sent.
    #[error("the receiver's TLS was refused; check its certificate, chain and host name")]
    Tls(#[source] Source),
    /// Time ran out before the answer's head. The event may have arrived.
    #[error("the receiver did not answer within {} ms", after.as_millis())]
    Timeout {
        /// The limit that was reached: the attempt's, or the one for connecting.
        after: Duration,
    },
    /// The connection broke before the answer's head, or the answer is not HTTP.
    /// The event may have arrived.
    #[error("the receiver broke off without a valid answer")]
    Broken(#[source] Source),
    /// The receiver answered 3xx. Redirects are never followed.
    #[error(
        "the receiver answered {status}, a redirect, and redirects are not followed; enter the final URL"
    )]
    Redirect {
        /// The 3xx status.
        status: u16,
        /// The `Location` it gave, cut to 256 characters, unchecked.
        location: Option<String>,
    },
}

impl DeliverError {
    /// A stable name for logs, metrics and the delivery log.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadUrl(_) => "bad_url",
            Self::RefusedAddress(_) => "refused_address",
            Self::Signature(_) => "signature",
            Self::EventType => "event_type",
            Self::Resolve(_) => "resolve",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Timeout { .. } => "timeout",
            Self::Broken(_) => "broken",
            Self::Redirect { .. } => "redirect",
        }
    }

    /// Sorts what the HTTP client reports.
    pub(super) fn from_client(error: reqwest::Error, connect_timeout: Duration) -> Self {
        // The URL's path or query may be a secret.
        let error = error.without_url();
        if let Some(refusal) = find::<Refusal>(&error) {
            return Self::RefusedAddress(refusal.clone());
        }
        if find::<LookupFailed>(&error).is_some() {
            return Self::Resolve(error.into());
        }
        if error.is_timeout() {
            return Self::Timeout { after: connect_timeout };
        }
        if !error.is_connect() {
            return Self::Broken(error.into());
        }
        if find::<rustls::Error>(&error).is_some() {
            Self::Tls(error.into())
        } else {
            Self::Connect(error.into())
        }
    }
}

/// Looks for a cause of one type anywhere in a chain.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        // An io::Error leaves out of its chain the very error it wraps.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}
