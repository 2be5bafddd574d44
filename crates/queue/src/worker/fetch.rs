//! Fetching: take ids, claim them, hand them on. Two fetchers take turns, so that one claims while the
//! other takes; when there is nothing, one of them sleeps in the dispatcher and the other waits for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{JobId, JobState, OrgId};
use sqlx::PgConnection;
use telemetry::metric;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};
use uuid::Uuid;

use super::flight::Stop;
use super::slots::{Room, Slot};
use super::{Assignment, Shared, screen};
use crate::dispatch::{Nudger, SCRIPT_BATCH, Taken, Waiter, Want};
use crate::error::QueueError;
use crate::events::JobChange;
use crate::ledger::Profile;
use crate::ledger::claim::{Claimed, claim};
use crate::ledger::finish::Settled;
use crate::ledger::open_rows::running_among;

const FETCHERS: usize = 2;
/// How soon a sleeping worker notices that a lane was opened.
const LOOK_EVERY: Duration = Duration::from_millis(500);

type Lanes = Arc<HashMap<Arc<str>, mpsc::Sender<Assignment>>>;

/// Starts the fetchers; they end when the worker drains.
pub(crate) fn start(
    shared: &Arc<Shared>,
    lanes: Vec<(Arc<str>, mpsc::Sender<Assignment>)>,
    tasks: &TaskTracker,
) {
    let lanes: Lanes = Arc::new(lanes.into_iter().collect());
    let waiter = Waiter::new(shared.queue.dispatch().clone(), shared.identity.id());
    let sleep = Arc::new(Sleep {
        nudger: waiter.nudger(),
        waiter: Mutex::new(waiter),
        listening: std::sync::Mutex::default(),
        more: Notify::new(),
    });
    for _ in 0..FETCHERS {
        let fetcher = Fetcher {
            shared: shared.clone(),
            lanes: lanes.clone(),
            sleep: sleep.clone(),
            connection: None,
            turn: 0,
        };
        tasks.spawn(fetcher.run());
    }
}

struct Sleep {
    waiter: Mutex<Waiter>,
    nudger: Nudger,
    /// Lanes that the sleeper can be woken by.
    listening: std::sync::Mutex<Vec<Arc<str>>>,
    /// Rung when there is more than one fetcher can carry.
    more: Notify,
}

impl Sleep {
    fn listen(&self, rooms: &[Room]) -> Vec<Arc<str>> {
        let lanes: Vec<Arc<str>> = rooms.iter().map(|room| room.lane.clone()).collect();
        self.listening.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone_from(&lanes);
        lanes
    }

    /// Whether a lane with room is none that the sleeper can be woken by.
    fn misses(&self, rooms: &[Room]) -> bool {
        let lanes = self.listening.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        rooms.iter().any(|room| !lanes.contains(&room.lane))
    }
}

struct Fetcher {
    shared: Arc<Shared>,
    lanes: Lanes,
    sleep: Arc<Sleep>,
    connection: Option<PgConnection>,
    /// Which lane the next take begins with.
    turn: usize,
}

impl Fetcher {
    async fn run(mut self) {
        while !self.shared.draining.is_cancelled() {
            let rooms = self.shared.slots.room(&self.shared.queue.lanes());
            if rooms.is_empty() {
                tokio::select! {
                    () = self.shared.slots.freed() => {}
                    () = self.shared.draining.cancelled() => return,
                    // A paused lane may have been opened.
                    () = tokio::time::sleep(Duration::from_millis(500)) => {}
                }
                continue;
            }
            match self.take(&rooms).await {
                Ok(taken) if taken.is_empty() => self.rest(&rooms).await,
                Ok(taken) => {
                    if taken.len() >= 32 {
                        self.sleep.more.notify_one();
                    }
                    self.claim_and_hand_on(taken).await;
                }
                Err(error) => {
                    metrics::counter!(metric::REDIS_ERRORS_TOTAL).increment(1);
                    debug!(error = %error, "nothing taken: Redis is away");
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(200)) => {}
                        () = self.shared.draining.cancelled() => return,
                    }
                }
            }
        }
    }

    async fn take(&mut self, rooms: &[Room]) -> Result<Vec<(Taken, Slot)>, redis::RedisError> {
        // Each take begins with another lane: one whose flood could fill the batch must not always be first.
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn % rooms.len().max(1);
        let mut reserved = Vec::with_capacity(rooms.len());
        let mut wants = Vec::with_capacity(rooms.len());
        for room in rooms.iter().skip(turn).chain(rooms.iter().take(turn)) {
            // Reserve before taking, so that two fetchers never fill the same slot.
            let Some(reservation) = self.shared.slots.reserve(room, SCRIPT_BATCH) else { continue };
            wants.push(Want { lane: room.lane.clone(), slots: reservation.left(), org_cap: room.org_cap });
            reserved.push(reservation);
        }
        if wants.is_empty() {
            return Ok(Vec::new());
        }
        let taken = self.shared.queue.dispatch().take(&wants, SCRIPT_BATCH).await?;
        Ok(taken.into_iter().zip(reserved).flat_map(|(ids, slots)| ids.into_iter().zip(slots)).collect())
    }

    /// Nothing to do: sleep in the dispatcher, or wait for the fetcher that does.
    async fn rest(&self, rooms: &[Room]) {
        let Ok(mut waiter) = self.sleep.waiter.try_lock() else {
            // A slot that came free woke only one of the two: it may be that the sleeper did not hear of it.
            if self.sleep.misses(rooms) {
                self.sleep.nudger.nudge().await;
            }
            tokio::select! {
                () = self.sleep.more.notified() => {}
                () = self.shared.draining.cancelled() => {}
            }
            return;
        };
        let lanes = self.sleep.listen(rooms);
        let sleep = waiter.sleep(&lanes);
        tokio::pin!(sleep);
        let result = loop {
            tokio::select! {
                result = &mut sleep => break result,
                () = self.shared.draining.cancelled() => return,
                () = async {
                    tokio::select! {
                        () = self.shared.slots.freed() => {}
                        () = tokio::time::sleep(LOOK_EVERY) => {}
                    }
                } => {
                    // A lane that was full or paused has room again: it must be listened to as well.
                    let rooms = self.shared.slots.room(&self.shared.queue.lanes());
                    if self.sleep.misses(&rooms) {
                        self.sleep.nudger.nudge().await;
                    }
                }
            }
        };
        if let Err(error) = result {
            debug!(error = %error, "sleep ended: Redis is away");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn claim_and_hand_on(&mut self, taken: Vec<(Taken, Slot)>) {
        // One that the other fetcher is claiming at this moment is that one's; its slot is freed below.
        let ids = self.shared.told.begin(taken.iter().map(|(one, _)| one.job_id.0).collect());
        let mut order: HashMap<Uuid, usize> = HashMap::with_capacity(ids.len());
        let mut counted: HashMap<Uuid, (Arc<str>, OrgId)> = HashMap::new();
        let mut slots: HashMap<Uuid, Slot> = HashMap::with_capacity(ids.len());
        for (at, (one, slot)) in taken.into_iter().enumerate() {
            order.insert(one.job_id.0, at);
            if let Some(org) = one.counted {
                counted.insert(one.job_id.0, (slot.lane().clone(), org));
            }
            slots.insert(one.job_id.0, slot);
        }
        let started = Instant::now();
        let worker = self.shared.identity.id();
        let Some(mut claimed) = self.claim(worker, &ids).await else {
            self.shared.told.end(&ids, std::iter::empty());
            return;
        };
        self.shared.told.end(&ids, claimed.iter().map(|job| (job.job_id, job.claim_no)));
        #[allow(clippy::cast_precision_loss)] // at most a batch
        metrics::histogram!(metric::GROUP_COMMIT_SIZE, "stage" => "claim").record(ids.len() as f64);
        metrics::histogram!(metric::GROUP_COMMIT_SECONDS, "stage" => "claim")
            .record(started.elapsed().as_secs_f64());
        if claimed.len() < ids.len() {
            // Ended, cancelled or taken meanwhile. Their slots are freed below.
            debug!(taken = ids.len(), claimed = claimed.len(), "some ids were no longer queued");
        }
        for job in &mut claimed {
            job.counted = counted.remove(&job.job_id.0).is_some();
        }
        self.uncount(counted).await;
        claimed.sort_unstable_by_key(|job| order.get(&job.job_id.0).copied());
        let mut go = Vec::with_capacity(claimed.len());
        for (job, settled) in screen::screen(&self.shared, claimed).await {
            let Some(slot) = slots.remove(&job.job_id.0) else {
                continue;
            };
            match settled {
                Some(settled) => {
                    self.shared.completer.send(worker, &job, settled, None).await;
                    drop(slot);
                }
                None => go.push(Assignment { job, worker, stop: Stop::default(), slot: Some(slot) }),
            }
        }
        self.show(&go).await;
        self.shared.flights.add(go.iter().map(|one| (one.job.job_id, one.job.claim_no, one.stop.clone())));
        for assignment in go {
            let lane = assignment.job.lane.clone();
            let handed = match self.lanes.get(&lane) {
                Some(sender) => sender.send(assignment).await.map_err(|error| error.0),
                None => Err(assignment),
            };
            if let Err(assignment) = handed {
                // The lane's worker is gone: the job goes back untouched.
                self.shared.flights.remove(assignment.job.job_id, assignment.job.claim_no);
                self.shared.completer.send(worker, &assignment.job, Settled::Released, None).await;
            }
        }
    }

    /// Shows to whoever watches that these jobs run now. Before they do: their ends come after it.
    async fn show(&self, starting: &[Assignment]) {
        let events = self.shared.queue.events();
        let changes: Vec<_> = starting
            .iter()
            .map(|one| &one.job)
            .filter(|job| events.is_watched(job.org_id))
            .map(|job| {
                let (kind, lane) = (job.kind.clone(), job.lane.clone());
                (job.org_id, JobChange { job_id: job.job_id, kind, lane, state: JobState::Running })
            })
            .collect();
        events.publish(changes).await;
    }

    /// Ids that were counted against a cap but that nobody runs must not fill it.
    async fn uncount(&self, mut counted: HashMap<Uuid, (Arc<str>, OrgId)>) {
        if counted.is_empty() {
            return;
        }
        let ids: Vec<Uuid> = counted.keys().copied().collect();
        // One that was dispatched twice may be running elsewhere: it counts there.
        let released: Result<(), QueueError> = async {
            for running in running_among(self.shared.queue.pool(), &ids).await? {
                counted.remove(&running);
            }
            let idle: Vec<_> = counted.into_iter().map(|(id, (lane, org))| (lane, org, JobId(id))).collect();
            Ok(self.shared.queue.dispatch().release(&idle).await?)
        }
        .await;
        if let Err(error) = released {
            debug!(error = %error, "capped lanes' counts are corrected by the sweep");
        }
    }

    /// Claims until PostgreSQL answers. After a broken connection the first try may have gone through:
    /// the repeat also accepts what this worker holds already and does not know of.
    async fn claim(&mut self, worker: domain::WorkerId, ids: &[Uuid]) -> Option<Vec<Claimed>> {
        let mut pause = Duration::from_millis(50);
        let mut again = false;
        loop {
            let told = self.shared.told.clone();
            let known = || again.then(|| told.known(ids));
            let result = match self.connection.as_mut() {
                Some(connection) => claim(connection, worker, ids, known()).await.map_err(Into::into),
                None => match self.shared.queue.open(Profile::Volatile).await {
                    Ok(connection) => claim(self.connection.insert(connection), worker, ids, known())
                        .await
                        .map_err(Into::into),
                    Err(error) => Err(error),
                },
            };
            match result {
                Ok(claimed) => return Some(claimed),
                Err(error) => {
                    metrics::counter!(metric::POSTGRES_ERRORS_TOTAL).increment(1);
                    warn!(error = %error, jobs = ids.len(), "claim failed; trying again");
                    self.connection = None;
                    again = true;
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        // Unclaimed ids return with the sweep; claimed ones when this worker is gone.
                        () = self.shared.draining.cancelled() => return None,
                    }
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
            }
        }
    }
}
