//! The public half: seals, and can't open.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use secrecy::{ExposeSecret, SecretString};

use crate::envelope::{DataKey, check_context, check_size};
use crate::{Sealed, VaultError, aead, key_id, text};

/// Lengths an RSA key may have, in bits. Shorter is too weak; longer makes every opening slow.
pub(crate) const RSA_BITS: std::ops::RangeInclusive<usize> = 3072..=4096;

/// Public keys, the newest first.
pub struct SealingKeys {
    /// Never empty.
    keys: Vec<PublicKey>,
}

struct PublicKey {
    id: String,
    key: OaepPublicEncryptingKey,
}

impl SealingKeys {
    /// Reads `-----BEGIN PUBLIC KEY-----` blocks, the newest first. `place` is the file or variable that
    /// the text comes from, for errors.
    ///
    /// # Errors
    /// [`VaultError::Format`] for anything that is not an RSA public key of 3072 to 4096 bits, and for a
    /// private key, which does not belong where things are only sealed.
    pub fn from_pem(pem: &str, place: &str) -> Result<Self, VaultError> {
        let mut keys: Vec<PublicKey> = Vec::new();
        for der in text::pem_blocks(pem, text::PUBLIC, place)? {
            let key = PublicEncryptingKey::from_der(&der).map_err(|_| not_rsa(place))?;
            check_bits(key.key_size_bits(), place)?;
            let id = key_id::of(&public_der(&key)?);
            if keys.iter().any(|known| known.id == id) {
                return Err(VaultError::format(place, format!("the key {id} is in it twice; remove one")));
            }
            let key = OaepPublicEncryptingKey::new(key).map_err(|_| not_rsa(place))?;
            keys.push(PublicKey { id, key });
        }
        Ok(Self { keys })
    }

    /// Ids, the newest first.
    #[must_use]
    pub fn ids(&self) -> Vec<&str> {
        self.keys.iter().map(|key| key.id.as_str()).collect()
    }

    /// Whether it is wrapped with the newest key: if not, [`rewrap`](crate::rewrap) it.
    #[must_use]
    pub fn is_current(&self, sealed: &Sealed) -> bool {
        self.keys.first().is_some_and(|key| key.id == sealed.key_id)
    }

    /// Seals text with a fresh key, wrapped with the newest one of these.
    ///
    /// # Errors
    /// [`VaultError::Argument`] for an empty context or more than
    /// [`MAX_PLAINTEXT_BYTES`](crate::MAX_PLAINTEXT_BYTES).
    pub fn seal(&self, plaintext: &SecretString, context: &[u8]) -> Result<Sealed, VaultError> {
        self.seal_bytes(plaintext.expose_secret().as_bytes(), context)
    }

    /// Seals bytes, as [`SealingKeys::seal`] does text.
    ///
    /// # Errors
    /// Those of [`SealingKeys::seal`].
    pub fn seal_bytes(&self, plaintext: &[u8], context: &[u8]) -> Result<Sealed, VaultError> {
        check_context(context)?;
        check_size(plaintext)?;
        let key = DataKey::new()?;
        let (key_id, wrapped_key) = self.wrap(&key, context)?;
        let ciphertext = aead::seal(key.bytes(), context, plaintext, &[])?;
        Ok(Sealed { key_id, wrapped_key, ciphertext })
    }

    /// The newest key's id, and `key` wrapped with it.
    pub(crate) fn wrap(&self, key: &DataKey, context: &[u8]) -> Result<(String, Vec<u8>), VaultError> {
        let newest = self.keys.first().ok_or(VaultError::Argument("there is no key to seal with"))?;
        let bound = key.bound_to(context);
        let mut wrapped = vec![0; newest.key.ciphertext_size()];
        let length = newest
            .key
            .encrypt(&OAEP_SHA256_MGF1SHA256, bound.as_slice(), &mut wrapped, None)
            .map_err(|_| VaultError::Library("wrap a key"))?
            .len();
        wrapped.truncate(length);
        Ok((newest.id.clone(), wrapped))
    }
}

/// Ids only.
impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKeys").field("ids", &self.ids()).finish()
    }
}

/// A public key as SubjectPublicKeyInfo, always in the same bytes.
pub(crate) fn public_der(key: &PublicEncryptingKey) -> Result<Vec<u8>, VaultError> {
    let der = key.as_der().map_err(|_| VaultError::Library("write a public key"))?;
    Ok(der.as_ref().to_vec())
}

pub(crate) fn check_bits(bits: usize, place: &str) -> Result<(), VaultError> {
    if RSA_BITS.contains(&bits) {
        return Ok(());
    }
    Err(VaultError::format(
        place,
        format!("an RSA key in it has {bits} bits; use one of 3072, as `countersign keys init` makes them"),
    ))
}

pub(crate) fn not_rsa(place: &str) -> VaultError {
    VaultError::format(
        place,
        "a block in it is not an RSA key; use one of 3072 bits, as `countersign keys init` makes them",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::OpeningKeys;
    use crate::fixtures::old_key;

    #[test]
    fn only_public_rsa_keys_of_the_right_size_are_taken() {
        let public = OpeningKeys::from_pem(old_key(), "vault.pem").unwrap().public_pem();
        let twice = format!("{public}{public}");
        for (text, says) in [
            (old_key(), "private key"),
            (twice.as_str(), "twice"),
            ("", "no PEM block"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not an RSA key"),
            (&public[..public.len() - 30], "cut off"),
            (SHORT, "2048 bits"),
            (ED25519, "not an RSA key"),
        ] {
            let error = SealingKeys::from_pem(text, "vault.pub.pem").unwrap_err().to_string();
            assert!(error.starts_with("vault.pub.pem") && error.contains(says), "{error}");
        }
        let keys = SealingKeys::from_pem(&public, "vault.pub.pem").unwrap();
        assert_eq!(format!("{keys:?}"), format!("SealingKeys {{ ids: [{:?}] }}", keys.ids()[0]));
    }

    const SHORT: &str = "\
        -----BEGIN PUBLIC KEY-----\n\
        MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0t9lorgumx9w1mJUlEKO\n\
        VxXGaUGSMIxufeIIbJJC6dfQ0f7/CLQonbaCEep2DhLVw2Ks1Mkbn3ZePOVFIsEH\n\
        ZqfQlpTynRGjlzn2CVBhRb2KKLz4yxNnVCVMLosAqBiZPhefqk8gYya3pYM4YwKt\n\
        YQWnAIWkK+WLudYKh8cluJEswZH5CCDbId3gGsAIb7CrUnSFC7APn2tvBclPIepD\n\
        ouGxUIP9TEzqgvj/axai76pQ5pwF0wvX20jkLUnNSCtn+P0X8qSfTc6pUVJcdM7l\n\
        NduiQkp50TPobao+NKoKHDDMk0ln01ASLt/VTn5IQEmvJL2uDVbpxcVgr3hJy7LC\n\
        9wIDAQAB\n\
        -----END PUBLIC KEY-----\n";

    const ED25519: &str = "\
        -----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAIoMmJBQrb0p/OiK/VhqOCH/ppneCKHLH5RykLn5MuA4=\n\
        -----END PUBLIC KEY-----\n";
}
