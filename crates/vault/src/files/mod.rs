//! The folder with keys.
//!
//! ```text
//! vault.pem       private keys that open provider credentials    0600, workers only
//! vault.pub.pem   their public halves                            0644, whoever seals
//! auth.keys       the API's own keys, one base64 line each       0600, the API
//! audit.pem       the key that signs audit checkpoints           0600, workers
//! audit.pub       its public half                                0644, anybody
//! ```
//!
//! A process needs only the files it uses: leave `vault.pem` out of the API's folder. Rings list the newest
//! key first. Nothing here removes a key or writes one file's content over another key.

mod disk;
mod make;

use std::path::Path;

pub use make::{add_auth_key, add_vault_key, init};

use crate::kind::{AUDIT, AUDIT_PUBLIC, AUTH, Kind, VAULT, VAULT_PUBLIC};
use crate::{AuthKeys, CheckpointKey, CheckpointPublicKey, OpeningKeys, SealingKeys, VaultError};

/// Reads `vault.pem`.
///
/// # Errors
/// [`VaultError::NoFile`] when it is not there, [`VaultError::OpenToOthers`] when its mode is too open,
/// [`VaultError::Format`] when it holds something else. So for the other files.
pub fn opening_keys(dir: &Path) -> Result<OpeningKeys, VaultError> {
    load(dir, VAULT, OpeningKeys::from_pem)
}

/// Reads `vault.pub.pem`.
///
/// # Errors
/// As [`opening_keys`]; public files may be readable by everybody.
pub fn sealing_keys(dir: &Path) -> Result<SealingKeys, VaultError> {
    load(dir, VAULT_PUBLIC, SealingKeys::from_pem)
}

/// Reads `auth.keys`.
///
/// # Errors
/// As [`opening_keys`].
pub fn auth_keys(dir: &Path) -> Result<AuthKeys, VaultError> {
    load(dir, AUTH, AuthKeys::from_lines)
}

/// Reads `audit.pem`.
///
/// # Errors
/// As [`opening_keys`].
pub fn checkpoint_key(dir: &Path) -> Result<CheckpointKey, VaultError> {
    load(dir, AUDIT, CheckpointKey::from_pem)
}

/// Reads `audit.pub`.
///
/// # Errors
/// As [`sealing_keys`].
pub fn checkpoint_public_key(dir: &Path) -> Result<CheckpointPublicKey, VaultError> {
    load(dir, AUDIT_PUBLIC, CheckpointPublicKey::from_text)
}

fn load<T>(
    dir: &Path,
    kind: Kind,
    read: impl Fn(&str, &str) -> Result<T, VaultError>,
) -> Result<T, VaultError> {
    let path = dir.join(kind.file);
    let text = disk::read(&path, kind)?;
    read(&text, &path.display().to_string())
}

#[cfg(test)]
mod tests;
