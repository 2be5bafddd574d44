//! The vault as jobs see it: sealed bytes from the database under the vault's own role, opened with the keys
//! of this process.
//!
//! Nothing opened is kept. Uses are counted here and added to the map every few seconds, so that a busy
//! credential is not a row that all workers wait for; a crash may lose a few counts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::ports::{PortFuture, SecretAsk, Vault, VaultFault};
use domain::{OrgId, SecretId};
use secrecy::SecretString;
use store::{Store, StoreError, secrets};
use vault::{Opener, Sealed, VaultError};

/// How often uses are written down.
const NOTE_EVERY: Duration = Duration::from_secs(2);

/// How often each kind opened each credential.
type Uses = HashMap<(SecretId, String), i64>;

/// Opens credentials.
pub struct VaultPort {
    shared: Option<Arc<Shared>>,
}

struct Shared {
    /// Acts as `countersign_vault`.
    store: Store,
    opener: Box<dyn Opener>,
    uses: Mutex<HashMap<OrgId, Uses>>,
}

impl VaultPort {
    /// A vault over `store`, which must act as `countersign_vault`. Call it inside a runtime.
    #[must_use]
    pub fn new(store: Store, opener: Box<dyn Opener>) -> Self {
        let shared = Arc::new(Shared { store, opener, uses: Mutex::default() });
        let weak = Arc::downgrade(&shared);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(NOTE_EVERY).await;
                let Some(shared) = weak.upgrade() else { return };
                shared.note().await;
            }
        });
        Self { shared: Some(shared) }
    }

    /// A vault of a process that has no keys: whatever is asked for says what to set.
    #[must_use]
    pub fn closed() -> Self {
        Self { shared: None }
    }
}

impl Shared {
    async fn open(&self, ask: SecretAsk<'_>) -> Result<SecretString, VaultFault> {
        let found = secrets::find(&self.store, ask.org, ask.name).await.map_err(away)?;
        // What belongs to another room is not there for this job.
        let seen = found.filter(|found| {
            ask.workspace.is_none() || found.workspace_id.is_none() || found.workspace_id == ask.workspace
        });
        let Some(found) = seen else {
            return Err(VaultFault::NotFound(format!(
                "there is no secret “{}” for this job; store it under that name, then replay",
                ask.name
            )));
        };
        let context = secrets::seal_context(ask.org, found.secret_id, found.version);
        let sealed = Sealed {
            key_id: found.sealed.key_id,
            wrapped_key: found.sealed.wrapped_key,
            ciphertext: found.sealed.ciphertext,
        };
        let value =
            vault::open(self.opener.as_ref(), &sealed, &context).await.map_err(|error| match error {
                VaultError::Away(_) => VaultFault::Away(error.to_string()),
                error => VaultFault::Unusable(format!("the secret “{}” can't be opened: {error}", ask.name)),
            })?;
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        *uses.entry(ask.org).or_default().entry((found.secret_id, ask.used_by.to_owned())).or_default() += 1;
        Ok(value)
    }

    async fn note(&self) {
        let uses = std::mem::take(&mut *self.uses.lock().unwrap_or_else(PoisonError::into_inner));
        for (org, uses) in uses {
            if let Err(error) = secrets::note_uses(&self.store, org, &uses).await {
                tracing::debug!(%error, "uses of credentials were not noted; they count the next time");
                let mut all = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
                let kept = all.entry(org).or_default();
                for (key, count) in uses {
                    *kept.entry(key).or_default() += count;
                }
            }
        }
    }
}

fn away(error: StoreError) -> VaultFault {
    match error {
        StoreError::Away(_) => VaultFault::Away(error.to_string()),
        error => VaultFault::Unusable(error.to_string()),
    }
}

impl Vault for VaultPort {
    fn open<'a>(&'a self, ask: SecretAsk<'a>) -> PortFuture<'a, Result<SecretString, VaultFault>> {
        Box::pin(async move {
            match &self.shared {
                Some(shared) => shared.open(ask).await,
                None => Err(VaultFault::Unusable(
                    "this worker has no keys to open secrets with; run countersign keys init, set \
                     COUNTERSIGN_KEYS_DIR and restart the worker"
                        .into(),
                )),
            }
        })
    }
}
