//! Provider credentials, sealed: stored and listed as the app, opened and wrapped anew as the vault's role.
//!
//! Values come and go sealed; what is in them nobody here can read. Refuses to hand sealed bytes to the app:
//! the database does not give them to its role.

mod manage;
mod map;
mod opening;
mod rewrapping;
mod seeds;

pub use manage::{NewSecret, SecretPatch, create, delete, describe, next_version, replace};
pub use map::{SecretRow, Use, get, list};
pub use opening::{Found, find, note_uses};
pub use rewrapping::{KeyUse, Wrapped, keys, rewrap, with_old_keys};
pub use seeds::{SEED_PURPOSE, accounts_with_seeds, reseal_seeds};

use domain::{OrgId, SecretId};

/// What a credential's seal is bound to: moved to another organisation, row or version, it does not open.
/// Every part has its fixed length, so no two differ and read alike.
#[must_use]
pub fn seal_context(org: OrgId, secret: SecretId, version: i32) -> Vec<u8> {
    [b"secret".as_slice(), org.0.as_bytes(), secret.0.as_bytes(), &version.to_be_bytes()].concat()
}

/// A sealed value, as it is stored.
#[derive(Clone)]
pub struct SealedValue {
    /// Which long-lived key wraps the value's own.
    pub key_id: String,
    /// The value's own key, wrapped.
    pub wrapped_key: Vec<u8>,
    /// The value under its own key.
    pub ciphertext: Vec<u8>,
}
