//! Keys for sealing credentials: made once for all tests of this program, for that takes a moment.

use std::sync::LazyLock;

use vault::{OpeningKeys, SealingKeys, files};

static PRIVATE: LazyLock<String> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    files::init(folder.path()).unwrap();
    std::fs::read_to_string(folder.path().join("vault.pem")).unwrap()
});

/// What a worker would open with.
pub(crate) fn opening() -> OpeningKeys {
    OpeningKeys::from_pem(&PRIVATE, "test").unwrap()
}

/// What the API seals with.
pub(crate) fn sealing() -> SealingKeys {
    SealingKeys::from_pem(&opening().public_pem(), "test").unwrap()
}
