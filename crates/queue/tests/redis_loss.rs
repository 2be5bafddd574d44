//! Losing Redis: emptied, stopped, replaced or restarted, it takes no job with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::JobState;
use queue::ops::lanes::{self, LaneMode};
use serde_json::json;
use testkit::{Book, Gate, OwnServers, TestDb, act, enqueue, eventually, job, kind, ok, worker};

const SOON: Duration = Duration::from_secs(15);

fn brief() -> Arc<Book> {
    Book::of([kind("brief").run(|_| async {
        tokio::time::sleep(Duration::from_millis(2)).await;
        ok()
    })])
}

#[tokio::test(flavor = "multi_thread")]
async fn emptying_redis_under_load_loses_nothing_and_runs_nothing_twice() {
    let servers = OwnServers::start().await;
    let db = TestDb::on(&servers).await;
    let (book, queue, other) = (brief(), db.queue().await, db.queue().await);
    let _tenders = [worker::tend(&queue, &book), worker::tend(&other, &book)];
    let _crews = [
        worker::start(&queue, &book, worker::slots(8)).await,
        worker::start(&other, &book, worker::slots(8)).await,
    ];
    let orgs = [db.org("one").await, db.org("two").await];
    let producer = tokio::spawn({
        let queue = queue.clone();
        async move {
            for round in 0..30 {
                enqueue(&queue, orgs[round % 2], "brief", 100).await;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }
    });
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        servers.flush_redis().await;
    }
    producer.await.unwrap();
    db.all_ended(Duration::from_secs(30)).await;
    assert_eq!(db.counts().await, [("succeeded".into(), 3000)].into());
    assert_eq!(book.started(), 3000, "some job ran twice");
    drop(db);
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_taken_while_redis_is_down_and_run_when_it_is_back_empty() {
    let servers = OwnServers::start().await;
    let db = TestDb::on(&servers).await;
    let (book, queue) = (brief(), db.queue().await);
    let org = db.org("one").await;
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&db.queue().await, &book, worker::slots(8)).await;
    enqueue(&queue, org, "brief", 50).await;
    db.all_ended(SOON).await;
    servers.stop_redis().await.unwrap();
    let mut slowest = Duration::ZERO;
    let mut taken = Vec::new();
    for n in 0..100 {
        let started = Instant::now();
        let mut next = job(org, "brief", &json!({ "n": n }));
        if n % 4 == 0 {
            next.run_at = Some(chrono::Utc::now() + chrono::Duration::milliseconds(500));
        }
        taken.push(queue.enqueue(next).await.expect("taken without Redis").job_id);
        slowest = slowest.max(started.elapsed());
    }
    println!("slowest enqueue without Redis: {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "an enqueue waited {slowest:?} for Redis");
    // A process that starts now works, too.
    let late = db.queue().await;
    taken.extend(enqueue(&late, org, "brief", 200).await);
    assert!(queue.ping_redis().await.is_err());
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(book.started(), 50);
    servers.start_redis_empty().await;
    for id in taken {
        db.reaches(id, JobState::Succeeded, SOON).await;
    }
    assert_eq!(book.started(), 350, "some job ran twice");
    queue.ping_redis().await.unwrap();
    drop(db);
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_tells_the_redis_that_was_filled_from_any_other() {
    let servers = OwnServers::start().await;
    let db = TestDb::on(&servers).await;
    let (book, queue) = (brief(), db.queue().await);
    let org = db.org("one").await;
    enqueue(&queue, org, "brief", 1200).await;
    let stale = async || queue.dispatch().stale_generation().await.unwrap().is_some();
    let filled = async |why: &str| {
        eventually(SOON, || async { !stale().await }).await;
        assert_eq!(queue.dispatch().depth("default").await.unwrap(), 1200, "{why}");
    };
    assert!(stale().await, "nobody has vouched for this Redis yet");
    let tender = worker::tend(&queue, &book);
    filled("first start").await;
    tender.stop().await;

    servers.flush_redis().await;
    assert!(stale().await);
    assert_eq!(queue.dispatch().depth("default").await.unwrap(), 0);
    let tender = worker::tend(&queue, &book);
    filled("emptied").await;
    tender.stop().await;

    // It has its data again, but up to a second of it may be missing: it counts as another one.
    servers.restart_redis().await.unwrap();
    eventually(SOON, || async { queue.ping_redis().await.is_ok() }).await;
    assert!(stale().await);
    let _tender = worker::tend(&queue, &book);
    filled("restarted").await;

    let _crew = worker::start(&queue, &book, worker::slots(64)).await;
    db.all_ended(SOON).await;
    assert_eq!(book.started(), 1200);
    drop(db);
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_and_caps_hold_in_a_redis_that_was_emptied() {
    let servers = OwnServers::start().await;
    let db = TestDb::on(&servers).await;
    let gate = Gate::shut();
    let before = gate.clone();
    let book = Book::of([
        kind("plain"),
        kind("gated").run(move |_| {
            let before = before.clone();
            async move {
                before.pass().await;
                ok()
            }
        }),
    ]);
    let queue = db.queue().await;
    let (capped, paused) = (db.org("capped").await, db.org("paused").await);
    let after = act!(queue, tx => lanes::set_org_cap(&mut tx, capped, "default", Some(2), None));
    queue.after(after).await;
    let after = act!(queue, tx => lanes::set_org_mode(&mut tx, paused, "default", LaneMode::Paused, None));
    queue.after(after).await;
    let _crew = worker::start(&queue, &book, worker::slots(8)).await;
    enqueue(&queue, capped, "gated", 6).await;
    let held = enqueue(&queue, paused, "plain", 4).await;
    eventually(SOON, || async { book.started() == 2 }).await;
    servers.flush_redis().await;
    let _tender = worker::tend(&queue, &book);
    eventually(SOON, || async { queue.dispatch().stale_generation().await.unwrap().is_none() }).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(book.started(), 2, "the running jobs still count, the paused share still rests");
    gate.open();
    eventually(SOON, || async { book.started() == 6 }).await;
    let after = act!(queue, tx => lanes::set_org_mode(&mut tx, paused, "default", LaneMode::Open, None));
    queue.after(after).await;
    for id in held {
        db.reaches(id, JobState::Succeeded, SOON).await;
    }
    drop(db);
    servers.stop().await;
}
