//! People, promotion and enqueues meet at the same jobs and keys: each gets an answer that makes sense, and
//! nobody is told that the database is away because two of them waited for each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures::future::join_all;
use queue::ops::{After, jobs};
use queue::{NewJob, OpsError, Queue};
use serde_json::json;
use testkit::{Book, TestDb, job, kind, worker};

const SOON: Duration = Duration::from_secs(20);

/// Carries out what was decided; a job that ended meanwhile is nobody's mistake.
async fn settle(queue: &Queue, decided: Result<After, OpsError>) {
    match decided {
        Ok(after) => queue.after(after).await,
        Err(OpsError::Conflict(_)) => {}
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_called_off_and_run_now_at_the_moment_they_are_due() {
    let db = TestDb::new().await;
    let book = Book::of([kind("plain")]);
    let (queue, other) = (db.queue().await, db.queue().await);
    let org = db.org("one").await;
    let _tenders = [worker::tend(&queue, &book), worker::tend(&other, &book)];
    let _crew = worker::start(&queue, &book, worker::slots(32)).await;
    let start = chrono::Utc::now() + chrono::Duration::seconds(1);
    let due = |n: i64| Some(start + chrono::Duration::milliseconds(n));
    let all = (0..1500).map(|n| NewJob {
        run_at: due(n),
        // Some expire about when they are due.
        deadline_at: (n % 5 == 0).then(|| start + chrono::Duration::milliseconds(n + 1)),
        ..job(org, "plain", &json!({}))
    });
    let ids: Vec<_> =
        queue.enqueue_many(all.collect()).await.into_iter().map(|done| done.unwrap().job_id).collect();
    let people = (0..4).map(|person| {
        let (queue, ids) = (&queue, &ids);
        async move {
            for (n, id) in ids.iter().enumerate().filter(|(n, _)| n % 4 == person) {
                let at = due(n as i64).unwrap() - chrono::Utc::now();
                tokio::time::sleep(at.to_std().unwrap_or_default()).await;
                let mut tx = queue.pool().begin().await.unwrap();
                let decided = if n % 2 == 0 {
                    jobs::cancel(&mut tx, org, *id, None, None).await.map(|(_, after)| after)
                } else {
                    jobs::retry_now(&mut tx, org, *id, None).await
                };
                tx.commit().await.unwrap();
                settle(queue, decided).await;
            }
        }
    });
    join_all(people).await;
    db.all_ended(SOON).await;
    let counts = db.counts().await;
    println!("{counts:?}");
    assert_eq!(counts.values().sum::<i64>(), 1500);
    assert_eq!(db.number("SELECT count(*) FROM job_wait").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unique_jobs_are_enqueued_while_their_forerunners_start() {
    let db = TestDb::new().await;
    let book = Book::of([kind("plain")]);
    let queue = db.queue().await;
    let org = db.org("one").await;
    let _crew = worker::start(&db.queue().await, &book, worker::slots(32)).await;
    let keyed =
        |n: usize| NewJob { unique_key: Some(format!("key {}", n % 23)), ..job(org, "plain", &json!({})) };
    let callers = (0..6).map(|caller: usize| {
        let queue = &queue;
        async move {
            for round in 0..60 {
                let jobs: Vec<NewJob> = (0..10).map(|n| keyed(n + caller + round)).collect();
                match caller % 3 {
                    0 => {
                        for done in queue.enqueue_many(jobs).await {
                            done.expect("a repeat leads to the job that waits");
                        }
                    }
                    1 => {
                        let done = join_all(jobs.into_iter().map(|job| queue.enqueue(job))).await;
                        assert!(done.iter().all(Result::is_ok), "{done:?}");
                    }
                    _ => {
                        let mut connection = queue.pool().acquire().await.unwrap();
                        let mut tx = sqlx::Connection::begin(&mut *connection).await.unwrap();
                        queue.enqueue_in(&mut tx, &jobs).await.expect("in somebody's transaction as well");
                        tx.commit().await.unwrap();
                        queue.announce(&jobs);
                    }
                }
            }
        }
    });
    join_all(callers).await;
    db.all_ended(SOON).await;
    assert_eq!(db.number("SELECT count(*) FROM job_unique").await, 0);
    assert_eq!(db.number("SELECT count(*) FROM job_history WHERE state <> 'succeeded'").await, 0);
}
