//! Chains and progress: what a job leaves behind when it succeeds, and how far it is until then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use domain::{JobError, JobState, OrgId};
use queue::backend::Success;
use queue::ops::lanes::{LaneMode, set_org_mode};
use queue::{EnqueueError, NewJob};
use serde_json::json;
use testkit::{Book, Gate, Kind, TestDb, act, eventually, job, kind, ok, worker};

const SOON: Duration = Duration::from_secs(10);

fn step(org: OrgId, name: &str, successors: Vec<NewJob>) -> NewJob {
    NewJob { successors, ..job(org, "step", &json!(name)) }
}

/// Succeeds, unless its payload is `fail`.
fn steps() -> Kind {
    kind("step").run(|running| async move {
        if running.payload::<String>() == "fail" { Err(JobError::fail("broken", "")) } else { ok() }
    })
}

#[tokio::test]
async fn a_chain_runs_link_by_link_and_knows_its_parents() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([steps()]);
    let third = step(org, "third", vec![]);
    let second = step(org, "second", vec![third.clone()]);
    let first = step(org, "first", vec![second.clone()]);
    let ids = [first.job_id, second.job_id, third.job_id];
    queue.enqueue(first).await.unwrap();
    assert_eq!(db.number("SELECT count(*) FROM job").await, 1);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    db.reaches(ids[2], JobState::Succeeded, SOON).await;
    let order: Vec<_> = book.starts().iter().map(|start| start.job).collect();
    assert_eq!(order, ids);
    let mut parent = None;
    for id in ids {
        let row = db.job(id).await.unwrap();
        assert_eq!((row.state.as_str(), row.parent_job_id), ("succeeded", parent));
        parent = Some(id.0);
    }
    // Each was enqueued by the very transaction that completed its parent.
    let apart = "SELECT count(*) FROM job_history c JOIN job_history p ON p.job_id = c.parent_job_id
                 WHERE c.created_at <> p.finished_at";
    assert_eq!(db.number(apart).await, 0);
}

#[tokio::test]
async fn a_chain_ends_where_a_link_breaks() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([steps()]);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    let next = step(org, "next", vec![]);
    let broken = queue.enqueue(step(org, "fail", vec![next.clone()])).await.unwrap().job_id;
    db.reaches(broken, JobState::Dead, SOON).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(db.job(next.job_id).await.is_none());
    // Mended and replayed, it goes on.
    let mended = job(org, "step", &json!("mended")).payload;
    let after = act!(queue, tx => queue::ops::dead::replay(&mut tx, org, broken, None, Some(&mended)));
    queue.after(after).await;
    db.reaches(next.job_id, JobState::Succeeded, SOON).await;
}

#[tokio::test]
async fn a_handler_leaves_jobs_behind_when_it_succeeds_and_none_when_it_does_not() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([
        steps(),
        kind("fan_out").run(|running| async move {
            let next = |n: i32| NewJob {
                idempotency_key: Some(format!("part {n} of {}", running.job.job_id)),
                ..job(running.job.org_id, "step", &json!("part"))
            };
            // What a first attempt meant to leave behind goes with it.
            if running.job.attempt == 1 {
                return Err(JobError::retry("busy", ""));
            }
            Ok(Success { result: Some("{\"parts\":50}".into()), next: (0..50).map(next).collect() })
        }),
    ]);
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(8)).await;
    let told = queue.enqueue(job(org, "fan_out", &json!({}))).await.unwrap();
    let row = db.reaches(told.job_id, JobState::Succeeded, SOON).await;
    assert_eq!(row.result.as_deref(), Some("{\"parts\":50}"));
    eventually(SOON, || async {
        db.number("SELECT count(*) FROM job_history WHERE kind = 'step'").await == 50
    })
    .await;
    assert_eq!(db.number("SELECT count(*) FROM job").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_moment_shows_a_finished_job_without_what_it_left_behind() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([steps()]);
    let links = (0..300).map(|_| step(org, "first", vec![step(org, "second", vec![])])).collect();
    for told in queue.enqueue_many(links).await {
        told.unwrap();
    }
    let _crew = worker::start(&queue, &book, worker::slots(16)).await;
    let all = Duration::from_secs(20);
    eventually(all, || async {
        // One snapshot: every parent that ended has its child, here or there.
        let orphans = "SELECT count(*) FROM job_history p WHERE p.successors IS NOT NULL
             AND NOT EXISTS (SELECT FROM job c WHERE c.parent_job_id = p.job_id)
             AND NOT EXISTS (SELECT FROM job_history c WHERE c.parent_job_id = p.job_id)";
        assert_eq!(db.number(orphans).await, 0);
        db.number("SELECT count(*) FROM job_history").await == 600
    })
    .await;
}

#[tokio::test]
async fn a_successor_that_could_never_run_is_refused_when_its_chain_is_enqueued() {
    let db = TestDb::new().await;
    let (org, other) = (db.org("acme").await, db.org("other").await);
    let queue = db.queue().await;
    let lost = NewJob { lane: "nowhere".into(), ..step(org, "lost", vec![]) };
    let deep = step(org, "first", vec![step(org, "second", vec![lost])]);
    let foreign = step(org, "first", vec![step(other, "second", vec![])]);
    for (job, expected) in [(deep, "lane"), (foreign, "org_id")] {
        match queue.enqueue(job).await {
            Err(EnqueueError::Invalid { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    assert_eq!(db.number("SELECT count(*) FROM job").await, 0);
}

#[tokio::test]
async fn a_job_that_wants_to_leave_behind_what_could_never_run_is_a_dead_letter_that_says_so() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([
        steps(),
        kind("loses").run(|running| async move {
            let lost = NewJob { lane: "nowhere".into(), ..step(running.job.org_id, "lost", vec![]) };
            Ok(Success { result: None, next: vec![step(running.job.org_id, "fine", vec![]), lost] })
        }),
    ]);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    let told = queue.enqueue(job(org, "loses", &json!({}))).await.unwrap();
    let row = db.reaches(told.job_id, JobState::Dead, SOON).await;
    assert_eq!(row.error_code.as_deref(), Some("successor_refused"));
    assert!(row.error_message.unwrap().contains("nowhere"));
    assert_eq!(db.number("SELECT count(*) FROM job").await, 0);
    assert_eq!(book.started(), 1);
}

#[tokio::test]
async fn a_successor_for_a_lane_that_is_draining_is_parked_until_it_is_open() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([steps()]);
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    let after = act!(queue, tx => set_org_mode(&mut tx, org, "bulk", LaneMode::Draining, None));
    queue.after(after).await;
    let second = NewJob { lane: "bulk".into(), ..step(org, "second", vec![]) };
    queue.enqueue(step(org, "first", vec![second.clone()])).await.unwrap();
    db.reaches(second.job_id, JobState::Parked, SOON).await;
    let after = act!(queue, tx => set_org_mode(&mut tx, org, "bulk", LaneMode::Open, None));
    queue.after(after).await;
    db.reaches(second.job_id, JobState::Succeeded, SOON).await;
}

#[tokio::test]
async fn progress_is_seen_while_the_job_runs_and_kept_when_it_has_ended() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let gate = Gate::shut();
    let book = Book::of([kind("import").run({
        let (gate, queue) = (gate.clone(), queue.clone());
        move |running| {
            let (gate, queue) = (gate.clone(), queue.clone());
            async move {
                let job = &running.job;
                for done in 1..=3 {
                    queue.progress(job.job_id, job.claim_no, done, Some(3)).await.unwrap();
                    gate.pass().await;
                }
                ok()
            }
        }
    })]);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let told = queue.enqueue(job(org, "import", &json!({}))).await.unwrap().job_id;
    for seen in 1..=3 {
        let look = || async { db.job(told).await.unwrap().progress_done == Some(seen) };
        eventually(SOON, look).await;
        gate.admit(1);
    }
    let row = db.reaches(told, JobState::Succeeded, SOON).await;
    assert_eq!((row.progress_done, row.progress_total), (Some(3), Some(3)));
}

#[tokio::test]
async fn progress_under_a_claim_that_is_not_held_is_ignored() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let gate = Gate::shut();
    let book = Book::of([kind("import").run({
        let gate = gate.clone();
        move |_| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                ok()
            }
        }
    })]);
    let told = queue.enqueue(job(org, "import", &json!({}))).await.unwrap().job_id;
    queue.progress(told, 0, 1, None).await.unwrap();
    assert_eq!(db.job(told).await.unwrap().progress_done, None, "it does not run yet");
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    db.reaches(told, JobState::Running, SOON).await;
    queue.progress(told, 0, 7, Some(9)).await.unwrap();
    assert_eq!(db.job(told).await.unwrap().progress_done, None);
    queue.progress(told, 1, u64::MAX, Some(u64::MAX)).await.unwrap();
    assert_eq!(db.job(told).await.unwrap().progress_done, Some(i64::MAX));
    gate.open();
    db.reaches(told, JobState::Succeeded, SOON).await;
}
