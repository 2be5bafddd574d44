//! A secret value on its way in: never shown, not in an error either, and sealed before it is stored.

use domain::{OrgId, SecretId};
use secrecy::{ExposeSecret, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use store::secrets::{SealedValue, seal_context};

use crate::problem::{Code, Problem};
use crate::state::Api;

/// Longest value, in bytes.
pub(super) const MAX_VALUE: usize = 64 * 1024;

/// Largest body: every byte of a value may be written as six.
pub(super) const MAX_BODY: usize = 6 * MAX_VALUE + 16 * 1024;

/// Reads a text without repeating in an error what was sent instead of one.
pub(crate) fn hidden<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    match String::deserialize(from) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err(D::Error::custom("must be a text")),
    }
}

/// The same where it may be left out.
pub(crate) fn hidden_option<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    match Option::<String>::deserialize(from) {
        Ok(text) => Ok(text.map(SecretString::from)),
        Err(_) => Err(D::Error::custom("must be a text, or left out")),
    }
}

/// Seals a value for one place.
pub(super) fn seal(
    api: &Api,
    org: OrgId,
    secret: SecretId,
    version: i32,
    value: &SecretString,
) -> Result<SealedValue, Problem> {
    if !(1..=MAX_VALUE).contains(&value.expose_secret().len()) {
        return Err(Problem::field("/value", "must have 1 to 65536 bytes"));
    }
    let keys = api.sealing_keys().ok_or_else(|| {
        Problem::new(
            Code::KeysMissing,
            "this process has no keys to seal secrets with; run countersign keys init, set COUNTERSIGN_KEYS_DIR and restart it",
        )
    })?;
    let sealed = keys.seal(value, &seal_context(org, secret, version)).map_err(Problem::internal)?;
    Ok(SealedValue { key_id: sealed.key_id, wrapped_key: sealed.wrapped_key, ciphertext: sealed.ciphertext })
}
