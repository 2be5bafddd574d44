//! Short names for keys: the first 8 bytes of a SHA-256, in hex. They tell keys apart; they prove nothing.

use sha2::{Digest, Sha256};

/// Length of an id before it is written in hex.
pub(crate) const BYTES: usize = 8;

/// The id of the key whose public form is `public`.
pub(crate) fn of(public: &[u8]) -> String {
    let hash = Sha256::digest(public);
    hex::encode(&hash[..BYTES])
}
