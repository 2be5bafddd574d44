//! The envelope around one credential: its data under a key of its own, that key wrapped with RSA-OAEP
//! (SHA-256) under a long-lived one. Both halves are bound to the same context: the data by its associated
//! data, the key by the context's SHA-256 wrapped beside it. (An OAEP label would say the same, but the key
//! services that offer this operation take none.)
//!
//! A seal does not say who made it: anybody with the public key can seal. It keeps a credential unread; who
//! may write the row is for the database to decide.

use std::fmt;

use domain::ports::PortFuture;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::aead::{self, KEY_BYTES};
use crate::{SealingKeys, VaultError};

/// Most that one envelope holds. Credentials are small; whatever is larger is no credential.
pub const MAX_PLAINTEXT_BYTES: usize = 64 * 1024;

/// A sealed credential, as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which long-lived key the data's key is wrapped with: 16 hex digits.
    pub key_id: String,
    /// The data's key, as long as that RSA key: 384 bytes for 3072 bits.
    pub wrapped_key: Vec<u8>,
    /// `nonce (12) ‖ ciphertext ‖ tag (16)`.
    pub ciphertext: Vec<u8>,
}

/// Sizes only.
impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("key_id", &self.key_id)
            .field("wrapped_key_bytes", &self.wrapped_key.len())
            .field("ciphertext_bytes", &self.ciphertext.len())
            .finish()
    }
}

/// The key of one envelope's data. Gone from memory when dropped.
pub struct DataKey(Zeroizing<[u8; KEY_BYTES]>);

impl DataKey {
    /// A key as whoever unwrapped it hands it over: `key (32) ‖ SHA-256 of the context (32)`.
    ///
    /// # Errors
    /// [`VaultError::DoesNotOpen`] unless it is that long and belongs to this context.
    pub fn unwrapped(bytes: &[u8], context: &[u8]) -> Result<Self, VaultError> {
        let (key_bytes, belongs_to) = bytes.split_at_checked(KEY_BYTES).ok_or(VaultError::DoesNotOpen)?;
        let wanted = Sha256::digest(context);
        aws_lc_rs::constant_time::verify_slices_are_equal(belongs_to, &wanted)
            .map_err(|_| VaultError::DoesNotOpen)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        key.copy_from_slice(key_bytes);
        Ok(Self(key))
    }

    /// What is wrapped: the reverse of [`DataKey::unwrapped`].
    pub(crate) fn bound_to(&self, context: &[u8]) -> Zeroizing<[u8; 2 * KEY_BYTES]> {
        let mut bound = Zeroizing::new([0; 2 * KEY_BYTES]);
        let (key, belongs_to) = bound.split_at_mut(KEY_BYTES);
        key.copy_from_slice(self.0.as_slice());
        belongs_to.copy_from_slice(&Sha256::digest(context));
        bound
    }

    pub(crate) fn new() -> Result<Self, VaultError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(key.as_mut_slice()).map_err(|_| VaultError::Library("make a random key"))?;
        Ok(Self(key))
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// The port to whoever keeps the private keys: [`OpeningKeys`](crate::OpeningKeys) here, or a KMS. It sees
/// the wrapped key, never the data.
pub trait Opener: Send + Sync {
    /// Unwraps the key of one envelope: RSA-OAEP with SHA-256 for the hash and the mask and no label, then
    /// [`DataKey::unwrapped`] for the context.
    ///
    /// Errors: [`VaultError::UnknownKey`] when it has no such key, [`VaultError::DoesNotOpen`] when key,
    /// context or bytes do not fit together, [`VaultError::Away`] when it can be asked again later.
    fn unwrap_key<'a>(
        &'a self,
        key_id: &'a str,
        wrapped_key: &'a [u8],
        context: &'a [u8],
    ) -> PortFuture<'a, Result<DataKey, VaultError>>;
}

/// Opens a credential that is text.
///
/// # Errors
/// What [`open_bytes`] says; [`VaultError::NotText`] when it is no UTF-8.
pub async fn open(opener: &dyn Opener, sealed: &Sealed, context: &[u8]) -> Result<SecretString, VaultError> {
    let bytes = open_bytes(opener, sealed, context).await?;
    let text = std::str::from_utf8(bytes.expose_secret()).map_err(|_| VaultError::NotText)?;
    Ok(text.into())
}

/// Opens a credential.
///
/// # Errors
/// [`VaultError::DoesNotOpen`] when anything was changed or the context is another one, and what
/// [`Opener::unwrap_key`] says.
pub async fn open_bytes(
    opener: &dyn Opener,
    sealed: &Sealed,
    context: &[u8],
) -> Result<SecretSlice<u8>, VaultError> {
    check_context(context)?;
    let key = opener.unwrap_key(&sealed.key_id, &sealed.wrapped_key, context).await?;
    aead::open(key.bytes(), context, &sealed.ciphertext)
}

/// Wraps the same data key anew with the newest key of `keys`. The data itself is neither opened nor
/// changed, so the old long-lived key is no longer needed for it afterwards.
///
/// # Errors
/// What [`Opener::unwrap_key`] says.
pub async fn rewrap(
    opener: &dyn Opener,
    sealed: &Sealed,
    context: &[u8],
    keys: &SealingKeys,
) -> Result<Sealed, VaultError> {
    check_context(context)?;
    let key = opener.unwrap_key(&sealed.key_id, &sealed.wrapped_key, context).await?;
    let (key_id, wrapped_key) = keys.wrap(&key, context)?;
    Ok(Sealed { key_id, wrapped_key, ciphertext: sealed.ciphertext.clone() })
}

/// An empty context binds to nothing: it is a mistake of the caller's, not a choice.
pub(crate) fn check_context(context: &[u8]) -> Result<(), VaultError> {
    if context.is_empty() {
        return Err(VaultError::Argument("the context is empty; name what is sealed and for whom"));
    }
    Ok(())
}

pub(crate) fn check_size(plaintext: &[u8]) -> Result<(), VaultError> {
    if plaintext.len() > MAX_PLAINTEXT_BYTES {
        return Err(VaultError::Argument(
            "it is longer than 64 KiB, so it is no credential; it was not sealed",
        ));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use futures::executor::block_on;
    use proptest::prelude::*;

    use super::*;
    use crate::OpeningKeys;
    use crate::fixtures::{new_key, old_key, shows};

    fn ring(pem: &str) -> (OpeningKeys, SealingKeys) {
        let opening = OpeningKeys::from_pem(pem, "test").unwrap();
        let sealing = SealingKeys::from_pem(&opening.public_pem(), "test").unwrap();
        (opening, sealing)
    }

    #[test]
    fn what_is_sealed_opens_again_and_only_where_it_belongs() {
        let (opening, sealing) = ring(old_key());
        let sealed = sealing.seal(&"sk_live_4242".into(), b"org 1, secret 2").unwrap();
        assert_eq!(sealed.key_id, opening.ids()[0]);
        assert_eq!((sealed.wrapped_key.len(), sealed.ciphertext.len()), (384, 12 + 12 + 16));
        let opened = block_on(open(&opening, &sealed, b"org 1, secret 2")).unwrap();
        assert_eq!(opened.expose_secret(), "sk_live_4242");

        let elsewhere = block_on(open(&opening, &sealed, b"org 2, secret 2")).unwrap_err();
        assert!(matches!(elsewhere, VaultError::DoesNotOpen), "{elsewhere}");
        for refused in
            [sealing.seal(&"x".into(), b"").unwrap_err(), block_on(open(&opening, &sealed, b"")).unwrap_err()]
        {
            assert!(matches!(refused, VaultError::Argument(_)), "{refused}");
        }
    }

    #[test]
    fn the_context_holds_in_both_halves() {
        let (opening, sealing) = ring(old_key());
        let mine = sealing.seal_bytes(b"mine", b"a").unwrap();
        let theirs = sealing.seal_bytes(b"theirs", b"b").unwrap();
        // The wrapped key fits the context, the data does not.
        let mixed = Sealed { ciphertext: theirs.ciphertext.clone(), ..mine.clone() };
        for context in [b"a", b"b"] {
            assert!(matches!(block_on(open(&opening, &mixed, context)), Err(VaultError::DoesNotOpen)));
        }
        // The right data key with another context than the data's, as an opener that does not look would give.
        struct Deaf(OpeningKeys);
        impl Opener for Deaf {
            fn unwrap_key<'a>(
                &'a self,
                key_id: &'a str,
                wrapped: &'a [u8],
                _: &'a [u8],
            ) -> PortFuture<'a, Result<DataKey, VaultError>> {
                self.0.unwrap_key(key_id, wrapped, b"a")
            }
        }
        let deaf = Deaf(opening);
        assert!(block_on(open(&deaf, &mine, b"a")).is_ok());
        assert!(matches!(block_on(open(&deaf, &mine, b"b")), Err(VaultError::DoesNotOpen)));
    }

    #[test]
    fn a_changed_byte_anywhere_is_refused() {
        let (opening, sealing) = ring(old_key());
        let sealed = sealing.seal(&"secret".into(), b"here").unwrap();
        for at in 0..sealed.ciphertext.len() {
            let mut changed = sealed.clone();
            changed.ciphertext[at] ^= 1;
            assert!(
                matches!(block_on(open(&opening, &changed, b"here")), Err(VaultError::DoesNotOpen)),
                "{at}"
            );
        }
        for at in [0, 1, 100, 200, 382, 383] {
            let mut changed = sealed.clone();
            changed.wrapped_key[at] ^= 1;
            assert!(
                matches!(block_on(open(&opening, &changed, b"here")), Err(VaultError::DoesNotOpen)),
                "{at}"
            );
        }
        for cut in [0, 11, 12, 27] {
            let mut short = sealed.clone();
            short.ciphertext.truncate(cut);
            assert!(
                matches!(block_on(open(&opening, &short, b"here")), Err(VaultError::NotSealed(_))),
                "{cut}"
            );
        }
        for wrapped_key in [vec![], vec![0; 384], sealed.wrapped_key[..383].to_vec(), [0; 385].to_vec()] {
            let odd = Sealed { wrapped_key, ..sealed.clone() };
            assert!(matches!(block_on(open(&opening, &odd, b"here")), Err(VaultError::DoesNotOpen)));
        }
        let unknown = Sealed { key_id: "0123456789abcdef".into(), ..sealed };
        let error = block_on(open(&opening, &unknown, b"here")).unwrap_err();
        assert!(
            matches!(&error, VaultError::UnknownKey { key_id, .. } if key_id == "0123456789abcdef"),
            "{error}"
        );
    }

    #[test]
    fn an_old_key_opens_after_rotation_and_is_not_needed_after_rewrapping() {
        let (old, old_public) = ring(old_key());
        let sealed = old_public.seal(&"kept".into(), b"here").unwrap();
        let (both, both_public) = ring(&format!("{}{}", new_key(), old_key()));
        let (new, _) = ring(new_key());
        assert_eq!(both.ids(), [new.ids()[0], old.ids()[0]]);
        assert_eq!(block_on(open(&both, &sealed, b"here")).unwrap().expose_secret(), "kept");
        assert!(matches!(block_on(open(&new, &sealed, b"here")), Err(VaultError::UnknownKey { .. })));
        assert!(!both_public.is_current(&sealed));

        let moved = block_on(rewrap(&both, &sealed, b"here", &both_public)).unwrap();
        assert!(both_public.is_current(&moved));
        assert_eq!(moved.ciphertext, sealed.ciphertext);
        assert_eq!(block_on(open(&new, &moved, b"here")).unwrap().expose_secret(), "kept");
        assert!(matches!(block_on(open(&old, &moved, b"here")), Err(VaultError::UnknownKey { .. })));
        // The id alone does not make a key fit.
        let lied = Sealed { key_id: old.ids()[0].into(), ..moved };
        assert!(matches!(block_on(open(&old, &lied, b"here")), Err(VaultError::DoesNotOpen)));
        let elsewhere = block_on(rewrap(&both, &sealed, b"there", &both_public)).unwrap_err();
        assert!(matches!(elsewhere, VaultError::DoesNotOpen), "{elsewhere}");
    }

    #[test]
    fn sizes_and_text_are_checked() {
        let (opening, sealing) = ring(old_key());
        let most = vec![7; MAX_PLAINTEXT_BYTES];
        let sealed = sealing.seal_bytes(&most, b"here").unwrap();
        assert_eq!(block_on(open_bytes(&opening, &sealed, b"here")).unwrap().expose_secret(), &most[..]);
        let more = vec![7; MAX_PLAINTEXT_BYTES + 1];
        assert!(matches!(sealing.seal_bytes(&more, b"here"), Err(VaultError::Argument(_))));
        let binary = sealing.seal_bytes(&[0xff, 0xfe], b"here").unwrap();
        assert!(matches!(block_on(open(&opening, &binary, b"here")), Err(VaultError::NotText)));
    }

    #[test]
    fn debug_shows_sizes_only() {
        let (opening, sealing) = ring(old_key());
        let sealed = sealing.seal(&"sk_live_4242".into(), b"here").unwrap();
        let text = format!("{sealed:?}");
        assert!(text.contains("wrapped_key_bytes: 384") && text.contains(&sealed.key_id), "{text}");
        assert!(!shows(&text, &sealed.wrapped_key) && !shows(&text, &sealed.ciphertext), "{text}");
        let key = block_on(opening.unwrap_key(&sealed.key_id, &sealed.wrapped_key, b"here")).unwrap();
        assert_eq!(format!("{key:?}"), "DataKey(..)");
        for odd in [&[0; 31][..], &[0; 32], &[0; 64], &[0; 96]] {
            assert!(matches!(DataKey::unwrapped(odd, b"here"), Err(VaultError::DoesNotOpen)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_bytes_come_back(plain in proptest::collection::vec(any::<u8>(), 0..3000),
                               context in proptest::collection::vec(any::<u8>(), 1..200),
                               other in proptest::collection::vec(any::<u8>(), 1..200)) {
            let (opening, sealing) = ring(old_key());
            let sealed = sealing.seal_bytes(&plain, &context).unwrap();
            let again = sealing.seal_bytes(&plain, &context).unwrap();
            prop_assert_ne!(&sealed.ciphertext, &again.ciphertext);
            let opened = block_on(open_bytes(&opening, &sealed, &context)).unwrap();
            prop_assert_eq!(opened.expose_secret(), &plain[..]);
            if other != context {
                prop_assert!(matches!(block_on(open_bytes(&opening, &sealed, &other)), Err(VaultError::DoesNotOpen)));
            }
        }
    }
}
