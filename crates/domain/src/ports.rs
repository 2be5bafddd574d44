//! Ports: the traits through which jobs reach the outside world. Real clients live in `providers` and
//! are wired up by `workers`; jobs see only these.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use url::Url;

use crate::ids::{OrgId, WorkspaceId};

/// A future behind a port.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One event on its way to one subscriber.
pub struct WebhookDelivery<'a> {
    /// The subscriber's address; checked again when it is connected to.
    pub url: &'a Url,
    /// The event's id: the same for every attempt, so that the receiver can recognise repeats.
    pub event_id: &'a str,
    /// The event's type, such as `order.paid`: for routing on the way; the signed copy is in the body.
    pub event_type: &'a str,
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
    /// The event can't be signed or framed as asked (a malformed secret, id or type): trying again
    /// won't help.
    Unsignable(String),
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
            Self::Refused(message) | Self::Unsignable(message) | Self::Unreachable { message, .. } => {
                f.write_str(message)
            }
        }
    }
}

impl std::error::Error for WebhookFault {}

/// Delivers signed events to subscribers.
pub trait WebhookSender: Send + Sync + 'static {
    /// Signs and posts one event; any HTTP status is an answer, not a fault.
    fn deliver<'a>(
        &'a self,
        delivery: WebhookDelivery<'a>,
    ) -> PortFuture<'a, Result<WebhookAnswer, WebhookFault>>;
}

/// Why signing secrets could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretsFault {
    /// Whoever keeps them did not answer: may be tried again.
    Away(String),
    /// They are there but can't be opened or read: trying again won't help.
    Unusable(String),
}

impl fmt::Display for SecretsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(message) | Self::Unusable(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for SecretsFault {}

/// Knows the signing secrets of each organisation's webhook endpoints. A job's payload never carries one.
pub trait WebhookSecrets: Send + Sync + 'static {
    /// The `whsec_…` secrets that events of `org` to `url` are signed with, the newest first: several
    /// while a rotation overlaps, none when the endpoint has no secret.
    fn signing_secrets<'a>(
        &'a self,
        org: OrgId,
        url: &'a Url,
    ) -> PortFuture<'a, Result<Vec<SecretString>, SecretsFault>>;
}

/// Which credential a job asks for.
#[derive(Clone, Copy, Debug)]
pub struct SecretAsk<'a> {
    /// Whose.
    pub org: OrgId,
    /// The job's room. A job in a room is given what belongs to its room or to the whole organisation; one in
    /// no room, whatever the organisation has.
    pub workspace: Option<WorkspaceId>,
    /// The credential's name.
    pub name: &'a str,
    /// The job's kind, for the map of who uses what.
    pub used_by: &'a str,
}

/// Why a credential could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultFault {
    /// There is none of that name for this job.
    NotFound(String),
    /// It is there but can't be opened here: trying again won't help.
    Unusable(String),
    /// Whoever keeps it did not answer: may be tried again.
    Away(String),
}

impl fmt::Display for VaultFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(message) | Self::Unusable(message) | Self::Away(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for VaultFault {}

/// Opens provider credentials, in workers only. A job's payload never carries one.
pub trait Vault: Send + Sync + 'static {
    /// The value of one credential, opened for this one use.
    fn open<'a>(&'a self, ask: SecretAsk<'a>) -> PortFuture<'a, Result<SecretString, VaultFault>>;
}
