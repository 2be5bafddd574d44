//! Deadlines: a job that could not start in time ends unrun, wherever it was waiting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use chrono::Utc;
use domain::{JobError, JobState, OrgId};
use queue::NewJob;
use serde_json::json;
use testkit::{Book, TestDb, job, kind, ok, worker};

const SOON: Duration = Duration::from_secs(10);

fn within(millis: i64, org: OrgId) -> NewJob {
    let deadline_at = Some(Utc::now() + chrono::Duration::milliseconds(millis));
    NewJob { deadline_at, ..job(org, "work", &json!({})) }
}

#[tokio::test]
async fn a_waiting_job_expires_in_its_lane_before_its_time_or_between_attempts() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let hour = Duration::from_secs(3600);
    let book = Book::of([kind("work").run(move |running| async move {
        if running.payload::<String>() == "snoozes" {
            return Err(JobError::snooze("approval", "boss", Utc::now() + hour));
        }
        Err(JobError::retry_after("busy", "503", hour))
    })]);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    let payload = |text: &str| job(org, "work", &json!(text)).payload;
    let retrying = NewJob { payload: payload("retries"), ..within(1500, org) };
    let parked = NewJob { payload: payload("snoozes"), ..within(1500, org) };
    let queued = NewJob { lane: "bulk".into(), ..within(1500, org) };
    let scheduled =
        NewJob { run_at: Some(Utc::now() + chrono::Duration::milliseconds(1400)), ..within(1500, org) };
    sqlx::query("UPDATE lane SET mode = 'paused' WHERE lane = 'bulk'").execute(db.superuser()).await.unwrap();
    queue.refresh_settings().await.unwrap();
    let mut ids = Vec::new();
    for job in [retrying, parked, queued, scheduled] {
        ids.push(queue.enqueue(job).await.unwrap().job_id);
    }
    db.reaches(ids[0], JobState::Scheduled, SOON).await;
    db.reaches(ids[1], JobState::Parked, SOON).await;
    // Nobody promotes until now, so the scheduled one misses its chance as well.
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let runs = book.started();
    let _tender = worker::tend(&queue, &book);
    for id in ids {
        let row = db.reaches(id, JobState::Expired, SOON).await;
        assert_eq!(row.error_code.as_deref(), Some("deadline_passed"));
    }
    assert_eq!(book.started(), runs);
    assert_eq!(db.number("SELECT count(*) FROM job_wait").await, 0);
}

#[tokio::test]
async fn a_worker_that_takes_a_job_too_late_does_not_run_it() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("work")]);
    let told = queue.enqueue(within(200, org)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    let crew = worker::start(&queue, &book, worker::slots(1)).await;
    let row = db.reaches(told.job_id, JobState::Expired, SOON).await;
    assert_eq!(row.error_code.as_deref(), Some("deadline_passed"));
    assert_eq!(book.started(), 0);
    // It held nothing up.
    let next = queue.enqueue(job(org, "work", &json!({}))).await.unwrap();
    db.reaches(next.job_id, JobState::Succeeded, SOON).await;
    crew.leave(SOON).await;
}

#[tokio::test]
async fn a_job_that_started_in_time_is_let_finish() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("work").run(|_| async {
        tokio::time::sleep(Duration::from_millis(2000)).await;
        ok()
    })]);
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let told = queue.enqueue(within(800, org)).await.unwrap();
    db.reaches(told.job_id, JobState::Succeeded, SOON).await;
}

#[tokio::test]
async fn a_deadline_in_the_past_or_before_the_start_is_refused() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    assert!(queue.enqueue(within(-1, org)).await.is_err());
    let backwards = NewJob { run_at: Some(Utc::now() + chrono::Duration::hours(2)), ..within(1000, org) };
    assert!(queue.enqueue(backwards).await.is_err());
    assert_eq!(db.number("SELECT count(*) FROM job").await, 0);
}
