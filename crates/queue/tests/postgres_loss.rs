//! Losing PostgreSQL for a while: what was acknowledged is kept, callers are told, and every process
//! goes on by itself when it is back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::{JobId, JobState};
use queue::{EnqueueError, QueueError};
use serde_json::json;
use testkit::worker::LEASE;
use testkit::{Book, Gate, OwnServers, TestDb, eventually, job, kind, ok, worker};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn restarting_and_killing_postgres_under_load_loses_no_acknowledged_job() {
    let servers = OwnServers::start().await;
    let db = TestDb::on(&servers).await;
    let book = Book::of([kind("brief").run(|_| async {
        tokio::time::sleep(Duration::from_millis(2)).await;
        ok()
    })]);
    let (queue, other) = (db.queue().await, db.queue().await);
    let org = db.org("one").await;
    let _tenders = [worker::tend(&queue, &book), worker::tend(&other, &book)];
    let _crews = [
        worker::start(&queue, &book, worker::slots(8)).await,
        worker::start(&other, &book, worker::slots(8)).await,
    ];
    let over = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = (0..4)
        .map(|_| {
            let (queue, over) = (queue.clone(), over.clone());
            tokio::spawn(async move {
                let (mut taken, mut refused): (Vec<JobId>, usize) = (Vec::new(), 0);
                while !over.load(Ordering::SeqCst) {
                    match queue.enqueue(job(org, "brief", &json!({}))).await {
                        Ok(done) => taken.push(done.job_id),
                        Err(EnqueueError::Queue(QueueError::DatabaseAway(_))) => refused += 1,
                        Err(error) => panic!("an outage is told as what it is, not as {error:?}"),
                    }
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
                (taken, refused)
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(700)).await;
    servers.restart_postgres().await.unwrap();
    let restarted = book.started();
    eventually(SOON, || async { book.started() > restarted + 50 }).await;
    servers.kill_postgres().await.unwrap();
    servers.ready().await.unwrap();
    let restarted = book.started();
    eventually(SOON, || async { book.started() > restarted + 50 }).await;
    over.store(true, Ordering::SeqCst);
    let (mut taken, mut refused) = (Vec::new(), 0);
    for producer in producers {
        let (ids, errors) = producer.await.unwrap();
        taken.extend(ids);
        refused += errors;
    }
    println!("{} acknowledged, {refused} refused while PostgreSQL was away", taken.len());
    assert!(taken.len() > 300, "there was load: {}", taken.len());
    eventually(SOON, || async { db.number("SELECT count(*) FROM job").await == 0 }).await;
    let ids: Vec<uuid::Uuid> = taken.iter().map(|id| id.0).collect();
    let finished: i64 =
        sqlx::query_scalar("SELECT count(*) FROM job_history WHERE job_id = ANY($1) AND state = 'succeeded'")
            .bind(&ids)
            .fetch_one(db.superuser())
            .await
            .unwrap();
    assert_eq!(finished, i64::try_from(taken.len()).unwrap());
    drop(db);
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_the_lease_costs_no_worker_its_jobs() {
    let servers = OwnServers::start().await;
    let db = TestDb::on(&servers).await;
    let gate = Gate::shut();
    let before = gate.clone();
    let book = Book::of([kind("gated").run(move |_| {
        let before = before.clone();
        async move {
            before.pass().await;
            ok()
        }
    })]);
    let (queue, other) = (db.queue().await, db.queue().await);
    let org = db.org("one").await;
    let _tender = worker::tend(&other, &book);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    let jobs: Vec<_> = (0..4).map(|n| job(org, "gated", &json!({ "n": n }))).collect();
    let ids: Vec<JobId> = jobs.iter().map(|job| job.job_id).collect();
    for taken in queue.enqueue_many(jobs.clone()).await {
        taken.unwrap();
    }
    eventually(SOON, || async { book.started() == 4 }).await;
    let workers = worker::alive(&other).await;
    // Their ids lie in the dispatcher once more, as after a sweep: whoever gets a slot meets them, and claims
    // them again and again until PostgreSQL answers.
    queue.announce(&jobs);
    // The tender has judged workers for a while before it goes dark.
    tokio::time::sleep(LEASE).await;
    servers.stop_postgres().await.unwrap();
    // Two jobs end while nobody can write it down.
    gate.admit(2);
    assert!(queue.ping_postgres().await.is_err());
    let refused = queue.enqueue(job(org, "gated", &json!({}))).await;
    assert!(matches!(refused, Err(EnqueueError::Queue(QueueError::DatabaseAway(_)))), "{refused:?}");
    tokio::time::sleep(LEASE * 2).await;
    servers.start_postgres().await.unwrap();
    eventually(SOON, || async { db.number("SELECT count(*) FROM job_history").await == 2 }).await;
    tokio::time::sleep(LEASE).await;
    gate.open();
    for id in ids {
        let row = db.reaches(id, JobState::Succeeded, SOON).await;
        assert_eq!((row.claim_no, row.attempt, row.recoveries), (1, 1, 0));
    }
    assert_eq!(book.started(), 4, "none had to run again");
    assert_eq!(worker::alive(&other).await, workers, "nobody was declared lost");
    drop(db);
    servers.stop().await;
}
