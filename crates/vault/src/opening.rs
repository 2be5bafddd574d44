//! The private half: the [`Opener`] whose keys are in this process. For workers; never for the API.

use std::fmt;
use std::future::ready;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use domain::ports::PortFuture;
use zeroize::Zeroizing;

use crate::envelope::{DataKey, Opener};
use crate::sealing::{check_bits, not_rsa, public_der};
use crate::{VaultError, key_id, kind, text};

/// Private keys, the newest first.
pub struct OpeningKeys {
    /// Never empty.
    keys: Vec<PrivateKey>,
}

struct PrivateKey {
    id: String,
    public_der: Vec<u8>,
    key: OaepPrivateDecryptingKey,
}

impl OpeningKeys {
    /// Reads `-----BEGIN PRIVATE KEY-----` blocks (PKCS#8, without a password), the newest first. `place`
    /// is the file or variable that the text comes from, for errors.
    ///
    /// # Errors
    /// [`VaultError::Format`] for anything that is not an RSA private key of 3072 to 4096 bits.
    pub fn from_pem(pem: &str, place: &str) -> Result<Self, VaultError> {
        let mut keys: Vec<PrivateKey> = Vec::new();
        for der in text::pem_blocks(pem, text::PRIVATE, place)? {
            let key = PrivateDecryptingKey::from_pkcs8(&der).map_err(|_| not_rsa(place))?;
            check_bits(key.key_size_bits(), place)?;
            let public_der = public_der(&key.public_key())?;
            let id = key_id::of(&public_der);
            if keys.iter().any(|known| known.id == id) {
                return Err(VaultError::format(place, format!("the key {id} is in it twice; remove one")));
            }
            let key = OaepPrivateDecryptingKey::new(key).map_err(|_| not_rsa(place))?;
            keys.push(PrivateKey { id, public_der, key });
        }
        Ok(Self { keys })
    }

    /// Ids, the newest first.
    #[must_use]
    pub fn ids(&self) -> Vec<&str> {
        self.keys.iter().map(|key| key.id.as_str()).collect()
    }

    /// The public half of each key in the same order: what [`SealingKeys::from_pem`](crate::SealingKeys)
    /// reads.
    #[must_use]
    pub fn public_pem(&self) -> String {
        self.keys.iter().map(|key| text::pem(text::PUBLIC, &key.public_der).to_string()).collect()
    }

    fn unwrap_here(&self, key_id: &str, wrapped: &[u8], context: &[u8]) -> Result<DataKey, VaultError> {
        let key = self
            .keys
            .iter()
            .find(|key| key.id == key_id)
            .ok_or_else(|| VaultError::UnknownKey { key_id: key_id.to_owned(), what: kind::VAULT.what })?;
        let mut buffer = Zeroizing::new(vec![0; key.key.min_output_size()]);
        let bytes = key
            .key
            .decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut buffer, None)
            .map_err(|_| VaultError::DoesNotOpen)?;
        DataKey::unwrapped(bytes, context)
    }
}

/// Answers at once; one unwrapping takes about a millisecond of this thread.
impl Opener for OpeningKeys {
    fn unwrap_key<'a>(
        &'a self,
        key_id: &'a str,
        wrapped_key: &'a [u8],
        context: &'a [u8],
    ) -> PortFuture<'a, Result<DataKey, VaultError>> {
        Box::pin(ready(self.unwrap_here(key_id, wrapped_key, context)))
    }
}

/// Ids only.
impl fmt::Debug for OpeningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpeningKeys").field("ids", &self.ids()).finish()
    }
}

/// A new private key of 3072 bits, as one PEM block.
pub(crate) fn generate() -> Result<Zeroizing<String>, VaultError> {
    let key =
        PrivateDecryptingKey::generate(KeySize::Rsa3072).map_err(|_| VaultError::Library("make a key"))?;
    let der = key.as_der().map_err(|_| VaultError::Library("write a private key"))?;
    Ok(text::pem(text::PRIVATE, der.as_ref()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::fixtures::{new_key, old_key, shows};

    #[test]
    fn what_is_no_private_rsa_key_is_refused_with_advice() {
        let keys = OpeningKeys::from_pem(old_key(), "vault.pem").unwrap();
        let twice = format!("{}{}", old_key(), old_key());
        for (text, says) in [
            (keys.public_pem().as_str(), "holds a public key"),
            (twice.as_str(), "twice"),
            ("\n# nothing\n", "no PEM block"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not an RSA key"),
            ("-----BEGIN PRIVATE KEY-----\nA!AA\n-----END PRIVATE KEY-----\n", "damaged"),
            ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", "openssl pkcs8"),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
                "password",
            ),
            (&old_key()[..old_key().len() - 20], "cut off"),
        ] {
            let error = OpeningKeys::from_pem(text, "vault.pem").unwrap_err().to_string();
            assert!(error.starts_with("vault.pem") && error.contains(says), "{error}");
            assert!(!error.contains("AAAA") && !error.contains(&old_key()[60..80]), "{error}");
        }
    }

    #[test]
    fn a_variable_may_hold_its_line_ends_escaped() {
        let escaped = format!("{}{}", old_key(), new_key()).replace('\n', "\\n");
        let keys = OpeningKeys::from_pem(&escaped, "COUNTERSIGN_VAULT_PRIVATE_KEYS").unwrap();
        assert_eq!(keys.ids().len(), 2);
    }

    #[test]
    fn debug_shows_ids_only() {
        let keys = OpeningKeys::from_pem(old_key(), "vault.pem").unwrap();
        let text = format!("{keys:?}");
        assert_eq!(text, format!("OpeningKeys {{ ids: [{:?}] }}", keys.ids()[0]));
        let der = text::pem_blocks(old_key(), text::PRIVATE, "test").unwrap().remove(0);
        assert!(!shows(&text, &der));
    }
}
