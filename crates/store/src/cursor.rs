//! Where a list goes on: opaque to clients, checked when it comes back.
//!
//! A cursor carries the last id seen and a fingerprint of the list it came from, so that one taken from
//! another filter is refused instead of skipping rows in silence. It is no secret and grants nothing:
//! row-level security decides what is seen.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::StoreError;

const VERSION: u8 = 1;
const CHECK_BYTES: usize = 6;

/// A position in a list that runs from new to old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The next page holds ids below this one.
    pub before: Uuid,
}

impl Cursor {
    /// The text handed to clients; `list` names the list and its filters.
    #[must_use]
    pub fn encode(self, list: &[u8]) -> String {
        let mut bytes = Vec::with_capacity(1 + 16 + CHECK_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(self.before.as_bytes());
        bytes.extend_from_slice(&check(self.before, list));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`Cursor::encode`] wrote for the same list.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`] for anything else.
    pub fn decode(text: &str, list: &[u8]) -> Result<Self, StoreError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| StoreError::BadCursor)?;
        let [VERSION, rest @ ..] = bytes.as_slice() else {
            return Err(StoreError::BadCursor);
        };
        let (id, sum) = rest.split_at_checked(16).ok_or(StoreError::BadCursor)?;
        let before = Uuid::from_slice(id).map_err(|_| StoreError::BadCursor)?;
        if sum != check(before, list) {
            return Err(StoreError::BadCursor);
        }
        Ok(Self { before })
    }
}

fn check(id: Uuid, list: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = Sha256::new().chain_update(id.as_bytes()).chain_update(list).finalize();
    let mut sum = [0; CHECK_BYTES];
    sum.copy_from_slice(&digest[..CHECK_BYTES]);
    sum
}

/// The lowest version 7 UUID of a moment: ids of that millisecond and later are not below it.
#[must_use]
pub fn first_id_at(at: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0).min((1 << 48) - 1);
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    Uuid::from_bytes(bytes)
}

/// The moment a version 7 UUID was made, to the millisecond.
#[must_use]
pub fn time_of(id: Uuid) -> DateTime<Utc> {
    let millis = id.as_bytes()[..6].iter().fold(0_i64, |sum, byte| (sum << 8) | i64::from(*byte));
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_only_to_its_own_list() {
        let cursor = Cursor { before: Uuid::now_v7() };
        let text = cursor.encode(b"jobs?kind=a");
        assert_eq!(Cursor::decode(&text, b"jobs?kind=a").unwrap(), cursor);
        assert!(matches!(Cursor::decode(&text, b"jobs?kind=b"), Err(StoreError::BadCursor)));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "x", "AQ", "!!!!", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &"A".repeat(4000)] {
            assert!(matches!(Cursor::decode(text, b""), Err(StoreError::BadCursor)), "{text}");
        }
    }

    #[test]
    fn ids_and_moments_agree() {
        let id = Uuid::now_v7();
        let at = time_of(id);
        assert!(first_id_at(at) <= id);
        assert!(first_id_at(at + chrono::Duration::milliseconds(1)) > id);
        assert_eq!(time_of(first_id_at(at)), at);
    }
}
