//! Taking jobs into the ledger: committed before it is told, idempotent, together with the caller's rows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;
use std::time::Duration;

use chrono::Utc;
use domain::{JobState, MAX_PAYLOAD_BYTES, OrgId};
use futures::future::join_all;
use queue::{EnqueueError, NewJob};
use serde_json::json;
use testkit::{Book, TestDb, eventually, job, kind, worker};

const SOON: Duration = Duration::from_secs(10);

fn keyed(org: OrgId, key: &str, payload: &serde_json::Value) -> NewJob {
    NewJob { idempotency_key: Some(key.into()), ..job(org, "mail.send", payload) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_committed_before_its_caller_is_told() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let callers = (0..100).map(|n| {
        let (queue, db) = (queue.clone(), &db);
        async move {
            let told = queue.enqueue(job(org, "mail.send", &json!({ "n": n }))).await.unwrap();
            assert!(told.created);
            assert_eq!(db.state(told.job_id).await, JobState::Queued);
        }
    });
    join_all(callers).await;
    assert_eq!(db.number("SELECT count(*) FROM job").await, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_repeats_of_one_key_make_one_job() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queues = [db.queue().await, db.queue().await, db.queue().await];
    let callers = (0..1000).map(|n| queues[n % 3].enqueue(keyed(org, "order-1", &json!({ "order": 1 }))));
    let told: Vec<_> = join_all(callers).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(told.iter().filter(|one| one.created).count(), 1);
    assert_eq!(told.iter().map(|one| one.job_id).collect::<HashSet<_>>().len(), 1);
    assert_eq!(db.number("SELECT count(*) FROM job").await, 1);
}

#[tokio::test]
async fn a_key_belongs_to_one_payload_of_one_kind_of_one_organisation() {
    let db = TestDb::new().await;
    let (org, other) = (db.org("acme").await, db.org("other").await);
    let queue = db.queue().await;
    let first = queue.enqueue(keyed(org, "k", &json!({ "to": "a" }))).await.unwrap();

    let reused = queue.enqueue(keyed(org, "k", &json!({ "to": "b" }))).await;
    assert!(matches!(reused, Err(EnqueueError::KeyReused { existing }) if existing == first.job_id));
    let newer = NewJob { kind_version: 2, ..keyed(org, "k", &json!({ "to": "a" })) };
    assert!(matches!(queue.enqueue(newer).await, Err(EnqueueError::KeyReused { .. })));

    assert!(queue.enqueue(keyed(other, "k", &json!({ "to": "b" }))).await.unwrap().created);
    let another_kind = NewJob { kind: "mail.check".into(), ..keyed(org, "k", &json!({ "to": "b" })) };
    assert!(queue.enqueue(another_kind).await.unwrap().created);
    assert_eq!(db.number("SELECT count(*) FROM job").await, 3);
}

#[tokio::test]
async fn a_key_outlives_its_job() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("mail.send")]);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    let first = queue.enqueue(keyed(org, "k", &json!({}))).await.unwrap();
    db.reaches(first.job_id, JobState::Succeeded, SOON).await;

    let again = queue.enqueue(keyed(org, "k", &json!({}))).await.unwrap();
    assert_eq!((again.job_id, again.created), (first.job_id, false));
    assert_eq!(book.started(), 1);
}

#[tokio::test]
async fn a_batch_answers_for_each_job_by_itself() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let plain = || job(org, "mail.send", &json!({ "n": 1 }));
    let now = Utc::now();
    let large = "x".repeat(MAX_PAYLOAD_BYTES);
    let jobs = vec![
        plain(),
        job(org, "mail.send", &json!({ "pad": large })),
        NewJob { lane: "nowhere".into(), ..plain() },
        NewJob { priority: 101, ..plain() },
        NewJob { deadline_at: Some(now - chrono::Duration::seconds(1)), ..plain() },
        NewJob { run_at: Some(now + chrono::Duration::days(400)), ..plain() },
        keyed(org, "k", &json!({ "n": 1 })),
        keyed(org, "k", &json!({ "n": 1 })),
        keyed(org, "k", &json!({ "n": 2 })),
        job(org, "mail.send", &json!({ "nul": "\0" })),
        NewJob { max_attempts: 0, ..plain() },
        NewJob { unique_key: Some(String::new()), ..plain() },
        plain(),
    ];
    let ids: Vec<_> = jobs.iter().map(|job| job.job_id).collect();
    let told: Vec<String> = queue
        .enqueue_many(jobs)
        .await
        .into_iter()
        .map(|outcome| match outcome {
            Ok(told) if told.created => "created".into(),
            Ok(told) => format!("existing {}", ids.iter().position(|id| *id == told.job_id).unwrap()),
            Err(EnqueueError::Invalid { field, .. }) => field.into(),
            Err(EnqueueError::PayloadTooLarge { .. }) => "too large".into(),
            Err(EnqueueError::KeyReused { existing }) => {
                format!("reused {}", ids.iter().position(|id| *id == existing).unwrap())
            }
            Err(other) => panic!("{other}"),
        })
        .collect();
    let expected = [
        "created",
        "too large",
        "lane",
        "priority",
        "deadline_at",
        "run_at",
        "created",
        "existing 6",
        "reused 6",
        "payload",
        "max_attempts",
        "unique_key",
        "created",
    ];
    assert_eq!(told, expected);
    assert_eq!(db.number("SELECT count(*) FROM job").await, 3);
}

#[tokio::test]
async fn keys_are_settled_within_one_statement_too() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    // All of these are well-formed, so that they go to the ledger together.
    let jobs: Vec<NewJob> =
        (0..10).map(|n| keyed(org, &format!("k{}", n % 3), &json!({ "n": n % 3 }))).collect();
    let conflicting = keyed(org, "k0", &json!({ "n": 99 }));
    let told = queue.enqueue_many([jobs, vec![conflicting]].concat()).await;
    let created = told.iter().filter(|one| one.as_ref().is_ok_and(|told| told.created)).count();
    assert_eq!(created, 3);
    assert!(matches!(told[10], Err(EnqueueError::KeyReused { .. })));
    assert_eq!(db.number("SELECT count(*) FROM job").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_in_any_order_from_many_processes_never_deadlock() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let mut calls = Vec::new();
    for process in 0..4 {
        let queue = db.queue().await;
        let mut jobs: Vec<NewJob> =
            (0..400).map(|n| keyed(org, &format!("k{n}"), &json!({ "n": n }))).collect();
        jobs.rotate_left(process * 97);
        if process % 2 == 1 {
            jobs.reverse();
        }
        calls.push(async move { queue.enqueue_many(jobs).await });
    }
    let told: Vec<_> = join_all(calls).await.into_iter().flatten().map(Result::unwrap).collect();
    assert_eq!(told.iter().filter(|one| one.created).count(), 400);
    assert_eq!(db.number("SELECT count(*) FROM job").await, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_the_ledger_refuses_takes_no_other_along() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let first = job(org, "mail.send", &json!({}));
    queue.enqueue(first.clone()).await.unwrap();
    // The same id once more can't be written; those that share its commit can.
    let mut calls = vec![queue.enqueue(first)];
    calls.extend((0..200).map(|n| queue.enqueue(job(org, "mail.send", &json!({ "n": n })))));
    let told = join_all(calls).await;
    assert!(told[0].is_err());
    assert!(told[1..].iter().all(Result::is_ok));
    assert_eq!(db.number("SELECT count(*) FROM job").await, 201);
}

#[tokio::test]
async fn a_rolled_back_transaction_leaves_nothing() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let jobs = [
        job(org, "mail.send", &json!({})),
        keyed(org, "k", &json!({})),
        NewJob { unique_key: Some("u".into()), ..job(org, "mail.send", &json!({})) },
        NewJob { run_at: Some(Utc::now() + chrono::Duration::hours(1)), ..job(org, "mail.send", &json!({})) },
    ];
    let mut tx = queue.pool().begin().await.unwrap();
    let told = queue.enqueue_in(&mut tx, &jobs).await.unwrap();
    assert!(told.iter().all(|one| one.created));
    tx.rollback().await.unwrap();
    let rows = "SELECT (SELECT count(*) FROM job) + (SELECT count(*) FROM job_key)
                     + (SELECT count(*) FROM job_unique) + (SELECT count(*) FROM job_wait)";
    assert_eq!(db.number(rows).await, 0);

    let mut tx = queue.pool().begin().await.unwrap();
    queue.enqueue_in(&mut tx, &jobs).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(db.number("SELECT count(*) FROM job").await, 4);
}

#[tokio::test]
async fn jobs_of_a_callers_transaction_run_once_it_is_committed_and_announced() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("mail.send")]);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    let jobs = [job(org, "mail.send", &json!({}))];
    let mut tx = queue.pool().begin().await.unwrap();
    queue.enqueue_in(&mut tx, &jobs).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(book.started(), 0);
    tx.commit().await.unwrap();
    queue.announce(&jobs);
    db.reaches(jobs[0].job_id, JobState::Succeeded, SOON).await;
}

#[tokio::test]
async fn jobs_that_nobody_announced_are_found_by_the_sweep() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("mail.send")]);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    let _tender = worker::tend(&queue, &book);
    let jobs = [job(org, "mail.send", &json!({}))];
    let mut tx = queue.pool().begin().await.unwrap();
    queue.enqueue_in(&mut tx, &jobs).await.unwrap();
    tx.commit().await.unwrap();
    db.reaches(jobs[0].job_id, JobState::Succeeded, Duration::from_secs(15)).await;
}

#[tokio::test]
async fn a_reused_key_fails_the_callers_transaction() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let first = queue.enqueue(keyed(org, "k", &json!({ "n": 1 }))).await.unwrap();
    let jobs = [job(org, "mail.send", &json!({})), keyed(org, "k", &json!({ "n": 2 }))];
    let mut tx = queue.pool().begin().await.unwrap();
    let refused = queue.enqueue_in(&mut tx, &jobs).await;
    assert!(matches!(refused, Err(EnqueueError::KeyReused { existing }) if existing == first.job_id));
    drop(tx);
    eventually(SOON, || async { db.number("SELECT count(*) FROM job").await == 1 }).await;
}

#[tokio::test]
async fn a_job_for_later_waits_for_its_time() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("mail.send")]);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    let _tender = worker::tend(&queue, &book);
    let run_at = Utc::now() + chrono::Duration::milliseconds(700);
    let later = NewJob { run_at: Some(run_at), ..job(org, "mail.send", &json!({})) };
    let told = queue.enqueue(later).await.unwrap();
    assert_eq!(db.state(told.job_id).await, JobState::Scheduled);
    db.reaches(told.job_id, JobState::Succeeded, SOON).await;
    let early = "SELECT count(*) FROM job_history WHERE started_at < run_at";
    assert_eq!(db.number(early).await, 0, "it ran before its time");
    let late = "SELECT (extract(epoch FROM started_at - run_at) * 1000)::bigint FROM job_history";
    assert!(db.number(late).await < 2000, "it ran long after its time");
    // A time that has passed is no reason to wait.
    let due = NewJob { run_at: Some(run_at), ..job(org, "mail.send", &json!({})) };
    let told = queue.enqueue(due).await.unwrap();
    db.reaches(told.job_id, JobState::Succeeded, SOON).await;
}
