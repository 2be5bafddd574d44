//! Signatures on audit checkpoints: Ed25519, so that whoever has the public key can check an exported log
//! without being able to write one.
//!
//! It signs the bytes it is given. What a checkpoint says, and that its bytes can't be mistaken for
//! something else, is up to who writes it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::{VaultError, key_id, text};

/// Length of a signature.
pub const SIGNATURE_BYTES: usize = 64;

const PUBLIC_PREFIX: &str = "ed25519:";

/// Signs checkpoints.
pub struct CheckpointKey {
    pair: Ed25519KeyPair,
    public: CheckpointPublicKey,
}

impl CheckpointKey {
    /// Reads one `-----BEGIN PRIVATE KEY-----` block (PKCS#8, without a password). `place` is the file or
    /// variable that the text comes from, for errors.
    ///
    /// # Errors
    /// [`VaultError::Format`] for anything that is not one Ed25519 private key.
    pub fn from_pem(pem: &str, place: &str) -> Result<Self, VaultError> {
        let blocks = text::pem_blocks(pem, text::PRIVATE, place)?;
        let [der] = blocks.as_slice() else {
            return Err(VaultError::format(place, "there are several keys in it; keep one"));
        };
        let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|_| {
            VaultError::format(place, "it is not an Ed25519 key; `countersign keys init` makes one")
        })?;
        let public = CheckpointPublicKey::from_slice(pair.public_key().as_ref())
            .ok_or(VaultError::Library("read its own public key"))?;
        Ok(Self { pair, public })
    }

    /// Signs.
    ///
    /// # Errors
    /// [`VaultError::Library`] when there is no memory.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_BYTES], VaultError> {
        let failed = VaultError::Library("sign");
        let Ok(signature) = self.pair.try_sign(message) else { return Err(failed) };
        signature.as_ref().try_into().map_err(|_| failed)
    }

    /// What its signatures are checked with.
    #[must_use]
    pub fn public(&self) -> &CheckpointPublicKey {
        &self.public
    }

    /// Id of the pair, to store beside a signature.
    #[must_use]
    pub fn id(&self) -> &str {
        self.public.id()
    }
}

/// The id only.
impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointKey").field("id", &self.id()).finish()
    }
}

/// Checks signatures on checkpoints. As text: `ed25519:` and base64 of its 32 bytes.
#[derive(Clone)]
pub struct CheckpointPublicKey {
    id: String,
    bytes: [u8; 32],
    key: ParsedPublicKey,
}

impl CheckpointPublicKey {
    /// Whether the pair's private key signed exactly this message.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        signature.len() == SIGNATURE_BYTES && self.key.verify_sig(message, signature).is_ok()
    }

    /// Id of the pair: the first 8 bytes of the SHA-256 of the 32 bytes, in hex.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Reads the text form; a line that starts with `#` is a comment. `place` is the file or variable that
    /// the text comes from, for errors.
    ///
    /// # Errors
    /// [`VaultError::Format`] for anything else.
    pub fn from_text(text: &str, place: &str) -> Result<Self, VaultError> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let problem = match (lines.next(), lines.next()) {
            (Some(line), None) => match Self::parse(line) {
                Ok(key) => return Ok(key),
                Err(problem) => problem,
            },
            (None, _) => "there is no key in it; it should be ed25519: and base64 of 32 bytes".to_owned(),
            (Some(_), Some(_)) => "there are several lines in it; keep the one with the key".to_owned(),
        };
        Err(VaultError::format(place, problem))
    }

    fn parse(line: &str) -> Result<Self, String> {
        if line.contains(text::PRIVATE) {
            return Err("it holds a private key; put the public one here".to_owned());
        }
        let encoded = line
            .strip_prefix(PUBLIC_PREFIX)
            .ok_or("it does not start with ed25519:, as the public key's text does")?;
        let bytes = text::thirty_two_bytes(encoded)?;
        Self::from_slice(bytes.as_slice()).ok_or_else(|| "it is not an Ed25519 public key".to_owned())
    }

    fn from_slice(bytes: &[u8]) -> Option<Self> {
        let key = ParsedPublicKey::new(&ED25519, bytes).ok()?;
        Some(Self { id: key_id::of(bytes), bytes: bytes.try_into().ok()?, key })
    }
}

impl FromStr for CheckpointPublicKey {
    type Err = VaultError;

    fn from_str(text: &str) -> Result<Self, VaultError> {
        Self::from_text(text, "the public key")
    }
}

impl fmt::Display for CheckpointPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", STANDARD.encode(self.bytes))
    }
}

/// Public keys may be seen.
impl fmt::Debug for CheckpointPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointPublicKey({self})")
    }
}

impl PartialEq for CheckpointPublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for CheckpointPublicKey {}

/// A new private key, as one PEM block.
pub(crate) fn generate() -> Result<Zeroizing<String>, VaultError> {
    let pair = Ed25519KeyPair::generate().map_err(|_| VaultError::Library("make a key"))?;
    let der =
        AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| VaultError::Library("write a private key"))?;
    Ok(text::pem(text::PRIVATE, der.as_ref()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::fixtures::{old_key, shows};

    /// The key whose seed is the bytes 0 to 31.
    fn counting() -> CheckpointKey {
        let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
        der.extend(0..32);
        CheckpointKey::from_pem(&text::pem(text::PRIVATE, &der), "audit.pem").unwrap()
    }

    #[test]
    fn another_implementation_signs_the_same() {
        // Computed with Python's cryptography.
        let key = counting();
        assert_eq!(key.public().to_string(), "ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=");
        assert_eq!(key.id(), "56475aa75463474c");
        assert_eq!(
            hex::encode(key.sign(b"checkpoint 1").unwrap()),
            "f0bbb6c5f6d0282ab48d88f21aba1a3c8194a2f7f5bc3be6372cfe634ef28b9c\
             efc0cdc00b752c153d81d4b3faedf6238ee3475f6ea19d57218b2fb2e02d4302"
        );
    }

    #[test]
    fn only_the_signed_bytes_verify() {
        let key = counting();
        let signature = key.sign(b"checkpoint 1").unwrap();
        let public: CheckpointPublicKey = key.public().to_string().parse().unwrap();
        assert_eq!(&public, key.public());
        assert!(public.verify(b"checkpoint 1", &signature));
        assert!(!public.verify(b"checkpoint 2", &signature));
        assert!(!public.verify(b"", &signature));
        for at in 0..SIGNATURE_BYTES {
            let mut changed = signature;
            changed[at] ^= 1;
            assert!(!public.verify(b"checkpoint 1", &changed), "{at}");
        }
        assert!(!public.verify(b"checkpoint 1", &signature[..63]));
        assert!(!public.verify(b"checkpoint 1", &[]));
        let other = CheckpointKey::from_pem(&generate().unwrap(), "audit.pem").unwrap();
        assert_ne!(other.id(), key.id());
        assert!(!other.public().verify(b"checkpoint 1", &signature));
    }

    #[test]
    fn what_is_no_ed25519_key_is_refused_with_advice() {
        let one = generate().unwrap();
        let two = format!("{}{}", *one, *generate().unwrap());
        for (text, says) in [
            (old_key(), "not an Ed25519 key"),
            (two.as_str(), "several keys"),
            ("", "no PEM block"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "public key where a private"),
        ] {
            let error = CheckpointKey::from_pem(text, "audit.pem").unwrap_err().to_string();
            assert!(error.starts_with("audit.pem") && error.contains(says), "{error}");
        }
        let public = counting().public().to_string();
        for (text, says) in [
            ("", "no key in it"),
            (one.as_str(), "several lines"),
            ("-----BEGIN PRIVATE KEY-----", "private key"),
            ("A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", "ed25519:"),
            ("ed25519:A6EHv/POEL4dcA==", "base64 of 10 bytes"),
            ("ed25519:?", "not base64"),
            (&format!("{public}\n{public}"), "several lines"),
        ] {
            let error = CheckpointPublicKey::from_text(text, "audit.pub").unwrap_err().to_string();
            assert!(error.starts_with("audit.pub") && error.contains(says), "{error}");
        }
        assert!(CheckpointPublicKey::from_text(&format!("# ours\n\n {public} \n"), "audit.pub").is_ok());
    }

    #[test]
    fn debug_hides_the_private_key() {
        let key = counting();
        let seed: Vec<u8> = (0..32).collect();
        let text = format!("{key:?}");
        assert_eq!(text, "CheckpointKey { id: \"56475aa75463474c\" }");
        assert!(!shows(&text, &seed));
        assert_eq!(format!("{:?}", key.public()), format!("CheckpointPublicKey({})", key.public()));
    }
}
