//! Delivery of one event to a subscriber's URL: signed as Standard Webhooks
//! asks, and unable to reach anything inside the operator's network.
//!
//! The URL comes from a tenant, so it is treated as hostile. Four things stand
//! between it and the network, and each holds without the others:
//!
//! 1. [`check_url`] refuses URLs that are ambiguous or carry more than a place.
//! 2. [`AddressGuard`] refuses every address that is not public unicast, unless
//!    configuration opened it.
//! 3. The guard runs inside the HTTP client's own name resolution, so the
//!    addresses that were judged are the addresses that are dialled. A name
//!    that changes its answer gains nothing.
//! 4. Redirects are never followed and proxies from the environment are ignored.
//!
//! What is deliberately absent: retries, order, rate limits and the decision to
//! disable an endpoint. One call of [`WebhookClient::deliver`] is one attempt.

mod address;
mod address_kind;
mod client;
mod config;
mod delivery;
mod error;
mod resolver;
mod retry_after;
mod signature;
mod url_rules;

pub use address::{AddressGuard, Exception, InvalidException, PortGuard, Refusal};
pub use address_kind::{AddressKind, kind_of};
pub use client::WebhookClient;
pub use config::{ConfigError, WebhookConfig};
pub use delivery::{Delivery, MAX_BODY_BYTES, Outcome};
pub use error::{DeliverError, Source};
pub use resolver::{Lookup, LookupFuture, SystemLookup};
pub use retry_after::{MAX_RETRY_AFTER, parse_retry_after};
pub use signature::{
    DEFAULT_SECRET_BYTES, HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, MAX_SECRET_BYTES, MAX_SECRETS,
    MIN_SECRET_BYTES, SECRET_PREFIX, SignatureError, SignedHeaders, check_secret, generate_secret,
    generate_secret_of, sign,
};
pub use url_rules::{BadUrl, MAX_URL_BYTES, Target, check_url};
