//! Keys for the tests of this crate, made once: an RSA key takes its time.

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A private key.
pub(crate) fn old_key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(make)
}

/// Another one.
pub(crate) fn new_key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(make)
}

#[allow(clippy::unwrap_used)]
fn make() -> String {
    crate::opening::generate().unwrap().to_string()
}

/// Whether `text` shows some of `bytes`: as a list of numbers, hex or base64.
pub(crate) fn shows(text: &str, bytes: &[u8]) -> bool {
    bytes.chunks_exact(6).any(|part| {
        let list = format!("{part:?}");
        text.contains(list.trim_matches(['[', ']']))
            || text.to_lowercase().contains(&hex::encode(part))
            || text.contains(&STANDARD.encode(part))
    })
}
