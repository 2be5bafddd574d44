//! Ports: the traits through which jobs reach the outside world. Real clients live in `providers` and
//! are wired up by `workers`; jobs see only these.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use url::Url;

/// A future behind a port.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One event on its way to one subscriber.
pub struct WebhookDelivery<'a> {
    /// The subscriber's address; checked again when it is connected to.
    pub url: &'a Url,
    /// The event's id: the same for every attempt, so that the receiver can recognise repeats.
    pub event_id: &'a str,
    /// The time that is signed.
    pub timestamp: DateTime<Utc>,
    /// The exact bytes that are signed and sent.
    pub body: &'a [u8],
    /// `whsec_…` secrets; more than one while a secret is being rotated.
    pub secrets: &'a [SecretString],
    /// Upper bound for the whole exchange.
    pub timeout: Duration,
}

/// What a subscriber answered.
#[derive(Clone, Debug)]
pub struct WebhookAnswer {
    /// HTTP status.
    pub status: u16,
    /// Parsed `Retry-After`, if any.
    pub retry_after: Option<Duration>,
    /// The first part of the body, as text.
    pub body: String,
    /// How long the exchange took.
    pub took: Duration,
}

/// Why an event could not be put before a subscriber.
#[derive(Clone, Debug)]
pub enum WebhookFault {
    /// The address may not be connected to, or the URL is not acceptable: trying again won't help.
    Refused(String),
    /// No answer (timeout, connection, TLS, redirect): may be tried again. The code groups causes.
    Unreachable {
        /// Short, stable, snake_case: `timeout`, `connect`, `tls`, `dns`, `redirect`.
        code: &'static str,
        /// For people.
        message: String,
    },
}

impl fmt::Display for WebhookFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(message) | Self::Unreachable { message, .. } => f.write_str(message),
        }
    }
}

impl std::error::Error for WebhookFault {}

/// Delivers signed events to subscribers.
pub trait WebhookSender: Send + Sync + 'static {
    /// Signs and posts one event; any HTTP status is an answer, not a fault.
    fn deliver<'a>(&'a self, delivery: WebhookDelivery<'a>) -> PortFuture<'a, Result<WebhookAnswer, WebhookFault>>;
}
