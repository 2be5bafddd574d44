//! AES-256-GCM over one buffer: `nonce (12) ‖ ciphertext ‖ tag (16)`, with a random nonce.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use secrecy::SecretSlice;
use zeroize::Zeroizing;

use crate::VaultError;

/// Length of a key.
pub(crate) const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// What sealing adds to the length.
pub(crate) const OVERHEAD: usize = NONCE_LEN + TAG_BYTES;

/// Seals `plaintext`; the result starts with `prefix`, which is not covered unless `aad` holds it too.
pub(crate) fn seal(
    key: &[u8; KEY_BYTES],
    aad: &[u8],
    plaintext: &[u8],
    prefix: &[u8],
) -> Result<Vec<u8>, VaultError> {
    let cipher = cipher(key)?;
    let start = prefix.len() + NONCE_LEN;
    // Long enough from the start: growing would leave a copy of the plaintext behind.
    let mut out = Vec::with_capacity(prefix.len() + plaintext.len() + OVERHEAD);
    out.extend_from_slice(prefix);
    out.extend_from_slice(&[0; NONCE_LEN]);
    out.extend_from_slice(plaintext);
    let (nonce, tag) = cipher
        .seal_in_place_separate_tag(Aad::from(aad), &mut out[start..])
        .map_err(|_| VaultError::Library("encrypt"))?;
    out[prefix.len()..start].copy_from_slice(nonce.as_ref());
    out.extend_from_slice(tag.as_ref());
    Ok(out)
}

/// Opens what [`seal`] made, without its prefix.
pub(crate) fn open(key: &[u8; KEY_BYTES], aad: &[u8], sealed: &[u8]) -> Result<SecretSlice<u8>, VaultError> {
    let too_short = VaultError::NotSealed("it is too short");
    let Some((nonce, body)) = sealed.split_at_checked(NONCE_LEN) else { return Err(too_short) };
    if body.len() < TAG_BYTES {
        return Err(too_short);
    }
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| too_short)?;
    let mut buffer = Zeroizing::new(body.to_vec());
    let plaintext = cipher(key)?
        .open_in_place(nonce, Aad::from(aad), &mut buffer)
        .map_err(|_| VaultError::DoesNotOpen)?;
    Ok(plaintext.to_vec().into())
}

fn cipher(key: &[u8; KEY_BYTES]) -> Result<RandomizedNonceKey, VaultError> {
    RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| VaultError::Library("use a key"))
}
