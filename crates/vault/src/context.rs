//! What a sealed thing is bound to.

/// One context out of several parts, such as organisation, secret and version. Each part is written behind
/// its length (4 bytes, big-endian), so that no two lists of parts give the same bytes.
///
/// ```
/// assert_ne!(vault::context(&[b"ab", b"c"]), vault::context(&[b"a", b"bc"]));
/// ```
#[must_use]
pub fn context(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        // A part of 4 GiB is nobody's; its length would be written as the largest there is.
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}
