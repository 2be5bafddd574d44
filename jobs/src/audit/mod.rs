//! The audit log, looked through in the background.

mod verify;

pub use verify::VerifyLog;

/// The public keys that audit checkpoints are checked with.
pub trait CheckpointKeys: Send + Sync + 'static {
    /// Whether there is any; without one signatures are not looked at, and the report says so.
    fn any(&self) -> bool;

    /// Whether the key of this id signed this message. None: there is no such key here.
    fn check(&self, key_id: &str, message: &[u8], signature: &[u8]) -> Option<bool>;
}
