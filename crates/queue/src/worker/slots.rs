//! Slots: how many jobs of each lane this process may have in hand, and who waits for a free one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use telemetry::metric;
use tokio::sync::Notify;

use crate::engine::{LaneSetting, LaneTable};
use crate::ops::lanes::LaneMode;

/// All lanes' slots. Capacity follows the lane table.
#[derive(Clone)]
pub(crate) struct Slots {
    lanes: Arc<[Lane]>,
    fixed: Option<usize>,
    freed: Arc<Notify>,
    emptied: Arc<Notify>,
}

struct Lane {
    name: Arc<str>,
    used: Arc<AtomicUsize>,
}

/// Room in one lane.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) index: usize,
    pub(crate) lane: Arc<str>,
    pub(crate) capacity: usize,
    pub(crate) org_cap: i32,
}

impl Slots {
    pub(crate) fn new(lanes: &[LaneSetting], fixed: Option<usize>) -> Self {
        let lanes = lanes.iter().map(|lane| Lane { name: lane.lane.clone(), used: Arc::default() }).collect();
        Self { lanes, fixed, freed: Arc::default(), emptied: Arc::default() }
    }

    /// Open lanes that have room, in their order.
    pub(crate) fn room(&self, table: &LaneTable) -> Vec<Room> {
        self.lanes
            .iter()
            .enumerate()
            .filter_map(|(index, lane)| {
                let setting = table.get(&lane.name)?;
                let capacity = self.fixed.unwrap_or(setting.concurrency);
                let free = capacity.saturating_sub(lane.used.load(Ordering::Acquire));
                (free > 0 && setting.mode != LaneMode::Paused).then(|| Room {
                    index,
                    lane: lane.name.clone(),
                    capacity,
                    org_cap: setting.org_cap.unwrap_or(0),
                })
            })
            .collect()
    }

    /// Reserves what is free by now of room that was seen, at most `most` slots; none when another was
    /// quicker. What is not made into slots is given back when this is dropped.
    pub(crate) fn reserve(&self, room: &Room, most: usize) -> Option<Reservation> {
        let lane = self.lanes.get(room.index)?;
        let share = |used: usize| room.capacity.saturating_sub(used).min(most);
        let before = lane
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                (share(used) > 0).then(|| used + share(used))
            })
            .ok()?;
        Some(Reservation {
            lane: lane.name.clone(),
            left: share(before),
            used: lane.used.clone(),
            freed: self.freed.clone(),
            emptied: self.emptied.clone(),
        })
    }

    /// Slots in use over all lanes.
    pub(crate) fn used(&self) -> usize {
        self.lanes.iter().map(|lane| lane.used.load(Ordering::Acquire)).sum()
    }

    /// Waits for any slot to come free.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Waits until no slot is in use.
    pub(crate) async fn empty(&self) {
        while self.used() > 0 {
            let emptied = self.emptied.notified();
            if self.used() == 0 {
                return;
            }
            // The pause covers a notification that came between the two looks.
            let _ = tokio::time::timeout(std::time::Duration::from_millis(100), emptied).await;
        }
    }

    pub(crate) fn publish(&self) {
        for lane in &*self.lanes {
            #[allow(clippy::cast_precision_loss)] // at most some thousands
            let used = lane.used.load(Ordering::Relaxed) as f64;
            metrics::gauge!(metric::JOBS_IN_FLIGHT, "lane" => lane.name.clone()).set(used);
        }
    }
}

/// Room set aside for jobs that are being taken.
pub(crate) struct Reservation {
    lane: Arc<str>,
    left: usize,
    used: Arc<AtomicUsize>,
    freed: Arc<Notify>,
    emptied: Arc<Notify>,
}

impl Reservation {
    /// Slots not made yet.
    pub(crate) fn left(&self) -> usize {
        self.left
    }
}

impl Iterator for Reservation {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        self.left = self.left.checked_sub(1)?;
        Some(Slot {
            lane: self.lane.clone(),
            used: self.used.clone(),
            freed: self.freed.clone(),
            emptied: self.emptied.clone(),
        })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.left > 0 {
            self.used.fetch_sub(self.left, Ordering::AcqRel);
            self.emptied.notify_waiters();
        }
    }
}

/// One slot in use; free when dropped.
pub(crate) struct Slot {
    lane: Arc<str>,
    used: Arc<AtomicUsize>,
    freed: Arc<Notify>,
    emptied: Arc<Notify>,
}

impl Slot {
    /// Which lane's it is.
    pub(crate) fn lane(&self) -> &Arc<str> {
        &self.lane
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.used.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.emptied.notify_waiters();
        }
        self.freed.notify_one();
    }
}
