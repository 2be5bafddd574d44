//! Standard Webhooks signatures: three headers, HMAC-SHA256, one signature for
//! each secret so that a subscriber can rotate without losing an event.
//!
//! Secrets travel as `whsec_` followed by base64 (24 to 64 bytes of key). They
//! appear in no error and no debug output. Verifying is the receiver's side and
//! is not offered here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};
use standardwebhooks::Webhook;

/// Header with the event's id; the same for every attempt.
pub const HEADER_ID: &str = standardwebhooks::HEADER_WEBHOOK_ID;
/// Header with the attempt's time, in Unix seconds.
pub const HEADER_TIMESTAMP: &str = standardwebhooks::HEADER_WEBHOOK_TIMESTAMP;
/// Header with the signatures, separated by spaces.
pub const HEADER_SIGNATURE: &str = standardwebhooks::HEADER_WEBHOOK_SIGNATURE;

/// What every symmetric secret begins with.
pub const SECRET_PREFIX: &str = "whsec_";
/// The shortest key, in bytes.
pub const MIN_SECRET_BYTES: usize = 24;
/// The longest key, in bytes.
pub const MAX_SECRET_BYTES: usize = 64;
/// The length of keys from [`generate_secret`], in bytes.
pub const DEFAULT_SECRET_BYTES: usize = 32;
/// The most secrets one delivery is signed with.
pub const MAX_SECRETS: usize = 8;
const MAX_EVENT_ID_BYTES: usize = 128;

/// A delivery that cannot be signed, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// No secret at all; unsigned deliveries do not exist.
    #[error("the endpoint has no signing secret; create one")]
    NoSecret,
    /// More than [`MAX_SECRETS`].
    #[error(
        "the endpoint has {count} signing secrets and at most {MAX_SECRETS} are used at once; expire old ones"
    )]
    TooManySecrets {
        /// How many there were.
        count: usize,
    },
    /// The secret lacks `whsec_`.
    #[error("the signing secret does not begin with {SECRET_PREFIX}")]
    SecretPrefix,
    /// What follows the prefix is not padded standard base64.
    #[error("the signing secret is not base64 after {SECRET_PREFIX}")]
    SecretEncoding,
    /// The key is too short or too long.
    #[error("the signing secret holds {bytes} bytes; it needs {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES}")]
    SecretLength {
        /// The decoded length.
        bytes: usize,
    },
    /// The id could break the signed text apart or does not fit a header.
    #[error("the event id must be 1 to {MAX_EVENT_ID_BYTES} letters, digits, `_` or `-`")]
    EventId,
    /// The body is not UTF-8; Standard Webhooks signs text.
    #[error("the event body is not UTF-8 text")]
    Body,
}

/// The values of the three headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeaders {
    /// Value of [`HEADER_ID`].
    pub id: String,
    /// Value of [`HEADER_TIMESTAMP`].
    pub timestamp: String,
    /// Value of [`HEADER_SIGNATURE`].
    pub signature: String,
}

/// A fresh secret of [`DEFAULT_SECRET_BYTES`] random bytes.
#[must_use]
pub fn generate_secret() -> SecretString {
    random_secret(DEFAULT_SECRET_BYTES)
}

/// A fresh secret of a chosen length.
///
/// # Errors
/// [`SignatureError::SecretLength`] outside 24 to 64 bytes.
pub fn generate_secret_of(bytes: usize) -> Result<SecretString, SignatureError> {
    check_length(bytes)?;
    Ok(random_secret(bytes))
}

fn random_secret(bytes: usize) -> SecretString {
    let mut key = vec![0_u8; bytes];
    rand::rng().fill_bytes(&mut key);
    SecretString::from(format!("{SECRET_PREFIX}{}", STANDARD.encode(key)))
}

/// Whether a secret that somebody brought along can be used.
///
/// # Errors
/// A `Secret…` variant of [`SignatureError`].
pub fn check_secret(secret: &SecretString) -> Result<(), SignatureError> {
    decode(secret).map(drop)
}

fn decode(secret: &SecretString) -> Result<Vec<u8>, SignatureError> {
    let encoded = secret.expose_secret().strip_prefix(SECRET_PREFIX).ok_or(SignatureError::SecretPrefix)?;
    let key = STANDARD.decode(encoded).map_err(|_| SignatureError::SecretEncoding)?;
    check_length(key.len())?;
    Ok(key)
}

fn check_length(bytes: usize) -> Result<(), SignatureError> {
    if (MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&bytes) {
        Ok(())
    } else {
        Err(SignatureError::SecretLength { bytes })
    }
}

/// Signs one attempt with each secret, in the order given.
///
/// `timestamp` is the time of this attempt in Unix seconds, not of the event:
/// receivers refuse attempts that are minutes old.
///
/// # Errors
/// [`SignatureError`]; nothing is signed with only some of the secrets.
pub fn sign(
    secrets: &[SecretString],
    event_id: &str,
    timestamp: i64,
    body: &[u8],
) -> Result<SignedHeaders, SignatureError> {
    if secrets.is_empty() {
        return Err(SignatureError::NoSecret);
    }
    if secrets.len() > MAX_SECRETS {
        return Err(SignatureError::TooManySecrets { count: secrets.len() });
    }
    let id_fits = (1..=MAX_EVENT_ID_BYTES).contains(&event_id.len())
        && event_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if !id_fits {
        return Err(SignatureError::EventId);
    }
    let mut signatures = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let signer = Webhook::from_bytes(decode(secret)?).map_err(|_| SignatureError::SecretEncoding)?;
        signatures.push(signer.sign(event_id, timestamp, body).map_err(|_| SignatureError::Body)?);
    }
    Ok(SignedHeaders {
        id: event_id.to_owned(),
        timestamp: timestamp.to_string(),
        signature: signatures.join(" "),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use http::HeaderMap;

    use super::*;

    const BODY: &[u8] = br#"{"type":"payout.sent","data":{"note":"\u00e9"}}"#;

    fn headers(signed: &SignedHeaders) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER_ID, signed.id.parse().unwrap());
        headers.insert(HEADER_TIMESTAMP, signed.timestamp.parse().unwrap());
        headers.insert(HEADER_SIGNATURE, signed.signature.parse().unwrap());
        headers
    }

    fn now() -> i64 {
        chrono::Utc::now().timestamp()
    }

    #[test]
    fn matches_the_published_vector() {
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signed =
            sign(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#)
                .unwrap();
        assert_eq!(signed.signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn during_rotation_both_secrets_verify_and_no_other() {
        let (old, new, stranger) = (generate_secret(), generate_secret(), generate_secret());
        let signed = sign(&[new.clone(), old.clone()], "evt_1", now(), BODY).unwrap();
        assert_eq!(signed.signature.split(' ').filter(|part| part.starts_with("v1,")).count(), 2);
        for secret in [&old, &new] {
            Webhook::new(secret.expose_secret()).unwrap().verify(BODY, &headers(&signed)).unwrap();
        }
        assert!(Webhook::new(stranger.expose_secret()).unwrap().verify(BODY, &headers(&signed)).is_err());
        assert!(Webhook::new(old.expose_secret()).unwrap().verify(b"{}", &headers(&signed)).is_err());
    }

    #[test]
    fn fresh_secrets_have_the_length_asked_for_and_differ() {
        for bytes in [MIN_SECRET_BYTES, DEFAULT_SECRET_BYTES, MAX_SECRET_BYTES] {
            assert_eq!(decode(&generate_secret_of(bytes).unwrap()).unwrap().len(), bytes);
        }
        assert!(generate_secret_of(MIN_SECRET_BYTES - 1).is_err());
        assert!(generate_secret_of(MAX_SECRET_BYTES + 1).is_err());
        assert_ne!(generate_secret().expose_secret(), generate_secret().expose_secret());
    }

    #[test]
    fn what_cannot_be_signed_is_refused() {
        let good = generate_secret();
        let with = |secret: &str| sign(&[SecretString::from(secret)], "evt_1", 1, BODY).unwrap_err();
        assert_eq!(with("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), SignatureError::SecretPrefix);
        assert_eq!(with("whsec_***"), SignatureError::SecretEncoding);
        assert_eq!(with("whsec_"), SignatureError::SecretLength { bytes: 0 });
        assert_eq!(with("whsec_aGVsbG8="), SignatureError::SecretLength { bytes: 5 });
        assert_eq!(sign(&[], "evt_1", 1, BODY), Err(SignatureError::NoSecret));
        let many = vec![good.clone(); MAX_SECRETS + 1];
        assert_eq!(sign(&many, "evt_1", 1, BODY), Err(SignatureError::TooManySecrets { count: 9 }));
        let one = [good];
        for id in ["", "evt.1", "evt 1", "evt\r\n", "évt", &"e".repeat(129)] {
            assert_eq!(sign(&one, id, 1, BODY), Err(SignatureError::EventId), "{id}");
        }
        assert_eq!(sign(&one, "evt_1", 1, &[0xff]), Err(SignatureError::Body));
    }
}
