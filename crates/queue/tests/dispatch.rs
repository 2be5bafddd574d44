//! Dispatch: who starts next. Priority, then age, fair over organisations; work that stays bounded
//! whatever the backlog.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use domain::{JobId, OrgId};
use queue::dispatch::{Ready, SCRIPT_BATCH, Want};
use queue::ops::lanes::{LaneMode, set_org_cap, set_org_mode};
use queue::{NewJob, Queue};
use serde_json::json;
use testkit::{Book, Gate, Kind, TestDb, act, eventually, job, kind, ok, worker};

const SOON: Duration = Duration::from_secs(10);

async fn enqueue_all(queue: &Queue, jobs: Vec<NewJob>) -> Vec<JobId> {
    queue.enqueue_many(jobs).await.into_iter().map(|told| told.unwrap().job_id).collect()
}

fn slow(name: &'static str, time: Duration) -> Kind {
    kind(name).run(move |_| async move {
        tokio::time::sleep(time).await;
        ok()
    })
}

#[tokio::test]
async fn higher_priority_first_then_older_first() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("work")]);
    let priorities = [0, 50, -50, 50, 0, 100, -100, 0];
    let jobs = priorities.map(|priority| NewJob { priority, ..job(org, "work", &json!({})) });
    let mut expected: Vec<(i16, JobId)> = jobs.iter().map(|job| (-job.priority, job.job_id)).collect();
    expected.sort();
    for job in jobs {
        queue.enqueue(job).await.unwrap();
    }
    let depth = || async { queue.dispatch().depth("default").await.unwrap() == 8 };
    eventually(SOON, depth).await;
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    db.all_ended(SOON).await;
    let order: Vec<JobId> = book.starts().iter().map(|start| start.job).collect();
    assert_eq!(order, expected.into_iter().map(|(_, job)| job).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_jobs_of_one_organisation_do_not_wait_behind_ten_thousand_of_another() {
    let db = TestDb::new().await;
    let (flood, small) = (db.org("flood").await, db.org("small").await);
    let queue = db.queue().await;
    let book = Book::of([slow("work", Duration::from_millis(2))]);
    enqueue_all(&queue, (0..10_000).map(|n| job(flood, "work", &json!({ "n": n }))).collect()).await;
    enqueue_all(&queue, (0..10).map(|n| job(small, "work", &json!({ "n": n }))).collect()).await;
    let depth = || async { queue.dispatch().depth("default").await.unwrap() == 10_010 };
    eventually(SOON, depth).await;
    let crew = worker::start(&queue, &book, worker::slots(16)).await;
    let started = |org: OrgId| book.starts().iter().filter(|start| start.org == org).count();
    eventually(SOON, || async { started(small) == 10 }).await;
    crew.leave(Duration::from_secs(5)).await;
    let last = book.starts().iter().rposition(|start| start.org == small).unwrap();
    assert!(last < 100, "the last of the ten was number {last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_in_one_lane_delays_no_other_lane() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([slow("pull", Duration::from_secs(2)), kind("pay")]);
    let pull = |n| NewJob { lane: "bulk".into(), ..job(org, "pull", &json!({ "n": n })) };
    enqueue_all(&queue, (0..2_000).map(pull).collect()).await;
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    eventually(SOON, || async { book.started() == 4 }).await;
    for n in 0..20 {
        let pay = NewJob { lane: "critical".into(), ..job(org, "pay", &json!({ "n": n })) };
        let asked = Instant::now();
        let told = queue.enqueue(pay).await.unwrap();
        eventually(SOON, || async { book.runs_of(told.job_id) == 1 }).await;
        let waited = asked.elapsed();
        assert!(waited < Duration::from_secs(1), "it waited {waited:?} behind another lane's jobs");
    }
}

#[tokio::test]
async fn an_idle_worker_starts_a_job_at_once() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([kind("work")]);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    let mut waits = Vec::new();
    for n in 0..30 {
        let asked = Instant::now();
        let told = queue.enqueue(job(org, "work", &json!({ "n": n }))).await.unwrap();
        eventually(SOON, || async { book.runs_of(told.job_id) == 1 }).await;
        let start = book.starts().into_iter().find(|start| start.job == told.job_id).unwrap();
        waits.push(start.at - asked);
        // Let it fall asleep again.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    waits.sort();
    // Nothing polls: far below any polling interval, even unoptimised on a busy machine.
    assert!(waits[15] < Duration::from_millis(100), "{waits:?}");
}

#[tokio::test]
async fn taking_is_bounded_and_no_slower_with_a_hundred_thousand_ready() {
    let db = TestDb::new().await;
    let queue = db.queue().await;
    let dispatch = queue.dispatch();
    // The dispatcher alone: ids that the ledger never saw.
    let orgs: Vec<OrgId> = (0..200).map(|_| OrgId::new()).collect();
    let fill = |from: usize, count: usize| -> Vec<Ready> {
        let ready = |n: usize| Ready {
            job_id: JobId::new(),
            org_id: orgs[n % orgs.len()],
            lane: "default".into(),
            score: i64::try_from(n).unwrap(),
        };
        (from..from + count).map(ready).collect()
    };
    let wants = [Want { lane: "default".into(), slots: 10_000, org_cap: 0 }];
    let take = || async {
        let mut times = Vec::new();
        for _ in 0..9 {
            let asked = Instant::now();
            let taken = dispatch.take(&wants, usize::MAX).await.unwrap();
            times.push(asked.elapsed());
            assert!(!taken[0].is_empty() && taken[0].len() <= SCRIPT_BATCH);
        }
        times.sort();
        times[4]
    };
    dispatch.push(&fill(0, 10_000)).await.unwrap();
    let few = take().await;
    dispatch.push(&fill(10_000, 100_000)).await.unwrap();
    let many = take().await;
    println!("a take with 10,000 ready: {few:?}, with 100,000: {many:?}");
    assert!(many < few * 4 + Duration::from_millis(20), "{few:?} became {many:?}");
}

#[tokio::test]
async fn one_id_pushed_many_times_is_taken_once() {
    let db = TestDb::new().await;
    let queue = db.queue().await;
    let ready = Ready { job_id: JobId::new(), org_id: OrgId::new(), lane: "default".into(), score: 1 };
    for _ in 0..5 {
        queue.dispatch().push(&[ready.clone(), ready.clone()]).await.unwrap();
    }
    let wants = [Want { lane: "default".into(), slots: 10, org_cap: 0 }];
    let mut taken = Vec::new();
    for _ in 0..2 {
        taken.extend(queue.dispatch().take(&wants, 100).await.unwrap().iter().map(Vec::len));
    }
    assert_eq!(taken, [1, 0]);
}

#[tokio::test]
async fn an_organisation_that_holds_its_share_holds_nobody_elses() {
    let db = TestDb::new().await;
    let (held, free) = (db.org("held").await, db.org("free").await);
    let queue = db.queue().await;
    let book = Book::of([kind("work")]);
    let after = act!(queue, tx => set_org_mode(&mut tx, held, "default", LaneMode::Paused, None));
    queue.after(after).await;
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    let jobs = |org| (0..50).map(|n| job(org, "work", &json!({ "n": n }))).collect::<Vec<_>>();
    enqueue_all(&queue, jobs(held)).await;
    enqueue_all(&queue, jobs(free)).await;
    eventually(SOON, || async { book.started() == 50 }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(book.starts().iter().all(|start| start.org == free));

    let after = act!(queue, tx => set_org_mode(&mut tx, held, "default", LaneMode::Open, None));
    queue.after(after).await;
    db.all_ended(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_workers_together_keep_an_organisations_cap() {
    let db = TestDb::new().await;
    let (capped, free) = (db.org("capped").await, db.org("free").await);
    let queue = db.queue().await;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Gate::shut();
    let book = Book::of([
        kind("work").run({
            let (now, most) = (now.clone(), most.clone());
            move |_| {
                let (now, most) = (now.clone(), most.clone());
                async move {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    ok()
                }
            }
        }),
        kind("wait").run({
            let gate = gate.clone();
            move |_| {
                let gate = gate.clone();
                async move {
                    gate.pass().await;
                    ok()
                }
            }
        }),
    ]);
    let after = act!(queue, tx => set_org_cap(&mut tx, capped, "default", Some(3), None));
    queue.after(after).await;
    let mut crews = Vec::new();
    for _ in 0..3 {
        crews.push(worker::start(&db.queue().await, &book, worker::slots(8)).await);
    }
    // The cap bounds its owner, and only its owner.
    enqueue_all(&queue, (0..90).map(|n| job(capped, "work", &json!({ "n": n }))).collect()).await;
    enqueue_all(&queue, (0..10).map(|n| job(free, "wait", &json!({ "n": n }))).collect()).await;
    let waiting = || async { book.starts().iter().filter(|start| start.org == free).count() == 10 };
    eventually(SOON, waiting).await;
    let ended = || async { db.number("SELECT count(*) FROM job_history").await == 90 };
    eventually(Duration::from_secs(20), ended).await;
    assert!(most.load(Ordering::SeqCst) <= 3, "{} ran at once", most.load(Ordering::SeqCst));
    gate.open();
    db.all_ended(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_lane_was_full_hears_of_the_next_job_at_once() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([slow("work", Duration::from_millis(15))]);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let mut waits = Vec::new();
    for n in 0..40 {
        let told = queue.enqueue(job(org, "work", &json!({ "n": n }))).await.unwrap();
        // The next one comes a moment after its lane had room again.
        db.reaches(told.job_id, domain::JobState::Succeeded, SOON).await;
        let asked = Instant::now();
        let told = queue.enqueue(job(org, "work", &json!({ "n": n }))).await.unwrap();
        eventually(SOON, || async { book.runs_of(told.job_id) == 1 }).await;
        let start = book.starts().into_iter().find(|start| start.job == told.job_id).unwrap();
        waits.push(start.at.duration_since(asked));
    }
    waits.sort();
    // The look that a sleeper takes every half second would show.
    let late = waits.iter().filter(|wait| **wait > Duration::from_millis(150)).count();
    assert!(late <= 2, "{late} of 40 waited: {waits:?}");
}
