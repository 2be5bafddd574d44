//! Batches: jobs counted together, and one more job when none of them is left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use chrono::Utc;
use domain::{BatchId, JobError, JobId, JobState, OrgId};
use queue::ops::batches::{BatchView, create, get};
use queue::{EnqueueError, NewJob, Queue, ops};
use serde_json::json;
use testkit::{Book, TestDb, act, eventually, job, kind, ok, worker};

const SOON: Duration = Duration::from_secs(10);

fn callback(org: OrgId) -> NewJob {
    job(org, "report", &json!({}))
}

async fn batch(
    queue: &Queue,
    org: OrgId,
    mut jobs: Vec<NewJob>,
    callback: Option<NewJob>,
) -> (BatchId, Vec<JobId>) {
    let (batch, told) = act!(queue, tx => create(queue, &mut tx, org, "import", &mut jobs, callback));
    queue.announce(&jobs);
    (batch, told.into_iter().map(|one| one.job_id).collect())
}

async fn view(queue: &Queue, org: OrgId, batch: BatchId) -> BatchView {
    act!(queue, tx => get(&mut tx, org, batch))
}

/// Does what its payload says.
fn work() -> testkit::Kind {
    kind("work").run(|running| async move {
        match running.payload::<String>().as_str() {
            "fail" => Err(JobError::fail("broken", "for good")),
            "retry" if running.job.attempt < 3 => Err(JobError::retry("busy", "")),
            "wait" => Err(JobError::snooze("approval", "boss", Utc::now() + chrono::Duration::hours(1))),
            _ => ok(),
        }
    })
}

#[tokio::test]
async fn the_callback_runs_once_when_the_last_member_has_ended_however_it_ended() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([work(), kind("report")]);
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(8)).await;
    let member = |what: &str| job(org, "work", &json!(what));
    let expires =
        NewJob { deadline_at: Some(Utc::now() + chrono::Duration::milliseconds(1500)), ..member("wait") };
    let jobs = vec![member("ok"), member("fail"), member("retry"), member("ok"), expires, member("wait")];
    let report = callback(org);
    let (id, members) = batch(&queue, org, jobs, Some(report.clone())).await;
    db.reaches(members[4], JobState::Expired, SOON).await;
    db.reaches(members[2], JobState::Succeeded, SOON).await;
    db.reaches(members[5], JobState::Parked, SOON).await;
    let open = view(&queue, org, id).await;
    assert_eq!((open.total, open.succeeded, open.failed), (6, 3, 2));
    assert!(open.completed_at.is_none() && db.job(report.job_id).await.is_none());

    let (_, after) = act!(queue, tx => ops::jobs::cancel(&mut tx, org, members[5], None, None));
    queue.after(after).await;
    db.reaches(report.job_id, JobState::Succeeded, SOON).await;
    let done = view(&queue, org, id).await;
    assert_eq!((done.succeeded, done.failed, done.callback_job_id), (3, 3, Some(report.job_id.0)));
    assert!(done.completed_at.is_some());
    assert_eq!(book.runs_of(report.job_id), 1);
}

#[tokio::test]
async fn a_batch_whose_last_member_expires_is_closed_by_the_sweep() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([work(), kind("report")]);
    let _crew = worker::start(&queue, &book, worker::slots(8)).await;
    let deadline_at = Some(Utc::now() + chrono::Duration::milliseconds(800));
    let jobs = vec![
        job(org, "work", &json!("ok")),
        NewJob { deadline_at, ..job(org, "work", &json!("wait")) },
        NewJob { deadline_at, ..job(org, "work", &json!("wait")) },
    ];
    let report = callback(org);
    let (id, _) = batch(&queue, org, jobs, Some(report.clone())).await;
    let _tenders = [worker::tend(&queue, &book), worker::tend(&db.queue().await, &book)];
    db.reaches(report.job_id, JobState::Succeeded, SOON).await;
    let done = view(&queue, org, id).await;
    assert_eq!((done.succeeded, done.failed), (1, 2));
    assert_eq!(book.runs_of(report.job_id), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_members_ending_at_once_in_four_workers_are_counted_right() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([work(), kind("report")]);
    let what = |n: i32| match n % 10 {
        0 => "fail",
        1 => "retry",
        _ => "ok",
    };
    let jobs = (0..1000).map(|n| job(org, "work", &json!(what(n)))).collect();
    let report = callback(org);
    let (id, _) = batch(&queue, org, jobs, Some(report.clone())).await;
    let mut fleet = Vec::new();
    for _ in 0..4 {
        let queue = db.queue().await;
        let crew = worker::start(&queue, &book, worker::slots(32)).await;
        fleet.push((worker::tend(&queue, &book), crew));
    }
    db.reaches(report.job_id, JobState::Succeeded, Duration::from_secs(30)).await;
    let done = view(&queue, org, id).await;
    assert_eq!((done.total, done.succeeded, done.failed), (1000, 900, 100));
    assert_eq!(db.number("SELECT count(*) FROM job").await, 0);
    assert_eq!(book.runs_of(report.job_id), 1);
    // It came after all of them.
    let before = "SELECT count(*) FROM job_history WHERE kind = 'work' AND finished_at >
                  (SELECT started_at FROM job_history WHERE kind = 'report')";
    assert_eq!(db.number(before).await, 0);
}

#[tokio::test]
async fn members_that_were_there_already_do_not_count_and_a_batch_of_none_is_complete() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([work(), kind("report")]);
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(8)).await;
    let keyed = |key: &str| NewJob { idempotency_key: Some(key.into()), ..job(org, "work", &json!("ok")) };
    let earlier = queue.enqueue(keyed("a")).await.unwrap().job_id;
    let first = callback(org);
    let (id, members) = batch(&queue, org, vec![keyed("a"), keyed("b")], Some(first.clone())).await;
    assert_eq!(members[0], earlier);
    db.reaches(first.job_id, JobState::Succeeded, SOON).await;
    let done = view(&queue, org, id).await;
    assert_eq!((done.total, done.succeeded, done.failed), (1, 1, 0));

    let second = callback(org);
    let (id, _) = batch(&queue, org, vec![keyed("a"), keyed("b")], Some(second.clone())).await;
    db.reaches(second.job_id, JobState::Succeeded, SOON).await;
    assert_eq!(view(&queue, org, id).await.total, 0);
}

#[tokio::test]
async fn a_batch_needs_no_callback_and_a_replayed_member_counts_again() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([work()]);
    let _crew = worker::start(&queue, &book, worker::slots(8)).await;
    let jobs = vec![job(org, "work", &json!("fail")), job(org, "work", &json!("wait"))];
    let (id, members) = batch(&queue, org, jobs, None).await;
    db.reaches(members[0], JobState::Dead, SOON).await;
    eventually(SOON, || async { view(&queue, org, id).await.failed == 1 }).await;
    let mended = job(org, "work", &json!("ok")).payload;
    let after = act!(queue, tx => ops::dead::replay(&mut tx, org, members[0], None, Some(&mended)));
    queue.after(after).await;
    db.reaches(members[0], JobState::Succeeded, SOON).await;
    let open = view(&queue, org, id).await;
    assert_eq!((open.succeeded, open.failed, open.completed_at), (1, 0, None));
    db.reaches(members[1], JobState::Parked, SOON).await;
    let (_, after) = act!(queue, tx => ops::jobs::cancel(&mut tx, org, members[1], None, None));
    queue.after(after).await;
    assert!(view(&queue, org, id).await.completed_at.is_some());
}

#[tokio::test]
async fn a_batch_that_could_not_be_carried_out_is_refused_whole() {
    let db = TestDb::new().await;
    let (org, other) = (db.org("acme").await, db.org("other").await);
    let queue = db.queue().await;
    let member = || job(org, "work", &json!("ok"));
    let lost = NewJob { lane: "nowhere".into(), ..callback(org) };
    let cases = [
        (vec![], None, "jobs"),
        (vec![member(), NewJob { lane: "nowhere".into(), ..member() }], None, "lane"),
        (vec![member()], Some(lost), "lane"),
        (vec![member()], Some(callback(other)), "org_id"),
    ];
    for (mut jobs, callback, expected) in cases {
        let mut tx = queue.pool().begin().await.unwrap();
        let refused = create(&queue, &mut tx, org, "import", &mut jobs, callback).await;
        let field = match refused {
            Err(EnqueueError::Invalid { field, .. }) => field,
            other => panic!("{expected}: {other:?}"),
        };
        assert_eq!(field, expected);
        tx.rollback().await.unwrap();
    }
    assert_eq!(db.number("SELECT (SELECT count(*) FROM job) + (SELECT count(*) FROM job_batch)").await, 0);
}

#[tokio::test]
async fn a_batch_completes_although_its_callback_needs_an_approval_by_now() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([work(), kind("report")]);
    let report = callback(org);
    let (id, members) = batch(&queue, org, vec![job(org, "work", &json!("ok"))], Some(report.clone())).await;
    sqlx::query("INSERT INTO guarded_kind (kind, always) VALUES ('report', true)")
        .execute(db.superuser())
        .await
        .unwrap();
    let _crew = worker::start(&queue, &book, worker::slots(2)).await;
    db.reaches(members[0], JobState::Succeeded, SOON).await;
    let done = view(&queue, org, id).await;
    assert!(done.completed_at.is_some() && done.callback_job_id.is_none());
    assert!(db.job(report.job_id).await.is_none(), "nobody approved it");
}
