//! Rate limits: shared by all workers, in order, all of a job's limits or none, and no slot for waiting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::Utc;
use domain::{JobId, JobState, LimitUse, OrgId};
use queue::ops::limits::{LimitSpec, delete, put};
use queue::{NewJob, Queue};
use serde::Deserialize;
use serde_json::json;
use testkit::{Book, Kind, TestDb, act, eventually, job, kind, ok, worker};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(15);

/// A payload that names its draws.
#[derive(Deserialize)]
struct Draws(Vec<(String, u32)>);

/// Jobs that draw what their payload says: `[["name", units], …]`, always of the bucket `b`.
fn drawing() -> Kind {
    kind("call").limits(|payload| {
        let Draws(draws) = serde_json::from_str(payload.get()).unwrap();
        draws
            .into_iter()
            .map(|(name, units)| LimitUse { name: name.into(), key: "b".into(), units })
            .collect()
    })
}

async fn limit(
    queue: &Queue,
    org: Option<OrgId>,
    name: &str,
    (units, period_ms, burst): (i32, i64, i32),
) -> Uuid {
    let spec = LimitSpec { name: name.into(), key: "*".into(), units, period_ms, burst };
    let (id, after) = act!(queue, tx => put(&mut tx, org, &spec));
    queue.after(after).await;
    id
}

async fn enqueue_all(queue: &Queue, jobs: Vec<NewJob>) -> Vec<JobId> {
    queue.enqueue_many(jobs).await.into_iter().map(|told| told.unwrap().job_id).collect()
}

async fn parked(db: &TestDb) -> i64 {
    db.number("SELECT count(*) FROM job_wait WHERE what = 'limit'").await
}

/// Most of `times` that lie within one `window`.
fn most_within(times: &[Instant], window: Duration) -> usize {
    let mut from = 0;
    let mut most = 0;
    for (at, time) in times.iter().enumerate() {
        while *time - times[from] >= window {
            from += 1;
        }
        most = most.max(at - from + 1);
    }
    most
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_together_stay_under_a_rate_and_use_it() {
    const RATE: u32 = 50;
    const BURST: u32 = 5;
    const WAVE: usize = 70;
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let lateness: Arc<Mutex<Vec<f64>>> = Arc::default();
    let book = Book::of([drawing().run({
        let lateness = lateness.clone();
        move |running| {
            // Since it was let in: with a permit it is in its lane and only has to be taken.
            let late = Utc::now() - running.job.queued_at.unwrap();
            if running.job.permit {
                lateness.lock().unwrap().push(late.as_seconds_f64());
            }
            async { ok() }
        }
    })]);
    let queue = db.queue().await;
    limit(&queue, Some(org), "api", (50, 1000, 5)).await;
    let mut fleet = Vec::new();
    for _ in 0..4 {
        let queue = db.queue().await;
        let crew = worker::start(&queue, &book, worker::slots(8)).await;
        fleet.push((worker::tend(&queue, &book), crew));
    }
    let wave = || (0..WAVE).map(|_| job(org, "call", &json!([["api", 1]]))).collect::<Vec<_>>();
    // Later waves come while earlier ones still stand in line.
    let mut waves: HashMap<JobId, usize> = HashMap::new();
    for number in 0..3 {
        waves.extend(enqueue_all(&queue, wave()).await.into_iter().map(|job| (job, number)));
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    db.all_ended(SOON).await;

    let starts = book.starts();
    let mut times: Vec<Instant> = starts.iter().map(|start| start.at).collect();
    times.sort();
    assert_eq!(times.len(), 3 * WAVE);
    // What was let in earlier but taken later starts together with what is let in now: that much is the
    // machine's doing, and some milliseconds on a quiet one.
    let lateness = lateness.lock().unwrap().clone();
    let spread = lateness.iter().fold(0.0, |most: f64, late| most.max(*late))
        - lateness.iter().fold(f64::MAX, |least: f64, late| least.min(*late));
    let allowed = f64::from(RATE + BURST + 2) + f64::from(RATE) * spread;
    let most = most_within(&times, Duration::from_secs(1));
    let took = times[times.len() - 1] - times[0];
    println!("{} starts in {took:?}, at most {most} in a second, taken {spread:.3} s apart", times.len());
    #[allow(clippy::cast_precision_loss)]
    let most = most as f64;
    assert!(most <= allowed, "{most} starts in one second, {allowed} allowed");
    let ideal = f64::from(u32::try_from(times.len()).unwrap() - BURST) / f64::from(RATE);
    let longest = ideal / 0.95 + spread;
    assert!(took.as_secs_f64() <= longest, "{took:?} for what the rate allows in {ideal:.2} s");
    // In order: those let in one shortly after the other may have been started by different workers the
    // other way round, where one wave ends and the next begins; nobody goes before a whole wave.
    let edge = f64::from(BURST) + f64::from(RATE) * spread;
    for (at, start) in starts.iter().enumerate() {
        let from_edge = f64::from(u32::try_from((at % WAVE).min(WAVE - 1 - at % WAVE)).unwrap());
        let wave = waves[&start.job];
        assert!(wave == at / WAVE || from_edge <= edge, "start {at} was of wave {wave}");
    }
    // Whoever waited did so without an attempt.
    assert_eq!(db.number("SELECT count(*) FROM job_history WHERE attempt <> 1").await, 0);
}

#[tokio::test]
async fn limited_jobs_wait_without_a_slot_and_know_until_when() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([drawing(), kind("free")]);
    limit(&queue, Some(org), "api", (1, 60_000, 1)).await;
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let limited = (0..10).map(|_| job(org, "call", &json!([["api", 1]]))).collect();
    let limited = enqueue_all(&queue, limited).await;
    let free = (0..20).map(|n| job(org, "free", &json!({ "n": n }))).collect();
    for job in enqueue_all(&queue, free).await {
        db.reaches(job, JobState::Succeeded, SOON).await;
    }
    eventually(SOON, || async { parked(&db).await == 9 }).await;
    db.reaches(limited[0], JobState::Succeeded, SOON).await;
    assert_eq!(db.job(limited[9]).await.unwrap().attempt, 0);
    // The line: a minute apart, in order.
    let line: Vec<(Uuid, String, f64)> = sqlx::query_as(
        "SELECT job_id, key, extract(epoch FROM due_at - now())::float8 FROM job_wait ORDER BY due_at",
    )
    .fetch_all(db.superuser())
    .await
    .unwrap();
    let order: Vec<JobId> = line.iter().map(|(job, _, _)| JobId(*job)).collect();
    assert_eq!(order, limited[1..]);
    for (place, (_, key, secs)) in (1_u32..).zip(&line) {
        assert_eq!(key, "api:b");
        let expected = f64::from(place) * 60.0;
        assert!((expected - 15.0..=expected).contains(secs), "place {place} waits {secs} s");
    }
}

#[tokio::test]
async fn a_job_draws_on_all_its_limits_or_on_none() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([drawing()]);
    limit(&queue, Some(org), "wide", (100, 1_000_000, 100)).await;
    limit(&queue, Some(org), "narrow", (1, 600_000, 1)).await;
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    let both = (0..6).map(|_| job(org, "call", &json!([["wide", 10], ["narrow", 1]]))).collect();
    enqueue_all(&queue, both).await;
    eventually(SOON, || async { parked(&db).await == 5 }).await;
    assert_eq!(db.number("SELECT count(*) FROM job_wait WHERE key = 'narrow:b'").await, 5);
    let wide = LimitUse { name: "wide".into(), key: "b".into(), units: 1 };
    let usage = queue.limiter().usage(org, &wide).await.unwrap().unwrap();
    assert!((9.0..=10.5).contains(&usage.used_units), "{usage:?}: the parked ones drew, too");
    // What they left is there for others.
    let others = (0..8).map(|_| job(org, "call", &json!([["wide", 10]]))).collect();
    for job in enqueue_all(&queue, others).await {
        db.reaches(job, JobState::Succeeded, SOON).await;
    }
}

#[tokio::test]
async fn a_job_may_use_many_units_even_more_than_a_burst() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([drawing()]);
    limit(&queue, Some(org), "api", (10, 1000, 10)).await;
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    // Ten at once, then ten a second: 6 × 4 units take (24 - 10) / 10 s.
    enqueue_all(&queue, (0..6).map(|_| job(org, "call", &json!([["api", 4]]))).collect()).await;
    db.all_ended(SOON).await;
    let starts = book.starts();
    let took = starts[5].at - starts[0].at;
    assert!((1.25..3.0).contains(&took.as_secs_f64()), "24 units took {took:?}");

    // More than can ever be saved up: it goes when the bucket is full, and the next pays for it.
    let large = enqueue_all(&queue, vec![job(org, "call", &json!([["api", 20]]))]).await;
    db.reaches(large[0], JobState::Succeeded, SOON).await;
    let asked = Instant::now();
    let next = enqueue_all(&queue, vec![job(org, "call", &json!([["api", 1]]))]).await;
    db.reaches(next[0], JobState::Succeeded, SOON).await;
    assert!(asked.elapsed() > Duration::from_millis(600), "it was let through on credit");
}

#[tokio::test]
async fn a_platform_rate_counts_each_organisation_apart_and_yields_to_an_own_one() {
    let db = TestDb::new().await;
    let (first, second, own) = (db.org("first").await, db.org("second").await, db.org("own").await);
    let queue = db.queue().await;
    let book = Book::of([drawing()]);
    limit(&queue, None, "api", (1, 600_000, 2)).await;
    limit(&queue, Some(own), "api", (1000, 1000, 1000)).await;
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    for org in [first, second, own] {
        enqueue_all(&queue, (0..5).map(|_| job(org, "call", &json!([["api", 1]]))).collect()).await;
    }
    eventually(SOON, || async { parked(&db).await == 6 }).await;
    eventually(SOON, || async { db.number("SELECT count(*) FROM job_history").await == 9 }).await;
    let ran = |org| book.starts().iter().filter(|start| start.org == org).count();
    assert_eq!((ran(first), ran(second), ran(own)), (2, 2, 5));
}

#[tokio::test]
async fn an_edited_rate_holds_at_once_for_those_in_line_and_for_those_behind_them() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([drawing()]);
    limit(&queue, Some(org), "api", (1, 600_000, 1)).await;
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(1)).await;
    let mut all =
        enqueue_all(&queue, (0..21).map(|_| job(org, "call", &json!([["api", 1]]))).collect()).await;
    eventually(SOON, || async { parked(&db).await == 20 }).await;

    // Edited in a process that neither tends nor works.
    let elsewhere = db.queue().await;
    limit(&elsewhere, Some(org), "api", (20, 1000, 1)).await;
    // Those who come now stand behind those who were there, though the line was drawn up anew.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let late = enqueue_all(&queue, (0..3).map(|_| job(org, "call", &json!([["api", 1]]))).collect()).await;
    db.all_ended(SOON).await;
    let starts = book.starts();
    let took = starts[23].at - starts[1].at;
    let offsets: Vec<u128> = starts.iter().map(|start| (start.at - starts[1].at).as_millis()).collect();
    assert!((1.0..3.0).contains(&took.as_secs_f64()), "23 units at 20 a second took {took:?} {offsets:?}");
    all.extend(late);
    let order: Vec<JobId> = starts.iter().map(|start| start.job).collect();
    assert_eq!(order, all);
}

#[tokio::test]
async fn a_limit_that_was_taken_away_holds_nobody() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([drawing()]);
    let id = limit(&queue, Some(org), "api", (1, 600_000, 1)).await;
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    enqueue_all(&queue, (0..800).map(|_| job(org, "call", &json!([["api", 1]]))).collect()).await;
    eventually(SOON, || async { parked(&db).await == 799 }).await;
    let after = act!(queue, tx => delete(&mut tx, Some(org), id));
    queue.after(after).await;
    db.all_ended(SOON).await;
    assert_eq!(db.number("SELECT count(*) FROM job_history WHERE attempt <> 1").await, 0);
}

#[tokio::test]
async fn a_long_line_keeps_its_order_when_its_rate_is_edited() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([drawing()]);
    limit(&queue, Some(org), "api", (1, 600_000, 1)).await;
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(16)).await;
    // More than one look of the promotion can hold.
    enqueue_all(&queue, (0..1200).map(|_| job(org, "call", &json!([["api", 1]]))).collect()).await;
    eventually(SOON, || async { parked(&db).await == 1199 }).await;
    let line = || async {
        sqlx::query_as::<_, (Uuid, f64)>(
            "SELECT job_id, extract(epoch FROM due_at)::float8 FROM job_wait ORDER BY due_at, job_id",
        )
        .fetch_all(db.superuser())
        .await
        .unwrap()
    };
    let before: Vec<Uuid> = line().await.into_iter().map(|(job, _)| job).collect();
    limit(&queue, Some(org), "api", (60, 60_000, 1)).await;
    let redrawn = "SELECT count(*) FROM job_wait WHERE json_typeof(detail) = 'array'";
    eventually(SOON, || async {
        db.number(redrawn).await == db.number("SELECT count(*) FROM job_wait").await
    })
    .await;
    let (after, times): (Vec<Uuid>, Vec<f64>) = line().await.into_iter().unzip();
    assert!(after.len() > 1100 && before.ends_with(&after), "the order is another now");
    let gaps: Vec<f64> = times.windows(2).map(|two| two[1] - two[0]).collect();
    let crowded = gaps.iter().filter(|gap| **gap < 0.8).count();
    // A pause of the machine between asking and writing down may cost one of them.
    assert!(crowded < 10, "{crowded} were told nearly the same time as the one before: {gaps:?}");
}

#[tokio::test]
async fn a_worker_that_has_not_read_an_edited_rate_reads_it_before_it_tells_a_place() {
    let db = TestDb::new().await;
    let org = db.org("acme").await;
    let queue = db.queue().await;
    let book = Book::of([drawing()]);
    limit(&queue, Some(org), "api", (1, 600_000, 1)).await;
    let _tender = worker::tend(&queue, &book);
    let _crew = worker::start(&queue, &book, worker::slots(4)).await;
    let first = enqueue_all(&queue, vec![job(org, "call", &json!([["api", 1]]))]).await;
    db.reaches(first[0], JobState::Succeeded, SOON).await;
    // Nobody stands in line, so nobody is asked again; the next comes within the second that settings may
    // be old.
    limit(&db.queue().await, Some(org), "api", (1000, 1000, 10)).await;
    let next = enqueue_all(&queue, (0..5).map(|_| job(org, "call", &json!([["api", 1]]))).collect()).await;
    for job in next {
        db.reaches(job, JobState::Succeeded, SOON).await;
    }
}
