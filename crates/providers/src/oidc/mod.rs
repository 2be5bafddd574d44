//! One OpenID Connect provider: what it announces, the trade of a code for tokens, and every check of the
//! ID token before anybody believes it.
//!
//! The protocol is written here over this workspace's HTTP client, and signatures are checked by
//! `jsonwebtoken` on `aws-lc-rs`. The ready-made client crate (`openidconnect` 4) was weighed and left: even
//! without its default features it compiles a second cryptography stack, among it the `rsa` crate with its
//! open timing advisory (RUSTSEC-2023-0071), and what it would save is these few files.
//!
//! What is deliberately absent: sessions, accounts and who may come in (the caller decides), refresh
//! tokens (none is asked for and none is kept), symmetric and `none` signatures, encrypted ID tokens,
//! redirects, and retries.

mod client;
mod config;
mod discovery;
mod http;
mod id_token;
mod keys;

pub use client::{CACHE_FOR, OidcClient};
pub use config::{ConfigError, OidcConfig, TIME_LIMIT};
pub use http::MAX_BODY_BYTES;
pub use id_token::CLOCK_SKEW;
