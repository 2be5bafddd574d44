//! Workers that die or stand still: their jobs come back, once, and what they say afterwards is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use domain::{JobId, JobState};
use queue::Queue;
use queue::dispatch::Want;
use queue::ops::jobs::CancelOutcome;
use queue::ops::{jobs, lanes};
use queue::worker::WorkerConfig;
use sqlx::Connection;
use testkit::worker::{Apart, LEASE};
use testkit::{Book, Gate, TestDb, act, enqueue, eventually, kind, ok, worker};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(10);

/// Kind `gated`: each run waits for its turn at the gate.
fn gated() -> (Arc<Book>, Gate) {
    let gate = Gate::shut();
    let before = gate.clone();
    let gated = kind("gated").run(move |_| {
        let before = before.clone();
        async move {
            before.pass().await;
            ok()
        }
    });
    (Book::of([gated]), gate)
}

/// Waits until the job is running for the `run`th time; answers its worker.
async fn running(db: &TestDb, book: &Book, job: JobId, run: usize) -> Uuid {
    eventually(SOON, || async { book.runs_of(job) == run }).await;
    db.job(job).await.unwrap().worker_id.expect("a running job has a worker")
}

/// Makes it as if this worker had not been heard of for an hour; one that lives says otherwise soon.
async fn silence(db: &TestDb, worker: Uuid) {
    sqlx::query("UPDATE worker SET last_seen_at = now() - interval '1 hour' WHERE worker_id = $1")
        .bind(worker)
        .execute(db.superuser())
        .await
        .unwrap();
}

async fn fleet_state(db: &TestDb, worker: Uuid) -> String {
    sqlx::query_scalar("SELECT state FROM worker WHERE worker_id = $1")
        .bind(worker)
        .fetch_one(db.superuser())
        .await
        .unwrap()
}

async fn alive(queue: &Queue) -> Vec<Uuid> {
    worker::alive(queue).await.into_iter().map(|worker| worker.0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_workers_jobs_start_again_elsewhere_within_its_lease_and_little_more() {
    let db = TestDb::new().await;
    let (book, gate) = gated();
    let queue = db.queue().await;
    let org = db.org("one").await;
    let _tender = worker::tend(&queue, &book);
    let doomed = Apart::start(db.config(), &book, worker::slots(4)).await;
    let ids = enqueue(&queue, org, "gated", 4).await;
    let dead = running(&db, &book, ids[0], 1).await;
    eventually(SOON, || async { book.started() == 4 }).await;
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    doomed.kill();
    let killed = Instant::now();
    eventually(LEASE + Duration::from_secs(5), || async { book.started() == 8 }).await;
    println!("all running again {:?} after the kill, at a lease of {LEASE:?}", killed.elapsed());
    gate.open();
    for id in ids {
        let row = db.reaches(id, JobState::Succeeded, SOON).await;
        assert_eq!((row.attempt, row.claim_no, row.recoveries), (1, 2, 1), "the lost attempt is given back");
        assert_ne!(row.worker_id, Some(dead));
        let lost: (Option<Uuid>, String) =
            sqlx::query_as("SELECT worker_id, outcome FROM job_attempt WHERE job_id = $1")
                .bind(id.0)
                .fetch_one(db.superuser())
                .await
                .unwrap();
        assert_eq!(lost, (Some(dead), "lost".into()), "the timeline shows who had it");
    }
    assert_eq!(fleet_state(&db, dead).await, "lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_worker_three_times_is_a_dead_letter() {
    let db = TestDb::new().await;
    let (book, _gate) = gated();
    let queue = db.queue().await;
    let org = db.org("one").await;
    let _tender = worker::tend(&queue, &book);
    let poison = enqueue(&queue, org, "gated", 1).await[0];
    for run in 1..=3 {
        let doomed = Apart::start(db.config(), &book, worker::slots(1)).await;
        let dead = running(&db, &book, poison, run).await;
        doomed.kill();
        silence(&db, dead).await;
        eventually(SOON, || async { db.state(poison).await != JobState::Running }).await;
    }
    let row = db.reaches(poison, JobState::Dead, SOON).await;
    assert_eq!(row.error_code.as_deref(), Some("worker_lost"));
    let lost = "SELECT count(*) FROM job_attempt WHERE job_id = $1 AND outcome = 'lost'";
    assert_eq!(db.number_of(lost, poison).await, 3);
    assert_eq!(book.runs_of(poison), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stood_still_past_its_lease_comes_back_under_a_new_name() {
    let db = TestDb::new().await;
    let (book, gate) = gated();
    let queue = db.queue().await;
    let org = db.org("one").await;
    let _tender = worker::tend(&queue, &book);
    let mut still = Apart::start(db.config(), &book, worker::slots(1)).await;
    let job = enqueue(&queue, org, "gated", 1).await[0];
    let before = running(&db, &book, job, 1).await;
    still.pause().await;
    silence(&db, before).await;
    let other = worker::start(&queue, &book, worker::slots(1)).await;
    let taker = running(&db, &book, job, 2).await;
    assert_ne!(taker, before);
    // Both may pass now: the one that stands still finds out when it moves again.
    gate.admit(2);
    db.reaches(job, JobState::Succeeded, SOON).await;
    still.resume();
    let renewed = eventually(SOON, || async {
        alive(&queue).await.into_iter().find(|worker| *worker != before && *worker != taker)
    })
    .await;
    other.leave(Duration::from_secs(1)).await;
    gate.open();
    let next = enqueue(&queue, org, "gated", 1).await[0];
    let row = db.reaches(next, JobState::Succeeded, SOON).await;
    assert_eq!(row.worker_id, Some(renewed), "it goes on under its new name");
    assert_eq!(fleet_state(&db, before).await, "lost");
    let row = db.job(job).await.unwrap();
    assert_eq!((row.worker_id, row.claim_no, book.runs_of(job)), (Some(taker), 2, 2));
    assert_eq!(db.number("SELECT count(*) FROM job_history").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_completes_after_it_was_declared_lost_does_not_count() {
    let db = TestDb::new().await;
    let (book, gate) = gated();
    let queue = db.queue().await;
    let org = db.org("one").await;
    let _tender = worker::tend(&queue, &book);
    // Its heartbeats are a second apart and blocked below: it does not learn what was decided.
    let patient = WorkerConfig { lease: Duration::from_secs(60), ..worker::slots(1) };
    let unaware = worker::start(&db.queue().await, &book, patient).await;
    let job = enqueue(&queue, org, "gated", 1).await[0];
    let lost = running(&db, &book, job, 1).await;
    sqlx::query("UPDATE worker SET state = 'lost', stopped_at = now() WHERE worker_id = $1")
        .bind(lost)
        .execute(db.superuser())
        .await
        .unwrap();
    let mut blocker = db.connection().await;
    let mut block = blocker.begin().await.unwrap();
    sqlx::query("SELECT FROM worker WHERE worker_id = $1 FOR UPDATE")
        .bind(lost)
        .execute(&mut *block)
        .await
        .unwrap();
    let other = worker::start(&queue, &book, worker::slots(1)).await;
    let taker = running(&db, &book, job, 2).await;
    // The gate lets the one through that came first: the lost worker.
    gate.admit(1);
    eventually(SOON, || async { unaware.in_flight() == 0 }).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let row = db.job(job).await.unwrap();
    assert_eq!((row.state.as_str(), row.worker_id), ("running", Some(taker)), "the late word is refused");
    gate.admit(1);
    let row = db.reaches(job, JobState::Succeeded, SOON).await;
    assert_eq!((row.worker_id, row.claim_no), (Some(taker), 2));
    // It hears of it, takes a new name and goes on.
    block.rollback().await.unwrap();
    let renewed = eventually(SOON, || async {
        alive(&queue).await.into_iter().find(|worker| *worker != lost && *worker != taker)
    })
    .await;
    other.leave(Duration::from_secs(1)).await;
    gate.open();
    let next = enqueue(&queue, org, "gated", 1).await[0];
    assert_eq!(db.reaches(next, JobState::Succeeded, SOON).await.worker_id, Some(renewed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_workers_jobs_do_not_fill_the_cap() {
    let db = TestDb::new().await;
    let (book, gate) = gated();
    let queue = db.queue().await;
    let org = db.org("one").await;
    let after = act!(queue, tx => lanes::set_org_cap(&mut tx, org, "default", Some(1), None));
    queue.after(after).await;
    let _tender = worker::tend(&queue, &book);
    let doomed = Apart::start(db.config(), &book, worker::slots(4)).await;
    let ids = enqueue(&queue, org, "gated", 2).await;
    let dead = running(&db, &book, ids[0], 1).await;
    doomed.kill();
    silence(&db, dead).await;
    gate.open();
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    db.all_ended(LEASE + Duration::from_secs(5)).await;
    assert_eq!(db.counts().await, [("succeeded".into(), 2)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_called_off_while_its_worker_was_dying_does_not_run_again() {
    let db = TestDb::new().await;
    let (book, _gate) = gated();
    let queue = db.queue().await;
    let org = db.org("one").await;
    let _tender = worker::tend(&queue, &book);
    let mut doomed = Apart::start(db.config(), &book, worker::slots(1)).await;
    let job = enqueue(&queue, org, "gated", 1).await[0];
    let dead = running(&db, &book, job, 1).await;
    doomed.pause().await;
    let (outcome, after) = act!(queue, tx => jobs::cancel(&mut tx, org, job, None, None));
    queue.after(after).await;
    assert_eq!(outcome, CancelOutcome::Asked);
    doomed.kill();
    silence(&db, dead).await;
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let row = db.reaches(job, JobState::Cancelled, SOON).await;
    assert_eq!((row.error_code.as_deref(), book.runs_of(job)), (Some("cancelled"), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_a_worker_took_and_never_claimed_are_sent_again() {
    let db = TestDb::new().await;
    let (book, gate) = gated();
    gate.open();
    let queue = db.queue().await;
    let org = db.org("one").await;
    let ids = enqueue(&queue, org, "gated", 20).await;
    let want = [Want { lane: "default".into(), slots: 100, org_cap: 0 }];
    let stolen = AtomicUsize::new(0);
    eventually(SOON, || async {
        let taken = queue.dispatch().take(&want, 100).await.unwrap()[0].len();
        stolen.fetch_add(taken, Ordering::SeqCst) + taken == 20
    })
    .await;
    let _crew = worker::start(&queue, &book, worker::slots(8)).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(book.started(), 0, "nobody knows of them but the ledger");
    let _tender = worker::tend(&queue, &book);
    for id in ids {
        db.reaches(id, JobState::Succeeded, SOON).await;
    }
    assert_eq!(book.started(), 20);
}
