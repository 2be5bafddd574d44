//! Claims and fencing: a job is one worker's at a time, and one that lost it can't complete it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use chrono::Utc;
use domain::{JobError, JobState};
use queue::backend::Success;
use queue::dispatch::Ready;
use queue::{NewJob, ops};
use serde_json::json;
use testkit::worker::Apart;
use testkit::{Book, Gate, TestDb, act, eventually, job, kind, ok, worker};

const SOON: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_several_workers_were_given_run_once() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("work").run(|_| async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        ok()
    })]);
    let jobs: Vec<NewJob> = (0..400).map(|n| job(org, "work", &json!({ "n": n }))).collect();
    let ready: Vec<Ready> = jobs
        .iter()
        .map(|job| Ready { job_id: job.job_id, org_id: org, lane: job.lane.clone(), score: 1 })
        .collect();
    for told in queue.enqueue_many(jobs).await {
        told.unwrap();
    }
    let pushing = tokio::spawn({
        let queue = queue.clone();
        async move {
            for some in ready.chunks(20).cycle() {
                queue.dispatch().push(some).await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    let mut crews = Vec::new();
    for _ in 0..3 {
        crews.push(worker::start(&db.queue().await, &book, worker::slots(16)).await);
    }
    db.all_ended(SOON).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    pushing.abort();
    assert_eq!(book.started(), 400);
    let twice = "SELECT count(*) FROM job_history WHERE claim_no <> 1 OR attempt <> 1";
    assert_eq!(db.number(twice).await, 0);
    assert_eq!(db.number("SELECT count(*) FROM job_history WHERE state = 'succeeded'").await, 400);
}

#[tokio::test]
async fn whatever_a_worker_says_of_a_job_it_lost_is_refused() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let gate = Gate::shut();
    let book = Book::of([kind("work").run({
        let gate = gate.clone();
        move |running| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                let next = job(running.job.org_id, "never", &json!({}));
                match running.payload::<String>().as_str() {
                    "fails" => Err(JobError::fail("broken", "for good")),
                    "retries" => Err(JobError::retry("busy", "for now")),
                    "snoozes" => Err(JobError::snooze("send_window", "mail", Utc::now())),
                    _ => Ok(Success { result: Some("1".into()), next: vec![next] }),
                }
            }
        }
    })]);
    let sorts = ["succeeds", "fails", "retries", "snoozes"];
    let mut jobs: Vec<NewJob> = sorts.iter().map(|sort| job(org, "work", &json!(sort))).collect();
    jobs[0].successors = vec![job(org, "never", &json!({}))];
    let mut tx = queue.pool().begin().await.unwrap();
    let callback = Some(job(org, "never", &json!({})));
    let (batch, _) = ops::batches::create(&queue, &mut tx, org, "four", &mut jobs, callback).await.unwrap();
    tx.commit().await.unwrap();
    queue.announce(&jobs);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    eventually(SOON, || async { book.started() == 4 }).await;
    sqlx::query("UPDATE job SET claim_no = claim_no + 1, worker_id = gen_random_uuid()")
        .execute(db.superuser())
        .await
        .unwrap();
    gate.open();
    // One that is still its own ends after them, in the same line.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let own = queue.enqueue(job(org, "work", &json!("fails"))).await.unwrap();
    db.reaches(own.job_id, JobState::Dead, SOON).await;
    tokio::time::sleep(Duration::from_millis(200)).await;

    for job in &jobs {
        let row = db.job(job.job_id).await.unwrap();
        assert_eq!((row.state.as_str(), row.claim_no, row.attempt), ("running", 2, 1));
    }
    assert_eq!(db.number("SELECT count(*) FROM job").await, 4, "a successor or callback was enqueued");
    assert_eq!(db.number("SELECT count(*) FROM job_wait").await, 0);
    assert_eq!(db.number("SELECT count(*) FROM job_attempt").await, 1);
    let batch = act!(queue, tx => ops::batches::get(&mut tx, org, batch));
    assert_eq!((batch.succeeded, batch.failed), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_paused_past_its_lease_comes_back_to_a_job_that_is_anothers() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let (first_gate, second_gate) = (Gate::shut(), Gate::shut());
    let book = Book::of([kind("work").run({
        let (first_gate, second_gate) = (first_gate.clone(), second_gate.clone());
        move |running| {
            let (first_gate, second_gate) = (first_gate.clone(), second_gate.clone());
            async move {
                if running.job.claim_no == 1 {
                    first_gate.pass().await;
                } else {
                    second_gate.pass().await;
                }
                Ok(Success { result: Some(running.job.claim_no.to_string()), ..Success::default() })
            }
        }
    })]);
    let _tender = worker::tend(&queue, &book);
    let mut paused = Apart::start(db.config(), &book, worker::slots(1)).await;
    let told = queue.enqueue(job(org, "work", &json!({}))).await.unwrap();
    let first = db.reaches(told.job_id, JobState::Running, SOON).await;
    eventually(SOON, || async { book.started() == 1 }).await;
    paused.pause().await;
    let _other = worker::start(&queue, &book, worker::slots(1)).await;
    eventually(SOON, || async { book.started() == 2 }).await;

    // It wakes up with its job done, and says so.
    first_gate.open();
    paused.resume();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let row = db.job(told.job_id).await.unwrap();
    assert_eq!((row.state.as_str(), row.claim_no, row.attempt, row.recoveries), ("running", 2, 1, 1));
    assert_ne!(row.worker_id, first.worker_id);
    second_gate.open();
    let row = db.reaches(told.job_id, JobState::Succeeded, SOON).await;
    assert_eq!(row.result.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_job_of_a_living_worker_stays_its_own() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("work").run(|_| async {
        tokio::time::sleep(worker::LEASE * 2 + Duration::from_millis(500)).await;
        ok()
    })]);
    let (first, second) = (db.queue().await, db.queue().await);
    let _tenders = [worker::tend(&first, &book), worker::tend(&second, &book)];
    let _crews = [
        worker::start(&first, &book, worker::slots(1)).await,
        worker::start(&second, &book, worker::slots(1)).await,
    ];
    let told = queue.enqueue(job(org, "work", &json!({}))).await.unwrap();
    let row = db.reaches(told.job_id, JobState::Succeeded, SOON).await;
    assert_eq!((row.claim_no, row.recoveries), (1, 0));
    assert_eq!(book.started(), 1);
}
