//! Retries: what a failure costs, when the next attempt comes, and when it is over.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use domain::{JobError, JobId, JobState, RetryPolicy};
use queue::backend::Success;
use queue::{NewJob, ops};
use serde_json::json;
use testkit::{Book, TestDb, act, eventually, job, kind, ok, worker};

const SOON: Duration = Duration::from_secs(10);

/// Attempts that went wrong: claim, outcome, code, message.
async fn attempts(db: &TestDb, job: JobId) -> Vec<(i32, String, String, String)> {
    sqlx::query_as(
        "SELECT claim_no, outcome, error_code, error_message FROM job_attempt WHERE job_id = $1
         ORDER BY claim_no",
    )
    .bind(job.0)
    .fetch_all(db.superuser())
    .await
    .unwrap()
}

#[tokio::test]
async fn a_job_is_tried_until_it_succeeds() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("work").run(|running| async move {
        if running.job.attempt < 4 { Err(JobError::retry("busy", running.job.attempt)) } else { ok() }
    })]);
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let told = queue.enqueue(job(org, "work", &json!({}))).await.unwrap();
    let row = db.reaches(told.job_id, JobState::Succeeded, SOON).await;
    assert_eq!((row.attempt, row.claim_no, row.error_code), (4, 4, None));
    let tried: Vec<i16> = book.starts().iter().map(|start| start.attempt).collect();
    assert_eq!(tried, [1, 2, 3, 4]);
    let failed = attempts(&db, told.job_id).await;
    let expected = [1, 2, 3].map(|n: i32| (n, "retry".into(), "busy".into(), n.to_string()));
    assert_eq!(failed, expected);
}

#[tokio::test]
async fn out_of_attempts_it_is_a_dead_letter_with_every_error() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("work")
        .run(|running| async move { Err(JobError::retry(format!("e{}", running.job.attempt), "no luck")) })]);
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let three = NewJob { max_attempts: 3, ..job(org, "work", &json!({})) };
    let told = queue.enqueue(three).await.unwrap();
    let row = db.reaches(told.job_id, JobState::Dead, SOON).await;
    assert_eq!(
        (row.attempt, row.error_code.as_deref(), row.error_message.as_deref()),
        (3, Some("e3"), Some("no luck"))
    );
    let failed: Vec<(String, String)> =
        attempts(&db, told.job_id).await.into_iter().map(|(_, outcome, code, _)| (outcome, code)).collect();
    let expected = [("retry", "e1"), ("retry", "e2"), ("dead", "e3")];
    assert_eq!(failed, expected.map(|(outcome, code)| (outcome.into(), code.into())));
    assert_eq!(book.started(), 3);

    // A replay starts over and forgets nothing.
    let after = act!(queue, tx => ops::dead::replay(&mut tx, org, told.job_id, None, None));
    queue.after(after).await;
    eventually(SOON, || async { book.started() == 6 }).await;
    let row = db.reaches(told.job_id, JobState::Dead, SOON).await;
    assert_eq!((row.attempt, row.claim_no), (3, 6));
    assert_eq!(attempts(&db, told.job_id).await.len(), 6);
}

#[tokio::test]
async fn a_permanent_error_is_not_tried_again() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("work").run(|_| async { Err(JobError::fail("gone", "410")) })]);
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let told = queue.enqueue(job(org, "work", &json!({}))).await.unwrap();
    let row = db.reaches(told.job_id, JobState::Dead, SOON).await;
    assert_eq!((row.attempt, row.error_code.as_deref()), (1, Some("gone")));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(book.started(), 1);
}

#[tokio::test]
async fn a_time_named_by_the_other_side_is_kept() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let named = Duration::from_millis(600);
    let book = Book::of([kind("work").run(move |running| async move {
        if running.job.attempt == 1 { Err(JobError::retry_after("busy", "429", named)) } else { ok() }
    })]);
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let told = queue.enqueue(job(org, "work", &json!({}))).await.unwrap();
    db.reaches(told.job_id, JobState::Scheduled, SOON).await;
    db.reaches(told.job_id, JobState::Succeeded, SOON).await;
    let starts = book.starts();
    let waited = starts[1].at - starts[0].at;
    assert!(waited >= named, "it came back after {waited:?}");
    assert!(waited < named + Duration::from_secs(2), "it came back only after {waited:?}");
}

#[tokio::test]
async fn a_job_that_waits_to_be_tried_again_can_be_run_now() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let hour = Duration::from_secs(3600);
    let book = Book::of([kind("work").run(move |running| async move {
        if running.job.attempt == 1 { Err(JobError::retry_after("busy", "503", hour)) } else { ok() }
    })]);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let told = queue.enqueue(job(org, "work", &json!({}))).await.unwrap();
    db.reaches(told.job_id, JobState::Scheduled, SOON).await;
    let after = act!(queue, tx => ops::jobs::retry_now(&mut tx, org, told.job_id, None));
    queue.after(after).await;
    let row = db.reaches(told.job_id, JobState::Succeeded, SOON).await;
    assert_eq!(row.attempt, 2);
    assert_eq!(db.number("SELECT count(*) FROM job_wait").await, 0);
}

#[tokio::test]
async fn a_handler_that_panics_is_tried_again_and_harms_no_other() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([
        kind("panics").run(|_| async { panic!("out of cheese") }),
        kind("works").run(|_| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            ok()
        }),
    ]);
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(8)).await;
    let bad = queue.enqueue(NewJob { max_attempts: 3, ..job(org, "panics", &json!({})) }).await.unwrap();
    let good = (0..40).map(|n| job(org, "works", &json!({ "n": n }))).collect();
    let good: Vec<_> = queue.enqueue_many(good).await.into_iter().map(|told| told.unwrap().job_id).collect();
    let row = db.reaches(bad.job_id, JobState::Dead, SOON).await;
    assert_eq!((row.attempt, row.error_code.as_deref()), (3, Some("panic")));
    assert!(row.error_message.unwrap().contains("out of cheese"));
    for job in good {
        let row = db.reaches(job, JobState::Succeeded, SOON).await;
        assert_eq!(row.claim_no, 1);
    }
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_stopped_and_tried_again() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("work").timeout(Duration::from_millis(150)).run(|running| async move {
        if running.job.attempt == 1 {
            std::future::pending::<()>().await;
        }
        ok()
    })]);
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let told = queue.enqueue(job(org, "work", &json!({}))).await.unwrap();
    let row = db.reaches(told.job_id, JobState::Succeeded, SOON).await;
    assert_eq!(row.attempt, 2);
    assert_eq!(attempts(&db, told.job_id).await[0].2, "timeout");
}

#[tokio::test]
async fn a_kind_or_version_that_no_worker_knows_is_a_dead_letter_and_the_worker_lives() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("work")]);
    let crew = worker::start(&queue, &book, worker::slots(1)).await;
    let unknown = queue.enqueue(job(org, "wrok", &json!({}))).await.unwrap();
    let newer = NewJob { kind_version: 9, ..job(org, "work", &json!({})) };
    let newer = queue.enqueue(newer).await.unwrap();
    for (told, name) in [(unknown, "wrok"), (newer, "version 9")] {
        let row = db.reaches(told.job_id, JobState::Dead, SOON).await;
        assert_eq!(row.error_code.as_deref(), Some("unknown_kind"));
        assert!(row.error_message.unwrap().contains(name));
    }
    let known = queue.enqueue(job(org, "work", &json!({}))).await.unwrap();
    db.reaches(known.job_id, JobState::Succeeded, SOON).await;
    assert_eq!(book.started(), 1);
    eventually(SOON, || async { crew.in_flight() == 0 }).await;
}

#[tokio::test]
async fn an_error_of_any_size_and_content_is_kept_as_far_as_the_ledger_can() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("work").run(|_| async {
        Err(JobError::fail("bad\0code", format!("{}\0{}", "é".repeat(5_000), "x".repeat(100_000))))
    })]);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let told = queue.enqueue(job(org, "work", &json!({}))).await.unwrap();
    let row = db.reaches(told.job_id, JobState::Dead, SOON).await;
    let message = row.error_message.unwrap();
    assert!(message.starts_with('é') && message.len() <= 8 * 1024);
}

#[tokio::test]
async fn an_outcome_that_the_ledger_refuses_harms_no_other() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("work").run(|running| async move {
        let result = if running.payload::<u32>() == 7 { "{ not JSON" } else { "{}" };
        Ok(Success { result: Some(result.into()), ..Success::default() })
    })]);
    let _crew = worker::start(&queue, &book, worker::slots(16)).await;
    let jobs = (0..16).map(|n| job(org, "work", &json!(n))).collect();
    let told: Vec<_> = queue.enqueue_many(jobs).await.into_iter().map(|told| told.unwrap().job_id).collect();
    for (n, job) in told.into_iter().enumerate() {
        let state = if n == 7 { JobState::Dead } else { JobState::Succeeded };
        let row = db.reaches(job, state, SOON).await;
        assert_eq!(row.error_code.as_deref(), (n == 7).then_some("outcome_refused"));
    }
}

#[tokio::test]
async fn waits_between_attempts_follow_the_kinds_policy() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let hours = RetryPolicy { base: Duration::from_secs(7200), ..RetryPolicy::STANDARD };
    let book = Book::of([
        kind("slow").policy(|policy| policy.retry = hours).run(|_| async { Err(JobError::retry("e", "")) }),
        kind("once").run(|_| async { Err(JobError::retry("e", "")) }),
    ]);
    let _crew = worker::start(&queue, &book, worker::slots(8)).await;
    let jobs = (0..40).map(|n| job(org, "slow", &json!({ "n": n }))).collect();
    for told in queue.enqueue_many(jobs).await {
        told.unwrap();
    }
    let once = queue.enqueue(NewJob { max_attempts: 1, ..job(org, "once", &json!({})) }).await.unwrap();
    db.reaches(once.job_id, JobState::Dead, SOON).await;
    eventually(SOON, || async {
        db.number("SELECT count(*) FROM job WHERE state = 'scheduled'").await == 40
    })
    .await;
    // Full jitter below the cap of an hour: spread out, none beyond.
    let beyond = "SELECT count(*) FROM job_wait WHERE due_at > now() + interval '1 hour'";
    assert_eq!(db.number(beyond).await, 0);
    let spread = "SELECT extract(epoch FROM max(due_at) - min(due_at))::bigint FROM job_wait";
    assert!(db.number(spread).await > 600, "they would all come back together");
}
