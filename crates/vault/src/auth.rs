//! The API's own keys: a ring of 32-byte keys, each of them stretched with HKDF-SHA256 into one key per use
//! and purpose, so that a code for one purpose says nothing about another.
//!
//! It refuses empty purposes. One purpose's key seals with random nonces, so it is meant for millions of
//! values, not for more than 2^32.

use std::fmt;

use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::hmac;
use secrecy::{SecretBox, SecretSlice};
use zeroize::Zeroizing;

use crate::envelope::{check_context, check_size};
use crate::{VaultError, aead, key_id, kind, text};

/// A secret that tokens of one purpose are signed with. `Debug` does not show it.
pub type SigningSecret = SecretBox<[u8; 32]>;

/// Sets this crate's keys apart from whatever else somebody derives from the same bytes.
const SALT: &[u8] = b"countersign.auth.v1";
/// First byte of everything sealed here.
const VERSION: u8 = 1;
/// Version and key id.
const HEADER_BYTES: usize = 1 + key_id::BYTES;

/// What a derived key is used for; each name is part of the derivation.
const ID: &str = "id";
const SEAL: &str = "seal";
const MAC: &str = "mac";
const SIGN: &str = "sign";

/// Symmetric keys, the newest first.
pub struct AuthKeys {
    newest: AuthKey,
    older: Vec<AuthKey>,
}

struct AuthKey {
    id: String,
    id_bytes: [u8; key_id::BYTES],
    root: Prk,
}

impl AuthKeys {
    /// Reads one base64 key of 32 bytes a line (or separated by commas), the newest first; lines that start
    /// with `#` are comments. `place` is the file or variable that the text comes from, for errors.
    ///
    /// # Errors
    /// [`VaultError::Format`] for anything else, for the same key twice, and for a key that is plainly no
    /// random one.
    pub fn from_lines(lines: &str, place: &str) -> Result<Self, VaultError> {
        let mut keys: Vec<AuthKey> = Vec::new();
        for bytes in text::key_lines(lines, place)? {
            if bytes.iter().all(|byte| *byte == bytes[0]) {
                return Err(VaultError::format(
                    place,
                    "a key in it is one byte repeated, so anybody can guess it; make one with `openssl rand \
                     -base64 32`",
                ));
            }
            let key = AuthKey::new(&bytes)?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(VaultError::format(
                    place,
                    format!("the key {} is in it twice; remove one", key.id),
                ));
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let newest = keys.next().ok_or_else(|| VaultError::format(place, "there is no key in it"))?;
        Ok(Self { newest, older: keys.collect() })
    }

    /// Ids, the newest first.
    #[must_use]
    pub fn ids(&self) -> Vec<&str> {
        self.all().map(|key| key.id.as_str()).collect()
    }

    /// Seals a value that the API has to read again, with the newest key: `version (1) ‖ key id (8) ‖ nonce
    /// (12) ‖ ciphertext ‖ tag (16)`.
    ///
    /// # Errors
    /// [`VaultError::Argument`] for an empty purpose or context, or more than 64 KiB.
    pub fn seal(&self, purpose: &str, plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>, VaultError> {
        check_context(context)?;
        check_size(plaintext)?;
        let key = self.newest.derive(SEAL, purpose)?;
        let mut header = [VERSION; HEADER_BYTES];
        header[1..].copy_from_slice(&self.newest.id_bytes);
        aead::seal(&key, &[&header, context].concat(), plaintext, &header)
    }

    /// Opens what [`AuthKeys::seal`] made with any key of the ring.
    ///
    /// # Errors
    /// [`VaultError::DoesNotOpen`] when anything was changed, or purpose or context are others;
    /// [`VaultError::UnknownKey`] when its key has left the ring; [`VaultError::NotSealed`] when it is
    /// something else altogether.
    pub fn open(&self, purpose: &str, sealed: &[u8], context: &[u8]) -> Result<SecretSlice<u8>, VaultError> {
        check_context(context)?;
        let (header, body, key_id) = parts(sealed)?;
        let key = self.by_id(&key_id)?.derive(SEAL, purpose)?;
        aead::open(&key, &[header, context].concat(), body)
    }

    /// Whether something sealed used the newest key: if not, open it and seal it again.
    ///
    /// # Errors
    /// [`VaultError::NotSealed`] when it was not sealed here.
    pub fn is_current(&self, sealed: &[u8]) -> Result<bool, VaultError> {
        Ok(parts(sealed)?.2 == self.newest.id)
    }

    /// A code for `data`, by the newest key: HMAC-SHA256.
    ///
    /// # Errors
    /// [`VaultError::Argument`] for an empty purpose.
    pub fn mac(&self, purpose: &str, data: &[u8]) -> Result<[u8; 32], VaultError> {
        self.newest.mac(purpose, data)
    }

    /// The codes that any key of the ring gives `data`, the newest first: to find a stored one by equality.
    ///
    /// # Errors
    /// [`VaultError::Argument`] for an empty purpose.
    pub fn macs(&self, purpose: &str, data: &[u8]) -> Result<Vec<[u8; 32]>, VaultError> {
        self.all().map(|key| key.mac(purpose, data)).collect()
    }

    /// Whether some key of the ring gives `data` this code. Every key is tried and compared in constant
    /// time, so the time it takes says nothing about the code.
    #[must_use]
    pub fn verify_mac(&self, purpose: &str, data: &[u8], tag: &[u8]) -> bool {
        self.all().fold(false, |found, key| {
            let same = key.derive(MAC, purpose).is_ok_and(|derived| {
                hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, derived.as_slice()), data, tag).is_ok()
            });
            found | same
        })
    }

    /// What new tokens of this purpose are signed with, and the id to write into them.
    ///
    /// # Errors
    /// [`VaultError::Argument`] for an empty purpose.
    pub fn signing_secret(&self, purpose: &str) -> Result<(&str, SigningSecret), VaultError> {
        Ok((&self.newest.id, self.newest.signing_secret(purpose)?))
    }

    /// What a token that names this key was signed with.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`] when the key is not in the ring: the token is too old, or forged.
    pub fn signing_secret_of(&self, key_id: &str, purpose: &str) -> Result<SigningSecret, VaultError> {
        self.by_id(key_id)?.signing_secret(purpose)
    }

    fn all(&self) -> impl Iterator<Item = &AuthKey> {
        std::iter::once(&self.newest).chain(&self.older)
    }

    fn by_id(&self, key_id: &str) -> Result<&AuthKey, VaultError> {
        self.all()
            .find(|key| key.id == key_id)
            .ok_or_else(|| VaultError::UnknownKey { key_id: shown(key_id), what: kind::AUTH.what })
    }
}

/// Ids only.
impl fmt::Debug for AuthKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthKeys").field("ids", &self.ids()).finish()
    }
}

impl AuthKey {
    fn new(bytes: &[u8; 32]) -> Result<Self, VaultError> {
        let root = Salt::new(HKDF_SHA256, SALT).extract(bytes);
        let derived = derive(&root, ID, "")?;
        let mut id_bytes = [0; key_id::BYTES];
        id_bytes.copy_from_slice(&derived[..key_id::BYTES]);
        Ok(Self { id: hex::encode(id_bytes), id_bytes, root })
    }

    fn derive(&self, usage: &str, purpose: &str) -> Result<Zeroizing<[u8; 32]>, VaultError> {
        if purpose.is_empty() {
            return Err(VaultError::Argument("the purpose is empty; name what the key is for"));
        }
        derive(&self.root, usage, purpose)
    }

    fn mac(&self, purpose: &str, data: &[u8]) -> Result<[u8; 32], VaultError> {
        let key = self.derive(MAC, purpose)?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()), data);
        tag.as_ref().try_into().map_err(|_| VaultError::Library("make a code"))
    }

    fn signing_secret(&self, purpose: &str) -> Result<SigningSecret, VaultError> {
        Ok(SigningSecret::new(Box::new(*self.derive(SIGN, purpose)?)))
    }
}

/// No usage has a zero byte in it, so usage and purpose can't run into each other.
fn derive(root: &Prk, usage: &str, purpose: &str) -> Result<Zeroizing<[u8; 32]>, VaultError> {
    let mut key = Zeroizing::new([0; 32]);
    root.expand(&[usage.as_bytes(), b"\0", purpose.as_bytes()], HKDF_SHA256)
        .and_then(|derived| derived.fill(key.as_mut_slice()))
        .map_err(|_| VaultError::Library("derive a key"))?;
    Ok(key)
}

/// Header, rest and key id of something sealed.
fn parts(sealed: &[u8]) -> Result<(&[u8], &[u8], String), VaultError> {
    let (header, body) =
        sealed.split_at_checked(HEADER_BYTES).ok_or(VaultError::NotSealed("it is too short"))?;
    if header[0] != VERSION {
        return Err(VaultError::NotSealed("it starts with a version that is not known here"));
    }
    Ok((header, body, hex::encode(&header[1..])))
}

/// A key id out of somebody's token, fit to be shown.
fn shown(key_id: &str) -> String {
    key_id.chars().filter(char::is_ascii_alphanumeric).take(2 * key_id::BYTES).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;
    use crate::fixtures::shows;

    /// The bytes 0 to 31.
    const OLD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NEW: &str = "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA";

    fn ring(lines: &str) -> AuthKeys {
        AuthKeys::from_lines(lines, "auth.keys").unwrap()
    }

    #[test]
    fn another_implementation_derives_the_same() {
        // Computed with Python's hmac and cryptography from the bytes 0 to 31.
        let keys = ring(OLD);
        assert_eq!(keys.ids(), ["9001147c74853ee2"]);
        assert_eq!(
            hex::encode(keys.mac("reset", b"data").unwrap()),
            "74e84e87bd535b7243d680616d37668106d3d4b442eb99d5c1e044add80e60d7"
        );
        let (id, secret) = keys.signing_secret("access token").unwrap();
        assert_eq!(id, "9001147c74853ee2");
        assert_eq!(
            hex::encode(secret.expose_secret()),
            "67606f034b6e84cf682af9ab0b35b7f71a6f9a4b00f14bd7c3e50055719a8907"
        );
        let sealed =
            hex::decode("019001147c74853ee2000102030405060708090a0bd40e963aec83422668498f39c62e53931831357d")
                .unwrap();
        assert_eq!(keys.open("totp", &sealed, b"account 7").unwrap().expose_secret(), b"seed");
    }

    #[test]
    fn what_is_sealed_opens_only_for_its_purpose_and_context() {
        let keys = ring(OLD);
        let sealed = keys.seal("totp", b"seed", b"account 7").unwrap();
        assert_eq!(sealed.len(), 1 + 8 + 12 + 4 + 16);
        assert_eq!(keys.open("totp", &sealed, b"account 7").unwrap().expose_secret(), b"seed");
        for (purpose, context) in
            [("hook", &b"account 7"[..]), ("totp", b"account 8"), ("totp", b"account 70")]
        {
            assert!(matches!(keys.open(purpose, &sealed, context), Err(VaultError::DoesNotOpen)));
        }
        for (purpose, context) in [("", &b"account 7"[..]), ("totp", b"")] {
            assert!(matches!(keys.seal(purpose, b"seed", context), Err(VaultError::Argument(_))));
            assert!(matches!(keys.open(purpose, &sealed, context), Err(VaultError::Argument(_))));
        }
        assert_ne!(sealed, keys.seal("totp", b"seed", b"account 7").unwrap());
    }

    #[test]
    fn a_changed_byte_anywhere_is_refused() {
        let keys = ring(OLD);
        let sealed = keys.seal("totp", b"seed", b"account 7").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            let error = keys.open("totp", &changed, b"account 7").unwrap_err();
            let right = match at {
                0 => matches!(error, VaultError::NotSealed(_)),
                1..=8 => matches!(error, VaultError::UnknownKey { .. }),
                _ => matches!(error, VaultError::DoesNotOpen),
            };
            assert!(right, "byte {at}: {error}");
            let error = keys.open("totp", &sealed[..at], b"account 7").unwrap_err();
            assert!(
                matches!(error, VaultError::NotSealed(_) | VaultError::DoesNotOpen),
                "cut at {at}: {error}"
            );
        }
    }

    #[test]
    fn older_keys_still_open_and_the_key_id_is_part_of_the_seal() {
        let (old, new) = (ring(OLD), ring(NEW));
        let both = ring(&format!("# newest first\n{NEW}\n\n{OLD}\n"));
        assert_eq!(both.ids(), [new.ids()[0], old.ids()[0]]);
        let sealed = old.seal("totp", b"seed", b"a").unwrap();
        assert_eq!(both.open("totp", &sealed, b"a").unwrap().expose_secret(), b"seed");
        assert!(!both.is_current(&sealed).unwrap() && old.is_current(&sealed).unwrap());
        assert!(matches!(new.open("totp", &sealed, b"a"), Err(VaultError::UnknownKey { .. })));
        let again = both.seal("totp", b"seed", b"a").unwrap();
        assert!(both.is_current(&again).unwrap());
        assert_eq!(new.open("totp", &again, b"a").unwrap().expose_secret(), b"seed");
        let mut relabelled = sealed;
        relabelled[1..9].copy_from_slice(&again[1..9]);
        assert!(matches!(both.open("totp", &relabelled, b"a"), Err(VaultError::DoesNotOpen)));
    }

    #[test]
    fn codes_fit_their_purpose_and_data_only() {
        let (old, both) = (ring(OLD), ring(&format!("{NEW},{OLD}")));
        let tag = old.mac("reset", b"data").unwrap();
        assert!(old.verify_mac("reset", b"data", &tag) && both.verify_mac("reset", b"data", &tag));
        assert_ne!(tag, both.mac("reset", b"data").unwrap());
        assert_eq!(both.macs("reset", b"data").unwrap(), [both.mac("reset", b"data").unwrap(), tag]);
        assert!(!ring(NEW).verify_mac("reset", b"data", &tag));
        assert!(!old.verify_mac("invite", b"data", &tag));
        assert!(!old.verify_mac("reset", b"date", &tag));
        assert!(!old.verify_mac("", b"data", &tag));
        for tag in [&tag[..31], &[], &[tag.as_slice(), &[0]].concat()] {
            assert!(!old.verify_mac("reset", b"data", tag));
        }
        for at in 0..32 {
            let mut changed = tag;
            changed[at] ^= 0x80;
            assert!(!both.verify_mac("reset", b"data", &changed));
        }
        assert!(matches!(old.mac("", b"data"), Err(VaultError::Argument(_))));
    }

    #[test]
    fn signing_secrets_are_found_by_their_id() {
        let (old, both) = (ring(OLD), ring(&format!("{NEW}\n{OLD}")));
        let (id, secret) = old.signing_secret("access").unwrap();
        let found = both.signing_secret_of(id, "access").unwrap();
        assert_eq!(found.expose_secret(), secret.expose_secret());
        assert_ne!(both.signing_secret_of(id, "refresh").unwrap().expose_secret(), secret.expose_secret());
        assert_ne!(both.signing_secret("access").unwrap().0, id);
        let forged = old.signing_secret_of("<b>\n0123456789abcdef0123", "access").unwrap_err().to_string();
        assert!(forged.contains("key b0123456789abcde,"), "{forged}");
    }

    #[test]
    fn lines_that_are_no_keys_are_refused_and_not_repeated() {
        let short = "AAECAwQFBgcICQoLDA0ODw==";
        for (text, says) in [
            ("", "no key in it"),
            ("# only a comment\n\n", "no key in it"),
            ("not base64!", "line 1 can't be used: it is not base64"),
            (&format!("{OLD}\n{short}"), "line 2 can't be used: it is base64 of 16 bytes"),
            (&format!("{OLD}\n{OLD}"), "twice"),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "one byte repeated"),
        ] {
            let error = AuthKeys::from_lines(text, "auth.keys").unwrap_err().to_string();
            assert!(error.starts_with("auth.keys") && error.contains(says), "{error}");
            assert!(!error.contains(&OLD[..12]) && !error.contains(&short[..12]), "{error}");
        }
    }

    #[test]
    fn debug_shows_ids_only() {
        let keys = ring(OLD);
        assert_eq!(format!("{keys:?}"), "AuthKeys { ids: [\"9001147c74853ee2\"] }");
        let (_, secret) = keys.signing_secret("access").unwrap();
        assert!(!shows(&format!("{secret:?}"), secret.expose_secret()));
        let opened = keys.open("p", &keys.seal("p", b"planted secret", b"c").unwrap(), b"c").unwrap();
        assert!(!shows(&format!("{opened:?}"), b"planted secret"));
        assert!(shows("[112, 108, 97, 110, 116, 101, 100]", b"planted"), "the search itself finds bytes");
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(plain in proptest::collection::vec(any::<u8>(), 0..2000),
                               context in proptest::collection::vec(any::<u8>(), 1..100),
                               purpose in ".{1,40}", other in ".{1,40}") {
            let keys = ring(OLD);
            let sealed = keys.seal(&purpose, &plain, &context).unwrap();
            let opened = keys.open(&purpose, &sealed, &context).unwrap();
            prop_assert_eq!(opened.expose_secret(), &plain[..]);
            if purpose != other {
                prop_assert!(matches!(keys.open(&other, &sealed, &context), Err(VaultError::DoesNotOpen)));
            }
        }
    }
}
