//! Waiting for something nameable: it costs no attempt and no slot, and ends by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{JobError, JobState};
use queue::{NewJob, ops};
use serde_json::json;
use testkit::{Book, Running, TestDb, act, eventually, job, kind, ok, worker};

const SOON: Duration = Duration::from_secs(10);

/// Snoozes for `pause` the first `times` times it is claimed.
async fn snoozing(running: Running, times: i32, pause: chrono::Duration) -> testkit::Handled {
    if running.job.claim_no <= times {
        Err(JobError::snooze("send_window", "mail", Utc::now() + pause))
    } else {
        ok()
    }
}

#[tokio::test]
async fn a_parked_job_says_what_it_waits_for_and_until_when_and_keeps_its_attempt() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let pause = chrono::Duration::milliseconds(800);
    let book = Book::of([kind("work").run(move |running| snoozing(running, 1, pause))]);
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let told = queue.enqueue(job(org, "work", &json!({}))).await.unwrap();
    let row = db.reaches(told.job_id, JobState::Parked, SOON).await;
    assert_eq!((row.attempt, row.worker_id), (0, None));
    let (what, key, until): (String, String, DateTime<Utc>) =
        sqlx::query_as("SELECT what, key, due_at FROM job_wait WHERE job_id = $1")
            .bind(told.job_id.0)
            .fetch_one(db.superuser())
            .await
            .unwrap();
    assert_eq!((what.as_str(), key.as_str()), ("send_window", "mail"));
    let row = db.reaches(told.job_id, JobState::Succeeded, SOON).await;
    assert_eq!((row.attempt, row.claim_no), (1, 2));
    let early =
        db.number("SELECT count(*) FROM job_history WHERE started_at < created_at + interval '0.7 s'");
    assert_eq!(early.await, 0, "it was to wait until {until}");
    assert_eq!(db.number("SELECT count(*) FROM job_wait").await, 0);
    assert_eq!(db.number("SELECT count(*) FROM job_attempt").await, 0, "a wait is no failed attempt");
}

#[tokio::test]
async fn waiting_ever_so_often_uses_no_attempt_up() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("work").run(|running| snoozing(running, 12, chrono::Duration::zero()))]);
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let once = NewJob { max_attempts: 1, ..job(org, "work", &json!({})) };
    let told = queue.enqueue(once).await.unwrap();
    let row = db.reaches(told.job_id, JobState::Succeeded, SOON).await;
    assert_eq!((row.attempt, row.claim_no), (1, 13));
}

#[tokio::test]
async fn waiting_jobs_hold_no_slot() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([
        kind("waits").run(|running| snoozing(running, 1, chrono::Duration::hours(1))),
        kind("works"),
    ]);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let jobs = |kind: &str| (0..20).map(|n| job(org, kind, &json!({ "n": n }))).collect::<Vec<_>>();
    for told in queue.enqueue_many([jobs("waits"), jobs("works")].concat()).await {
        told.unwrap();
    }
    eventually(SOON, || async { db.number("SELECT count(*) FROM job_history").await == 20 }).await;
    eventually(SOON, || async { db.number("SELECT count(*) FROM job WHERE state = 'parked'").await == 20 })
        .await;
}

#[tokio::test]
async fn a_parked_job_can_be_run_now_or_called_off() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("work").run(|running| snoozing(running, 1, chrono::Duration::hours(1)))]);
    let _crew = worker::start(&queue, &book, worker::slots(2)).await;
    let now = queue.enqueue(job(org, "work", &json!({}))).await.unwrap().job_id;
    let never = queue.enqueue(job(org, "work", &json!({}))).await.unwrap().job_id;
    db.reaches(now, JobState::Parked, SOON).await;
    db.reaches(never, JobState::Parked, SOON).await;
    let after = act!(queue, tx => ops::jobs::retry_now(&mut tx, org, now, None));
    queue.after(after).await;
    let (_, after) = act!(queue, tx => ops::jobs::cancel(&mut tx, org, never, None, None));
    queue.after(after).await;
    db.reaches(now, JobState::Succeeded, SOON).await;
    db.reaches(never, JobState::Cancelled, SOON).await;
    assert_eq!(db.number("SELECT count(*) FROM job_wait").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_number_of_processes_let_each_waiting_job_in_once() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let book = Book::of([kind("work")]);
    let mut running = Vec::new();
    for _ in 0..3 {
        let queue = db.queue().await;
        running.push((worker::tend(&queue, &book), worker::start(&queue, &book, worker::slots(8)).await));
    }
    let queue = db.queue().await;
    let soon = Utc::now() + chrono::Duration::milliseconds(800);
    let later = |n: i64| NewJob {
        run_at: Some(soon + chrono::Duration::milliseconds(n % 50)),
        ..job(org, "work", &json!({ "n": n }))
    };
    for told in queue.enqueue_many((0..1500).map(later).collect()).await {
        told.unwrap();
    }
    eventually(SOON, || async { db.number("SELECT count(*) FROM job_history").await == 1500 }).await;
    assert_eq!(book.started(), 1500);
    let odd = "SELECT count(*) FROM job_history WHERE claim_no <> 1 OR started_at < run_at";
    assert_eq!(db.number(odd).await, 0);
    assert_eq!(db.number("SELECT count(*) FROM job_wait").await, 0);
}
