//! Cancelling: what waits never runs, what runs is stopped, what has ended stays as it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::Utc;
use domain::{JobState, OrgId};
use queue::ops::jobs::{CancelOutcome, cancel};
use queue::{NewJob, OpsError, Queue};
use serde_json::json;
use testkit::{Book, Gate, TestDb, act, eventually, job, kind, ok, worker};

const SOON: Duration = Duration::from_secs(10);

async fn call_off(queue: &Queue, org: OrgId, job: domain::JobId) -> CancelOutcome {
    let (outcome, after) = act!(queue, tx => cancel(&mut tx, org, job, None, Some("not needed")));
    queue.after(after).await;
    outcome
}

#[tokio::test]
async fn a_waiting_job_that_was_called_off_never_runs() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("work")]);
    let queued = queue.enqueue(job(org, "work", &json!({}))).await.unwrap().job_id;
    let run_at = Some(Utc::now() + chrono::Duration::milliseconds(600));
    let scheduled = NewJob { run_at, ..job(org, "work", &json!({})) };
    let scheduled = queue.enqueue(scheduled).await.unwrap().job_id;
    for id in [queued, scheduled] {
        assert_eq!(call_off(&queue, org, id).await, CancelOutcome::Cancelled);
        let row = db.job(id).await.unwrap();
        assert_eq!((row.state.as_str(), row.error_message.as_deref()), ("cancelled", Some("not needed")));
    }
    assert_eq!(db.number("SELECT count(*) FROM job_wait").await, 0);
    // The dispatcher still knows the queued one's id: a worker that takes it finds nothing to claim.
    let _tender = worker::tend(&queue, &book);
    let crew = worker::start(&queue, &book, worker::slots(2)).await;
    let next = queue.enqueue(job(org, "work", &json!({}))).await.unwrap().job_id;
    db.reaches(next, JobState::Succeeded, SOON).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(book.started(), 1);
    eventually(SOON, || async { crew.in_flight() == 0 }).await;
    assert_eq!(db.number("SELECT count(*) FROM job_event WHERE what = 'cancelled'").await, 2);
}

#[tokio::test]
async fn a_running_job_is_stopped_and_its_slot_is_free() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let told_to_stop = Arc::new(AtomicBool::new(false));
    let book = Book::of([
        kind("listens").run({
            let told_to_stop = told_to_stop.clone();
            move |running| {
                let told_to_stop = told_to_stop.clone();
                tokio::spawn({
                    let stop = running.stop.clone();
                    async move {
                        stop.cancelled().await;
                        told_to_stop.store(true, Ordering::SeqCst);
                    }
                });
                std::future::pending()
            }
        }),
        kind("quick"),
    ]);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let told = queue.enqueue(job(org, "listens", &json!({}))).await.unwrap().job_id;
    eventually(SOON, || async { book.started() == 1 }).await;
    assert_eq!(call_off(&queue, org, told).await, CancelOutcome::Asked);
    let row = db.reaches(told, JobState::Cancelled, Duration::from_secs(5)).await;
    assert_eq!(row.error_code.as_deref(), Some("cancelled"));
    assert!(told_to_stop.load(Ordering::SeqCst));
    let quick = queue.enqueue(job(org, "quick", &json!({}))).await.unwrap().job_id;
    db.reaches(quick, JobState::Succeeded, SOON).await;
}

#[tokio::test]
async fn a_job_that_ends_before_it_hears_of_it_has_ended() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let gate = Gate::shut();
    let book = Book::of([kind("work").run({
        let gate = gate.clone();
        move |_| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                ok()
            }
        }
    })]);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let told = queue.enqueue(job(org, "work", &json!({}))).await.unwrap().job_id;
    eventually(SOON, || async { book.started() == 1 }).await;
    assert_eq!(call_off(&queue, org, told).await, CancelOutcome::Asked);
    gate.open();
    db.reaches(told, JobState::Succeeded, SOON).await;

    let mut tx = queue.pool().begin().await.unwrap();
    let late = cancel(&mut tx, org, told, None, None).await;
    assert!(matches!(late, Err(OpsError::Conflict(why)) if why.contains("succeeded")));
}

#[tokio::test]
async fn nobody_cancels_another_organisations_job_or_one_that_never_was() {
    let db = TestDb::new().await;
    let (org, other) = (db.org("acme").await, db.org("other").await);
    let queue = db.queue().await;
    let told = queue.enqueue(job(org, "work", &json!({}))).await.unwrap().job_id;
    let mut tx = queue.pool().begin().await.unwrap();
    for (who, job) in [(other, told), (org, domain::JobId::new())] {
        let refused = cancel(&mut tx, who, job, None, None).await;
        assert!(matches!(refused, Err(OpsError::NotFound("job"))));
    }
    tx.commit().await.unwrap();
    assert_eq!(db.state(told).await, JobState::Queued);
}
