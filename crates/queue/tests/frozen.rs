//! A process that is stopped inside a transaction keeps nothing from those who take its work over.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use queue::worker::WorkerConfig;
use serde_json::json;
use sqlx::Connection;
use testkit::{TestDb, eventually, job};

#[tokio::test]
async fn rows_of_a_transaction_that_stands_still_are_free_before_the_lease_ends() {
    let db = TestDb::new().await;
    let queue = db.queue().await;
    let job = queue.enqueue(job(db.org("a").await, "test.any", &json!({}))).await.unwrap().job_id;
    // As a process does that is stopped between two statements.
    let mut stopped = queue.pool().acquire().await.unwrap();
    let mut open = stopped.begin().await.unwrap();
    sqlx::query("SELECT FROM job WHERE job_id = $1 FOR UPDATE")
        .bind(job.0)
        .execute(&mut *open)
        .await
        .unwrap();

    let held = Instant::now();
    eventually(Duration::from_secs(15), || async {
        sqlx::query("SELECT FROM job WHERE job_id = $1 FOR UPDATE NOWAIT")
            .bind(job.0)
            .execute(db.superuser())
            .await
            .is_ok()
    })
    .await;
    assert!(held.elapsed() > Duration::from_secs(1), "it was never held");
    assert!(held.elapsed() < WorkerConfig::default().lease, "held for {:?}", held.elapsed());
}
