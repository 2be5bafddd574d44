//! The process's slots for event streams: nobody takes them all, and newcomers find one.
//!
//! Each organisation may hold half of what the others leave. One that opens every stream it can leaves as many
//! for the rest, so no organisation can keep another from watching.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::OrgId;

/// The slots. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Streams(Arc<Inner>);

struct Inner {
    most: usize,
    open: Mutex<HashMap<OrgId, usize>>,
}

/// A slot; free again when it is dropped.
pub(crate) struct Slot {
    streams: Streams,
    org: OrgId,
}

impl Streams {
    /// `most` streams in all.
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Inner { most, open: Mutex::default() }))
    }

    /// A slot for this organisation; none when it has its share already.
    pub(crate) fn take(&self, org: OrgId) -> Option<Slot> {
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = open.values().sum();
        let own = open.get(&org).copied().unwrap_or(0);
        let left = self.0.most.saturating_sub(all - own);
        if own >= left.div_ceil(2) {
            return None;
        }
        open.insert(org, own + 1);
        Some(Slot { streams: self.clone(), org })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.streams.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.org) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.org);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grab(streams: &Streams, org: OrgId) -> Vec<Slot> {
        std::iter::from_fn(|| streams.take(org)).collect()
    }

    #[test]
    fn whoever_grabs_leaves_as_many_for_the_others() {
        let streams = Streams::new(256);
        let greedy = OrgId::new();
        let first = grab(&streams, greedy);
        let second = grab(&streams, OrgId::new());
        let third = grab(&streams, OrgId::new());
        assert_eq!([first.len(), second.len(), third.len()], [128, 64, 32]);
        drop((second, third));
        assert!(streams.take(greedy).is_none());
        drop(first);
        assert_eq!(grab(&streams, greedy).len(), 128);
        assert!(streams.0.open.lock().is_ok_and(|open| open.is_empty()), "what is closed is forgotten");
    }

    #[test]
    fn the_last_slot_can_be_taken_and_none_means_none() {
        assert!(Streams::new(0).take(OrgId::new()).is_none());
        let one = Streams::new(1);
        let held = one.take(OrgId::new());
        assert!(held.is_some() && one.take(OrgId::new()).is_none());
    }
}
