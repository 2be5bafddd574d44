//! Which claims this process has been told of and not settled yet, so that repeating a claim whose answer was
//! lost never takes a job away from a handler, or from a completion on its way, of this same process.
//!
//! An id may come out of the dispatcher twice; that is harmless as long as a claim takes only what is queued. A
//! repeated claim also takes what this worker holds, and must tell what it holds unknowingly from what it runs.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::JobId;
use uuid::Uuid;

/// Shared by the fetchers and the completer. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Told {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Being claimed at this moment, by one of the fetchers.
    claiming: HashSet<Uuid>,
    /// The newest claim of each job in hand.
    held: HashMap<Uuid, i32>,
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of `ids` that nobody else here is claiming; they are being claimed from now on.
    pub(crate) fn begin(&self, ids: Vec<Uuid>) -> Vec<Uuid> {
        let mut inner = self.lock();
        ids.into_iter().filter(|id| inner.claiming.insert(*id)).collect()
    }

    /// The newest claim known of each id; 0 where none is.
    pub(crate) fn known(&self, ids: &[Uuid]) -> Vec<i32> {
        let inner = self.lock();
        ids.iter().map(|id| inner.held.get(id).copied().unwrap_or(0)).collect()
    }

    /// Claiming `ids` is over; `claimed` are in hand now.
    pub(crate) fn end(&self, ids: &[Uuid], claimed: impl Iterator<Item = (JobId, i32)>) {
        let mut inner = self.lock();
        inner.held.extend(claimed.map(|(job, claim_no)| (job.0, claim_no)));
        for id in ids {
            inner.claiming.remove(id);
        }
    }

    /// A claim was settled, or lost for good. A later claim of the same job stays.
    pub(crate) fn settle(&self, settled: impl Iterator<Item = (JobId, i32)>) {
        let mut inner = self.lock();
        for (job, claim_no) in settled {
            if inner.held.get(&job.0) == Some(&claim_no) {
                inner.held.remove(&job.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_hand_is_known_until_it_is_settled() {
        let told = Told::default();
        let (a, b) = (JobId::new(), JobId::new());
        assert_eq!(told.begin(vec![a.0, b.0]), [a.0, b.0]);
        assert!(told.begin(vec![a.0]).is_empty(), "the other fetcher is at it");
        told.end(&[a.0, b.0], [(a, 1)].into_iter());
        assert_eq!(told.known(&[a.0, b.0]), [1, 0]);
        assert_eq!(told.begin(vec![a.0]), [a.0]);
        told.end(&[a.0], [(a, 2)].into_iter());
        told.settle([(a, 1)].into_iter());
        assert_eq!(told.known(&[a.0]), [2], "an older claim's end changes nothing");
        told.settle([(a, 2)].into_iter());
        assert_eq!(told.known(&[a.0]), [0]);
    }
}
