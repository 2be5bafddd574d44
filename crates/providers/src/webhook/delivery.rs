//! What goes into an attempt and what comes out of it.
//!
//! Neither form shows a secret, the URL's path or the event's body in debug output.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;

/// How much of a receiver's answer is kept, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// One attempt to deliver one event.
#[derive(Clone)]
pub struct Delivery {
    /// The subscriber's URL, as stored.
    pub url: String,
    /// The event's id, the same for each attempt; receivers deduplicate by it.
    pub event_id: String,
    /// The event's type, such as `payout.sent`; sent as an unsigned header for
    /// routing (the signed copy is the one in the body).
    pub event_type: String,
    /// The time of this attempt.
    pub timestamp: DateTime<Utc>,
    /// The JSON body, exactly as it is signed and sent.
    pub body: Vec<u8>,
    /// Secrets to sign with: one, or several while a rotation overlaps.
    pub secrets: Vec<SecretString>,
    /// The most this attempt may take from name lookup to the last byte.
    pub timeout: Duration,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("event_id", &self.event_id)
            .field("event_type", &self.event_type)
            .field("timestamp", &self.timestamp)
            .field("body_bytes", &self.body.len())
            .field("secrets", &self.secrets.len())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A receiver's answer. Any status that is not a redirect ends up here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// HTTP status.
    pub status: u16,
    /// The answer's headers worth keeping, by lower-case name, each cut to 256 characters.
    pub headers: BTreeMap<String, String>,
    /// How long the receiver asks to be left alone, at most seven days.
    pub retry_after: Option<Duration>,
    /// The first [`MAX_BODY_BYTES`] of the answer as text; bytes that are not
    /// UTF-8, and NUL, which PostgreSQL cannot store, became U+FFFD.
    pub body: String,
    /// Whether the answer was longer, or broke off, or ran out of time.
    pub body_truncated: bool,
    /// From the call to the end of the answer.
    pub duration: Duration,
    /// Who answered.
    pub peer: Option<SocketAddr>,
}

impl Outcome {
    /// Whether the receiver took the event: any 2xx.
    #[must_use]
    pub fn accepted(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Bytes of a stranger as text that can be stored, never longer than [`MAX_BODY_BYTES`].
pub(super) fn storable_text(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
    // A replaced byte takes three, so the text can outgrow its source.
    text.truncate(text.floor_char_boundary(MAX_BODY_BYTES));
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret_url_or_body() {
        let delivery = Delivery {
            url: "https://example.com/hush-path?key=hush-query".to_owned(),
            event_id: "evt_1".to_owned(),
            event_type: "payout.sent".to_owned(),
            timestamp: DateTime::UNIX_EPOCH,
            body: b"hush-body".to_vec(),
            secrets: vec![SecretString::from("whsec_hush")],
            timeout: Duration::from_secs(1),
        };
        let shown = format!("{delivery:?}");
        assert!(shown.contains("evt_1") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn text_is_storable_and_bounded() {
        assert_eq!(storable_text(b"a\0b\xff"), "a\u{fffd}b\u{fffd}");
        let grown = storable_text(&vec![0xff; MAX_BODY_BYTES]);
        assert!(grown.len() <= MAX_BODY_BYTES && grown.len() > MAX_BODY_BYTES - 3);
    }
}
