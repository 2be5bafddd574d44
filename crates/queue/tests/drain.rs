//! Leaving in order: a worker that is told to go finishes what it can, gives back the rest untouched and
//! loses nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::JobState;
use testkit::{Book, Gate, TestDb, enqueue, eventually, kind, ok, worker};

const SOON: Duration = Duration::from_secs(10);

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

async fn fleet(db: &TestDb) -> Vec<(String, i32)> {
    sqlx::query_as("SELECT state, in_flight FROM worker ORDER BY started_at")
        .fetch_all(db.superuser())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_leaves_ends_what_it_has_and_takes_nothing_more() {
    let db = TestDb::new().await;
    let (book, gate) = gated();
    let queue = db.queue().await;
    let org = db.org("one").await;
    let crew = worker::start(&queue, &book, worker::slots(3)).await;
    enqueue(&queue, org, "gated", 8).await;
    eventually(SOON, || async { book.started() == 3 }).await;
    let leaving = tokio::spawn(crew.leave(Duration::from_secs(30)));
    eventually(SOON, || async { fleet(&db).await[0].0 == "draining" }).await;
    gate.open();
    leaving.await.unwrap();
    assert_eq!(book.started(), 3);
    assert_eq!(db.counts().await, [("queued".into(), 5), ("succeeded".into(), 3)].into());
    assert_eq!(db.number("SELECT sum(claim_no) FROM job").await, 0, "the others were not touched");
    assert_eq!(fleet(&db).await, [("stopped".into(), 0)]);
    // Its wake-ups are not gone with it: the next worker starts at once.
    let _next = worker::start(&queue, &book, worker::slots(3)).await;
    db.all_ended(Duration::from_secs(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_done_at_the_deadline_runs_elsewhere_with_its_attempt() {
    let db = TestDb::new().await;
    let (book, gate) = gated();
    let queue = db.queue().await;
    let org = db.org("one").await;
    let crew = worker::start(&queue, &book, worker::slots(5)).await;
    let ids = enqueue(&queue, org, "gated", 5).await;
    eventually(SOON, || async { book.started() == 5 }).await;
    let started = Instant::now();
    crew.leave(Duration::from_millis(300)).await;
    assert!(started.elapsed() < Duration::from_secs(3), "it took {:?} to leave", started.elapsed());
    for id in &ids {
        let row = db.job(*id).await.unwrap();
        assert_eq!((row.state.as_str(), row.attempt, row.worker_id), ("queued", 0, None));
    }
    gate.open();
    let _other = worker::start(&db.queue().await, &book, worker::slots(5)).await;
    for id in ids {
        // No sweep is needed: they were dispatched again when they were given back.
        let row = db.reaches(id, JobState::Succeeded, Duration::from_secs(3)).await;
        assert_eq!((row.attempt, row.claim_no, row.recoveries), (1, 2, 0));
    }
    assert_eq!(db.number("SELECT count(*) FROM job_attempt").await, 0, "no attempt failed");
    assert_eq!(book.started(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_nothing_and_runs_nothing_twice() {
    let db = TestDb::new().await;
    let book = Book::of([kind("brief").run(|_| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        ok()
    })]);
    let queue = db.queue().await;
    let org = db.org("one").await;
    let mut crews = Vec::new();
    for _ in 0..3 {
        crews.push(worker::start(&db.queue().await, &book, worker::slots(8)).await);
    }
    let producer = tokio::spawn({
        let queue = queue.clone();
        async move {
            for _ in 0..20 {
                enqueue(&queue, org, "brief", 100).await;
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
        }
    });
    let mut successors = Vec::new();
    for crew in crews {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let (next, ()) = tokio::join!(
            async { worker::start(&db.queue().await, &book, worker::slots(8)).await },
            crew.leave(Duration::from_secs(20)),
        );
        successors.push(next);
    }
    producer.await.unwrap();
    db.all_ended(Duration::from_secs(30)).await;
    assert_eq!(db.counts().await, [("succeeded".into(), 2000)].into());
    assert_eq!(book.started(), 2000, "some job ran twice");
    assert_eq!(db.number("SELECT max(claim_no)::int8 FROM job_history").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_leaves_at_once() {
    let db = TestDb::new().await;
    let (book, _gate) = gated();
    let crew = worker::start(&db.queue().await, &book, worker::slots(5)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    crew.leave(Duration::from_secs(30)).await;
    assert!(started.elapsed() < Duration::from_secs(1), "it took {:?}", started.elapsed());
    assert_eq!(fleet(&db).await, [("stopped".into(), 0)]);
}
