//! Links committed entries soon after their commit, beside the requests that wrote them.
//!
//! One task an organisation at most: whoever commits while it runs makes it look once more. What it does not
//! get done (the process ends, PostgreSQL is away) is left to the [`Keeper`](super::Keeper).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::OrgId;
use sqlx::PgPool;
use tokio::sync::Semaphore;

use super::keeper::extend_once;

/// Connections that linking may take from the requests, at most.
const AT_ONCE: usize = 2;

/// Wait before looking again while another process links the same chain.
const OTHERS: Duration = Duration::from_millis(20);

/// Commits within this are linked together.
const GATHER: Duration = Duration::from_millis(3);

/// Rounds before the rest is left to the keeper.
const ROUNDS: usize = 1000;

/// Hears of commits and links what they wrote. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Chainer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    /// Organisations with a task; true: look once more.
    busy: Mutex<HashMap<OrgId, bool>>,
    turns: Semaphore,
}

impl Chainer {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self(Arc::new(Inner { pool, busy: Mutex::default(), turns: Semaphore::new(AT_ONCE) }))
    }

    /// Says that an entry of the organisation was committed. Returns at once, never fails.
    pub(crate) fn poke(&self, org: OrgId) {
        if let Some(again) = self.0.lock().get_mut(&org) {
            *again = true;
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        self.0.lock().insert(org, false);
        let inner = self.0.clone();
        runtime.spawn(async move { inner.work(org).await });
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<OrgId, bool>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work(&self, org: OrgId) {
        for _ in 0..ROUNDS {
            tokio::time::sleep(GATHER).await;
            let linked = match self.turns.acquire().await {
                Ok(_turn) => extend_once(&self.pool, org).await,
                Err(_) => break,
            };
            let more = match linked {
                Ok(Some(all)) => !all,
                Ok(None) => {
                    tokio::time::sleep(OTHERS).await;
                    true
                }
                Err(error) => {
                    tracing::debug!(%error, org_id = %org, "audit entries were not linked; the keeper will");
                    break;
                }
            };
            let mut busy = self.lock();
            match busy.get_mut(&org) {
                Some(again) if *again || more => *again = false,
                _ => {
                    busy.remove(&org);
                    return;
                }
            }
        }
        self.lock().remove(&org);
    }
}
