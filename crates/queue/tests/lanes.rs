//! Lanes: who may pause, drain and bound what, and that all workers together keep to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::{JobState, OrgId};
use queue::ops::jobs;
use queue::ops::lanes::{self, LaneMode, LanePatch};
use queue::worker::WorkerConfig;
use queue::{NewJob, OpsError, Queue};
use serde_json::json;
use testkit::{Book, Gate, TestDb, act, enqueue, eventually, job, kind, ok, worker};

const SOON: Duration = Duration::from_secs(10);

/// How many runs are under way, and the most there ever were.
#[derive(Default)]
struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Crowd {
    fn enter(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }

    fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

/// Kind `gated`: each run waits for a permit of the gate. Kind `plain`: nothing.
fn gated() -> (Arc<Book>, Arc<Crowd>, Gate) {
    let (crowd, gate) = (Arc::new(Crowd::default()), Gate::shut());
    let (inside, pass) = (crowd.clone(), gate.clone());
    let gated = kind("gated").run(move |_| {
        let (inside, pass) = (inside.clone(), pass.clone());
        async move {
            inside.enter();
            pass.pass().await;
            inside.leave();
            ok()
        }
    });
    (Book::of([gated, kind("plain")]), crowd, gate)
}

async fn org_mode(queue: &Queue, org: OrgId, lane: &str, mode: LaneMode) {
    let after = act!(queue, tx => lanes::set_org_mode(&mut tx, org, lane, mode, None));
    queue.after(after).await;
}

async fn org_cap(queue: &Queue, org: OrgId, lane: &str, cap: Option<i32>) {
    let after = act!(queue, tx => lanes::set_org_cap(&mut tx, org, lane, cap, None));
    queue.after(after).await;
}

async fn platform(queue: &Queue, lane: &str, patch: LanePatch) {
    let after = act!(queue, tx => lanes::set_platform(&mut tx, lane, patch));
    queue.after(after).await;
}

fn mode(mode: LaneMode) -> LanePatch {
    LanePatch { mode: Some(mode), ..LanePatch::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_share_keeps_its_jobs_while_the_others_run() {
    let db = TestDb::new().await;
    let (queue, book) = (db.queue().await, Book::of([kind("plain")]));
    let (held, free) = (db.org("held").await, db.org("free").await);
    org_mode(&queue, held, "default", LaneMode::Paused).await;
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    let waiting = enqueue(&queue, held, "plain", 5).await;
    let running = enqueue(&queue, free, "plain", 5).await;
    let elsewhere = NewJob { lane: "critical".into(), ..job(held, "plain", &json!({})) };
    let elsewhere = queue.enqueue(elsewhere).await.unwrap().job_id;
    for id in running {
        db.reaches(id, JobState::Succeeded, SOON).await;
    }
    db.reaches(elsewhere, JobState::Succeeded, SOON).await;
    for id in &waiting {
        let row = db.job(*id).await.unwrap();
        assert_eq!((row.state.as_str(), row.claim_no), ("queued", 0), "a paused share's job was touched");
    }
    org_mode(&queue, held, "default", LaneMode::Open).await;
    for id in waiting {
        db.reaches(id, JobState::Succeeded, SOON).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_pauses_a_lane_for_everybody_and_running_jobs_end_as_usual() {
    let db = TestDb::new().await;
    let (book, crowd, gate) = gated();
    let (queue, elsewhere) = (db.queue().await, db.queue().await);
    let (one, two) = (db.org("one").await, db.org("two").await);
    let _crew = worker::start(&elsewhere, &book, worker::slots(4)).await;
    let running = enqueue(&queue, one, "gated", 1).await;
    eventually(SOON, || async { crowd.now() == 1 }).await;
    platform(&queue, "default", mode(LaneMode::Paused)).await;
    // Other processes read the lanes once a second.
    eventually(SOON, || async {
        elsewhere.lanes().get("default").is_some_and(|lane| lane.mode == LaneMode::Paused)
    })
    .await;
    // A look that began before may still be under way; what it brings is let through here.
    tokio::time::sleep(Duration::from_millis(50)).await;
    gate.admit(1);
    db.reaches(running[0], JobState::Succeeded, SOON).await;
    let mut waiting = enqueue(&queue, one, "plain", 3).await;
    waiting.extend(enqueue(&queue, two, "plain", 3).await);
    tokio::time::sleep(Duration::from_millis(700)).await;
    for id in &waiting {
        assert_eq!(db.state(*id).await, JobState::Queued, "a job of a paused lane was touched");
    }
    platform(&queue, "default", mode(LaneMode::Open)).await;
    for id in waiting {
        db.reaches(id, JobState::Succeeded, SOON).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_lane_ends_what_is_queued_and_parks_what_comes() {
    let db = TestDb::new().await;
    let (book, _, gate) = gated();
    let queue = db.queue().await;
    let _tender = worker::tend(&queue, &book);
    let (one, two) = (db.org("one").await, db.org("two").await);
    let before = enqueue(&queue, one, "gated", 3).await;
    org_mode(&queue, one, "default", LaneMode::Draining).await;
    let parked = enqueue(&queue, one, "plain", 2).await;
    let free = enqueue(&queue, two, "plain", 2).await;
    let _crew = worker::start(&queue, &book, worker::slots(8)).await;
    gate.admit(3);
    for id in before.into_iter().chain(free) {
        db.reaches(id, JobState::Succeeded, SOON).await;
    }
    for id in &parked {
        assert_eq!(db.state(*id).await, JobState::Parked);
        let why: (String, String) = sqlx::query_as("SELECT what, key FROM job_wait WHERE job_id = $1")
            .bind(id.0)
            .fetch_one(db.superuser())
            .await
            .unwrap();
        assert_eq!(why, ("lane".into(), "default".into()), "a parked job says what it waits for");
    }
    // The platform drains it, too: opening the share alone lets nothing more in.
    platform(&queue, "default", mode(LaneMode::Draining)).await;
    let late = enqueue(&queue, two, "plain", 1).await;
    assert_eq!(db.state(late[0]).await, JobState::Parked);
    platform(&queue, "default", mode(LaneMode::Open)).await;
    org_mode(&queue, one, "default", LaneMode::Open).await;
    for id in parked.into_iter().chain(late) {
        db.reaches(id, JobState::Succeeded, SOON).await;
    }
    assert_eq!(db.number("SELECT count(*) FROM job_wait").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_workers_together_keep_to_an_organisations_cap() {
    let db = TestDb::new().await;
    let (capped, free) = (Arc::new(Crowd::default()), Arc::new(Crowd::default()));
    let crowded = |name: &'static str, crowd: &Arc<Crowd>| {
        let crowd = crowd.clone();
        kind(name).run(move |_| {
            let crowd = crowd.clone();
            async move {
                crowd.enter();
                tokio::time::sleep(Duration::from_millis(15)).await;
                crowd.leave();
                ok()
            }
        })
    };
    let book = Book::of([crowded("capped", &capped), crowded("free", &free)]);
    let queue = db.queue().await;
    let (small, large) = (db.org("small").await, db.org("large").await);
    org_cap(&queue, small, "default", Some(3)).await;
    let mut crews = Vec::new();
    for _ in 0..3 {
        crews.push(worker::start(&db.queue().await, &book, worker::slots(8)).await);
    }
    enqueue(&queue, small, "capped", 90).await;
    enqueue(&queue, large, "free", 300).await;
    db.all_ended(Duration::from_secs(20)).await;
    assert_eq!(capped.most(), 3, "the cap is a bound, and the workers use it up");
    assert!(free.most() > 3, "nobody else is held back");
    assert_eq!(book.started(), 390);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lanes_cap_holds_for_each_organisation() {
    let db = TestDb::new().await;
    let (book, crowd, gate) = gated();
    let queue = db.queue().await;
    let orgs = [db.org("one").await, db.org("two").await, db.org("three").await];
    platform(&queue, "default", LanePatch { org_cap: Some(Some(2)), ..LanePatch::default() }).await;
    let other = db.queue().await;
    let _crews = [
        worker::start(&queue, &book, worker::slots(16)).await,
        worker::start(&other, &book, worker::slots(16)).await,
    ];
    for org in orgs {
        enqueue(&queue, org, "gated", 5).await;
    }
    eventually(SOON, || async { crowd.now() == 6 }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(crowd.most(), 6, "two of each of three organisations");
    // One organisation may have more than the lane allows the others.
    org_cap(&queue, orgs[0], "default", Some(4)).await;
    eventually(SOON, || async { crowd.now() == 8 }).await;
    gate.admit(15);
    db.all_ended(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_cap_counts_at_once() {
    let db = TestDb::new().await;
    let (book, crowd, gate) = gated();
    let queue = db.queue().await;
    let org = db.org("one").await;
    org_cap(&queue, org, "default", Some(1)).await;
    let _crew = worker::start(&db.queue().await, &book, worker::slots(8)).await;
    enqueue(&queue, org, "gated", 8).await;
    eventually(SOON, || async { crowd.now() == 1 }).await;
    org_cap(&queue, org, "default", Some(3)).await;
    eventually(Duration::from_secs(2), || async { crowd.now() == 3 }).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(crowd.now(), 3);
    org_cap(&queue, org, "default", None).await;
    eventually(Duration::from_secs(2), || async { crowd.now() == 8 }).await;
    gate.admit(8);
    db.all_ended(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_set_while_jobs_run_is_freed_by_those_that_end() {
    let db = TestDb::new().await;
    let (book, crowd, gate) = gated();
    let queue = db.queue().await;
    let org = db.org("one").await;
    // This worker hears of the cap up to a second after the dispatcher does.
    let _crew = worker::start(&db.queue().await, &book, worker::slots(8)).await;
    org_cap(&queue, org, "default", Some(1)).await;
    gate.admit(20);
    enqueue(&queue, org, "gated", 20).await;
    db.all_ended(Duration::from_secs(3)).await;
    assert_eq!(crowd.most(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_called_off_leaves_no_hole_in_the_cap() {
    let db = TestDb::new().await;
    let (book, crowd, gate) = gated();
    let queue = db.queue().await;
    let org = db.org("one").await;
    org_cap(&queue, org, "default", Some(1)).await;
    let _crew = worker::start(&queue, &book, worker::slots(8)).await;
    let ids = enqueue(&queue, org, "gated", 4).await;
    eventually(SOON, || async { crowd.now() == 1 }).await;
    let (_, after) = act!(queue, tx => jobs::cancel(&mut tx, org, ids[1], None, None));
    queue.after(after).await;
    gate.admit(4);
    // No sweep runs here: the worker itself gives back what it could not claim.
    db.all_ended(Duration::from_secs(3)).await;
    assert_eq!(crowd.most(), 1);
    assert_eq!(db.counts().await, [("cancelled".into(), 1), ("succeeded".into(), 3)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_never_has_more_jobs_in_hand_than_slots() {
    let db = TestDb::new().await;
    let crowd = Arc::new(Crowd::default());
    let inside = crowd.clone();
    let book = Book::of([kind("brief").run(move |_| {
        let inside = inside.clone();
        async move {
            inside.enter();
            tokio::task::yield_now().await;
            inside.leave();
            ok()
        }
    })]);
    let queue = db.queue().await;
    let org = db.org("one").await;
    let _crew = worker::start(&queue, &book, worker::slots(3)).await;
    enqueue(&queue, org, "brief", 1000).await;
    db.all_ended(Duration::from_secs(20)).await;
    assert!(crowd.most() <= 3, "{} at once", crowd.most());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lanes_slots_follow_its_setting() {
    let db = TestDb::new().await;
    let (book, crowd, gate) = gated();
    let queue = db.queue().await;
    let org = db.org("one").await;
    let slots = |count| LanePatch { concurrency: Some(count), ..LanePatch::default() };
    platform(&queue, "default", slots(2)).await;
    let _crew = worker::start(&queue, &book, WorkerConfig::default()).await;
    enqueue(&queue, org, "gated", 9).await;
    eventually(SOON, || async { crowd.now() == 2 }).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(crowd.most(), 2);
    platform(&queue, "default", slots(5)).await;
    eventually(SOON, || async { crowd.now() == 5 }).await;
    gate.admit(9);
    db.all_ended(SOON).await;
    assert_eq!(crowd.most(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_shows_each_organisation_its_own_share() {
    let db = TestDb::new().await;
    let queue = db.queue().await;
    let (mine, theirs) = (db.org("mine").await, db.org("theirs").await);
    org_mode(&queue, mine, "default", LaneMode::Paused).await;
    org_cap(&queue, mine, "default", Some(7)).await;
    enqueue(&queue, mine, "plain", 3).await;
    enqueue(&queue, theirs, "plain", 2).await;
    let later = chrono::Utc::now() + chrono::Duration::hours(1);
    queue.enqueue(NewJob { run_at: Some(later), ..job(mine, "plain", &json!({})) }).await.unwrap();
    let mut connection = queue.pool().acquire().await.unwrap();
    let of = async |connection: &mut sqlx::PgConnection, org| {
        let all = lanes::list(connection, org).await.unwrap();
        assert_eq!(all.len(), 9, "every lane is listed");
        all.into_iter().find(|lane| lane.lane == "default").unwrap()
    };
    let lane = of(&mut connection, Some(mine)).await;
    assert_eq!((lane.mode.as_str(), lane.org_mode.as_str(), lane.org_cap), ("open", "paused", Some(7)));
    assert_eq!((lane.scheduled, lane.queued, lane.running, lane.parked), (1, 3, 0, 0));
    assert!(lane.oldest_queued_at.is_some());
    let lane = of(&mut connection, Some(theirs)).await;
    assert_eq!((lane.org_mode.as_str(), lane.org_cap, lane.queued), ("open", None, 2));
    let lane = of(&mut connection, None).await;
    assert_eq!((lane.scheduled, lane.queued), (1, 5), "the platform counts everybody's");
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_with_the_field() {
    let db = TestDb::new().await;
    let queue = db.queue().await;
    let org = db.org("one").await;
    let mut connection = queue.pool().acquire().await.unwrap();
    let missing = lanes::set_org_mode(&mut connection, org, "fast", LaneMode::Paused, None).await;
    assert!(matches!(missing, Err(OpsError::NotFound("lane"))));
    for cap in [0, -1, 100_001] {
        let refused = lanes::set_org_cap(&mut connection, org, "default", Some(cap), None).await;
        assert!(matches!(refused, Err(OpsError::Invalid { field: "org_cap", .. })), "{cap}");
    }
    for slots in [0, 10_001] {
        let patch = LanePatch { concurrency: Some(slots), ..LanePatch::default() };
        let refused = lanes::set_platform(&mut connection, "default", patch).await;
        assert!(matches!(refused, Err(OpsError::Invalid { field: "concurrency", .. })), "{slots}");
    }
    let missing = lanes::set_platform(&mut connection, "fast", LanePatch::default()).await;
    assert!(matches!(missing, Err(OpsError::NotFound("lane"))));
}
