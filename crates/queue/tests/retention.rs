//! Retention: what is finished goes away after its kind's days with all that belongs to it; what waits
//! for a person stays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use domain::{JobError, JobId, JobState, OrgId};
use queue::NewJob;
use queue::ops::{batches, dead, jobs};
use serde_json::json;
use testkit::{Book, TestDb, act, enqueue, eventually, job, kind, ok, worker};

const SOON: Duration = Duration::from_secs(10);

/// Kinds kept for one day, kept for thirty, failing once, failing for good.
fn book() -> Arc<Book> {
    Book::of([
        kind("brief").policy(|policy| policy.retention_days = 1),
        kind("kept").policy(|policy| policy.retention_days = 30),
        kind("flaky").policy(|policy| policy.retention_days = 1).run(|running| async move {
            if running.job.attempt == 1 { Err(JobError::retry("shaky", "once more")) } else { ok() }
        }),
        kind("failing")
            .policy(|policy| policy.retention_days = 1)
            .run(|_| async { Err(JobError::fail("no", "never")) }),
    ])
}

fn keyed(org: OrgId, kind: &str, key: &str) -> NewJob {
    NewJob { idempotency_key: Some(key.into()), ..job(org, kind, &json!({})) }
}

/// Makes it as if these jobs had ended so many days ago.
async fn age(db: &TestDb, jobs: &[JobId], days: i32) {
    let ids: Vec<uuid::Uuid> = jobs.iter().map(|id| id.0).collect();
    sqlx::query(
        "UPDATE job_history SET finished_at = finished_at - make_interval(days => $2) WHERE job_id = ANY($1)",
    )
    .bind(ids)
    .bind(days)
    .execute(db.superuser())
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_jobs_go_after_their_kinds_days_with_all_that_belongs_to_them() {
    let db = TestDb::new().await;
    let (book, queue) = (book(), db.queue().await);
    let org = db.org("one").await;
    // Tends without pruning until everything is in place.
    let patient = queue::tend::TendConfig { prune_every: Duration::from_secs(3600), ..worker::hasty() };
    let tender = queue::tend::Tender::start(&queue, book.clone(), patient);
    let crew = worker::start(&queue, &book, worker::slots(64)).await;
    // More than two of the small batches it works in.
    let mut old = enqueue(&queue, org, "brief", 2300).await;
    old.extend(enqueue(&queue, org, "flaky", 5).await);
    old.push(queue.enqueue(keyed(org, "brief", "gone")).await.unwrap().job_id);
    let later = Some(chrono::Utc::now() + chrono::Duration::hours(1));
    let called_off = queue.enqueue(NewJob { run_at: later, ..job(org, "brief", &json!({})) }).await.unwrap();
    let (_, after) = act!(queue, tx => jobs::cancel(&mut tx, org, called_off.job_id, None, None));
    queue.after(after).await;
    old.push(called_off.job_id);
    let mut young = enqueue(&queue, org, "brief", 3).await;
    let mut kept = enqueue(&queue, org, "kept", 3).await;
    let kept_key = queue.enqueue(keyed(org, "kept", "kept")).await.unwrap().job_id;
    kept.push(kept_key);
    db.all_ended(Duration::from_secs(30)).await;
    tender.stop().await;
    crew.leave(SOON).await;
    age(&db, &old, 2).await;
    age(&db, &kept, 2).await;
    assert_eq!(db.number("SELECT count(*) FROM job_attempt").await, 5);
    assert_eq!(db.number("SELECT count(*) FROM job_event").await, 1);

    let _tender = worker::tend(&queue, &book);
    eventually(SOON, || async { db.number("SELECT count(*) FROM job_history").await <= 7 }).await;
    // Another round or two take nothing more.
    tokio::time::sleep(Duration::from_millis(800)).await;
    young.extend(kept);
    for id in &young {
        assert!(db.job(*id).await.is_some(), "a job was pruned before its time");
    }
    assert_eq!(db.number("SELECT count(*) FROM job_history").await, 7);
    assert_eq!(db.number("SELECT count(*) FROM job_attempt").await, 0);
    assert_eq!(db.number("SELECT count(*) FROM job_event").await, 0);
    assert_eq!(db.number("SELECT count(*) FROM job_key").await, 1);
    // A key that went with its job may be used again; the other still stands for its job.
    assert!(queue.enqueue(keyed(org, "brief", "gone")).await.unwrap().created);
    let again = queue.enqueue(keyed(org, "kept", "kept")).await.unwrap();
    assert_eq!((again.job_id, again.created), (kept_key, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_stay_until_somebody_discards_them() {
    let db = TestDb::new().await;
    let (book, queue) = (book(), db.queue().await);
    let org = db.org("one").await;
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    let letters = enqueue(&queue, org, "failing", 2).await;
    for id in &letters {
        db.reaches(*id, JobState::Dead, SOON).await;
    }
    act!(queue, tx => dead::discard(&mut tx, org, letters[0], None, "not needed"));
    age(&db, &letters, 400).await;
    eventually(SOON, || async { db.job(letters[0]).await.is_none() }).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(db.state(letters[1]).await, JobState::Dead);
    let attempts = "SELECT count(*) FROM job_attempt WHERE job_id = $1";
    assert_eq!(db.number_of(attempts, letters[1]).await, 1, "with what is known of it");
    assert_eq!(db.number_of(attempts, letters[0]).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_nobody_knows_any_more_batches_and_old_workers_go_in_the_end() {
    let db = TestDb::new().await;
    let (book, queue) = (book(), db.queue().await);
    let org = db.org("one").await;
    let crew = worker::start(&queue, &book, worker::slots(4)).await;
    let ids = enqueue(&queue, org, "brief", 2).await;
    let mut members = [job(org, "brief", &json!({}))];
    let (old, _) = act!(queue, tx => batches::create(&queue, &mut tx, org, "old", &mut members, None));
    queue.announce(&members);
    let mut members = [job(org, "brief", &json!({}))];
    let (young, _) = act!(queue, tx => batches::create(&queue, &mut tx, org, "young", &mut members, None));
    queue.announce(&members);
    db.all_ended(SOON).await;
    crew.leave(SOON).await;
    let gone = worker::start(&queue, &book, worker::slots(4)).await;
    gone.leave(SOON).await;
    for statement in [
        "UPDATE job_history SET kind = 'retired' WHERE batch_id IS NULL",
        "UPDATE job_batch SET completed_at = now() - interval '91 days' WHERE name = 'old'",
        "UPDATE job_batch SET completed_at = now() - interval '89 days' WHERE name = 'young'",
        "UPDATE worker SET stopped_at = now() - interval '8 days'
         WHERE worker_id = (SELECT worker_id FROM worker ORDER BY started_at LIMIT 1)",
    ] {
        sqlx::query(statement).execute(db.superuser()).await.unwrap();
    }
    age(&db, &ids[..1], 91).await;
    age(&db, &ids[1..], 89).await;
    let _tender = worker::tend(&queue, &book);
    eventually(SOON, || async { db.number("SELECT count(*) FROM worker").await == 1 }).await;
    assert!(db.job(ids[0]).await.is_none());
    assert!(db.job(ids[1]).await.is_some());
    let left: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT batch_id FROM job_batch").fetch_all(db.superuser()).await.unwrap();
    assert_eq!(left, [young.0], "{old} is long complete");
}
