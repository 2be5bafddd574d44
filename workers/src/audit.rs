//! The public key of audit checkpoints behind the port that jobs see.

use jobs::audit::CheckpointKeys;
use vault::CheckpointPublicKey;

/// The key that is configured, if one is.
pub struct AuditKeyPort(pub Option<CheckpointPublicKey>);

impl CheckpointKeys for AuditKeyPort {
    fn any(&self) -> bool {
        self.0.is_some()
    }

    fn check(&self, key_id: &str, message: &[u8], signature: &[u8]) -> Option<bool> {
        let key = self.0.as_ref().filter(|key| key.id() == key_id)?;
        Some(key.verify(message, signature))
    }
}
