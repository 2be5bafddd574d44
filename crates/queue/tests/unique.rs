//! Unique while queued: of one (organisation, kind, key) one job waits at a time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use chrono::Utc;
use domain::{JobState, OrgId};
use futures::future::join_all;
use queue::{NewJob, ops};
use serde_json::json;
use testkit::{Book, Gate, TestDb, act, eventually, job, kind, ok, worker};

const SOON: Duration = Duration::from_secs(10);

fn unique(org: OrgId, payload: &serde_json::Value) -> NewJob {
    NewJob { unique_key: Some("feed-7".into()), ..job(org, "feed.sync", payload) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_one_waits() {
    let db = TestDb::new().await;
    let (org, other) = (db.org("acme").await, db.org("other").await);
    let queues = [db.queue().await, db.queue().await];
    let told = join_all((0..200).map(|n| queues[n % 2].enqueue(unique(org, &json!({ "n": n }))))).await;
    let told: Vec<_> = told.into_iter().map(Result::unwrap).collect();
    assert_eq!(told.iter().filter(|one| one.created).count(), 1);
    assert!(told.iter().all(|one| one.job_id == told[0].job_id));
    assert!(queues[0].enqueue(unique(other, &json!({}))).await.unwrap().created);
    assert_eq!(db.number("SELECT count(*) FROM job").await, 2);
}

#[tokio::test]
async fn the_key_is_free_again_when_the_job_starts() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let gate = Gate::shut();
    let book = Book::of([kind("feed.sync").run({
        let gate = gate.clone();
        move |_| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                ok()
            }
        }
    })]);
    let first = queue.enqueue(unique(org, &json!({}))).await.unwrap();
    assert_eq!(queue.enqueue(unique(org, &json!({}))).await.unwrap().job_id, first.job_id);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    db.reaches(first.job_id, JobState::Running, SOON).await;

    let second = queue.enqueue(unique(org, &json!({}))).await.unwrap();
    assert!(second.created, "what happened after the start may not be missed");
    assert_eq!(queue.enqueue(unique(org, &json!({}))).await.unwrap().job_id, second.job_id);
    gate.open();
    db.reaches(first.job_id, JobState::Succeeded, SOON).await;
    db.reaches(second.job_id, JobState::Succeeded, SOON).await;
    assert_eq!(db.number("SELECT count(*) FROM job_unique").await, 0);
}

#[tokio::test]
async fn a_job_for_later_holds_its_key_until_it_is_called_off_or_expires() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let in_secs = |secs| Some(Utc::now() + chrono::Duration::seconds(secs));
    let later = queue.enqueue(NewJob { run_at: in_secs(60), ..unique(org, &json!({})) }).await.unwrap();
    assert_eq!(queue.enqueue(unique(org, &json!({}))).await.unwrap().job_id, later.job_id);
    let (_, after) = act!(queue, tx => ops::jobs::cancel(&mut tx, org, later.job_id, None, None));
    queue.after(after).await;

    let brief = NewJob { deadline_at: in_secs(1), ..unique(org, &json!({})) };
    let brief = queue.enqueue(brief).await.unwrap();
    assert!(brief.created);
    let _tender = worker::tend(&queue, &Book::of([]));
    db.reaches(brief.job_id, JobState::Expired, SOON).await;
    assert!(queue.enqueue(unique(org, &json!({}))).await.unwrap().created);
}

#[tokio::test]
async fn an_idempotency_key_that_met_a_waiting_job_speaks_for_that_job() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let waiting = queue.enqueue(unique(org, &json!({}))).await.unwrap();
    let both = || NewJob { idempotency_key: Some("click-1".into()), ..unique(org, &json!({})) };
    assert_eq!(queue.enqueue(both()).await.unwrap().job_id, waiting.job_id);
    let book = Book::of([kind("feed.sync")]);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    db.reaches(waiting.job_id, JobState::Succeeded, SOON).await;
    // The repeat comes after the job has ended: it is still the same request.
    let repeat = queue.enqueue(both()).await.unwrap();
    assert_eq!((repeat.job_id, repeat.created), (waiting.job_id, false));
    assert_eq!(book.started(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_come_and_go_under_load_neither_fail_nor_stick() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("feed.sync")]);
    let _crew = worker::start(&queue, &book, worker::slots(8)).await;
    for _ in 0..10 {
        let calls = (0..50).map(|n| {
            let key = Some(format!("feed-{}", n % 5));
            queue.enqueue(NewJob { unique_key: key, ..job(org, "feed.sync", &json!({})) })
        });
        for told in join_all(calls).await {
            told.unwrap();
        }
    }
    db.all_ended(SOON).await;
    eventually(SOON, || async { db.number("SELECT count(*) FROM job_unique").await == 0 }).await;
}
