//! What claims cost PostgreSQL: rows are changed in place, and the hot path finds them by their key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use domain::JobError;
use queue::NewJob;
use serde_json::json;
use testkit::{Book, TestDb, enqueue, eventually, job, kind, worker};

#[derive(Debug, sqlx::FromRow)]
struct Counted {
    updated: i64,
    hot: i64,
    scans: i64,
    deleted: i64,
}

/// Looks only at statistics: a count of the table would itself be a scan of it.
async fn counted(db: &TestDb) -> Counted {
    sqlx::query_as(
        "SELECT n_tup_upd AS updated, n_tup_hot_upd AS hot, seq_scan AS scans, n_tup_del AS deleted
         FROM pg_stat_user_tables WHERE relname = 'job'",
    )
    .fetch_one(db.superuser())
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_claims_change_rows_in_place_and_scan_nothing() {
    let db = TestDb::new().await;
    let book =
        Book::of([kind("plain"), kind("failing").run(|_| async { Err(JobError::fail("no", "never")) })]);
    let queue = db.queue().await;
    let org = db.org("one").await;
    let before = counted(&db).await;
    enqueue(&queue, org, "plain", 4000).await;
    enqueue(&queue, org, "failing", 500).await;
    let keyed = (0..500).map(|n| NewJob {
        idempotency_key: Some(format!("key {n}")),
        unique_key: Some(format!("unique {n}")),
        ..job(org, "plain", &json!({ "n": n }))
    });
    for done in queue.enqueue_many(keyed.collect()).await {
        assert!(done.unwrap().created);
    }
    let crew = worker::start(&queue, &book, worker::slots(200)).await;
    let ended = Duration::from_secs(30);
    eventually(ended, || async { db.number("SELECT count(*) FROM job_history").await == 5000 }).await;
    crew.leave(Duration::from_secs(5)).await;
    // Connections hand in their statistics when they close.
    drop(queue);
    let after = eventually(Duration::from_secs(15), || async {
        Some(counted(&db).await).filter(|now| now.deleted - before.deleted >= 5000)
    })
    .await;
    let (updated, hot) = (after.updated - before.updated, after.hot - before.hot);
    println!("{hot} of {updated} updates in place, {} sequential scans", after.scans - before.scans);
    assert!(updated >= 5000);
    assert!(hot * 10 >= updated * 9, "only {hot} of {updated} updates were heap-only");
    assert_eq!(after.scans - before.scans, 0, "a statement of the hot path read the whole table");
}
