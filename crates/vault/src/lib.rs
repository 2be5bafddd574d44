//! Keys, and what is done with them.
//!
//! - **Provider credentials** are sealed with public keys ([`SealingKeys`]) and opened through an [`Opener`]:
//!   the private keys here ([`OpeningKeys`]), or a KMS. The API holds only the public half, so it can store a
//!   credential and never read one.
//! - **The API's own secrets and tokens** use [`AuthKeys`]: seeds it has to read again, codes it has to
//!   recognise, secrets it signs tokens with.
//! - **Audit checkpoints** are signed with a [`CheckpointKey`] and checked by anybody with a
//!   [`CheckpointPublicKey`].
//!
//! Keys come from a folder ([`files`]) or from the environment ([`KeyConfig`]). Every ring lists its newest
//! key first: new things are sealed with that one, older things still open with theirs.
//!
//! What is sealed is bound to a context (see [`context()`]): moved to another row, it does not open.
//!
//! Refuses to touch a database or the network, to write a key over another, and to show a key or a secret
//! in `Debug`, an error or anywhere else.

mod aead;
mod auth;
mod checkpoint;
mod config;
mod context;
mod envelope;
mod error;
pub mod files;
#[cfg(test)]
mod fixtures;
mod key_id;
mod kind;
mod opening;
mod sealing;
mod text;

pub use auth::{AuthKeys, SigningSecret};
pub use checkpoint::{CheckpointKey, CheckpointPublicKey, SIGNATURE_BYTES};
pub use config::{KeyConfig, if_any};
pub use context::context;
pub use envelope::{DataKey, MAX_PLAINTEXT_BYTES, Opener, Sealed, open, open_bytes, rewrap};
pub use error::VaultError;
pub use opening::OpeningKeys;
pub use sealing::SealingKeys;
