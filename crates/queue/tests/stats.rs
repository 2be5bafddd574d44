//! Counts for metrics and screens: what they say is what the ledger holds. One test, for the recorder of
//! metrics belongs to the process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use domain::{JobError, JobState};
use queue::NewJob;
use queue::ops::lanes::{self, LaneMode, LanePatch};
use queue::ops::{dead, jobs, workers};
use queue::tend::{lane_stats, publish_stats};
use serde_json::json;
use testkit::{Book, Gate, TestDb, act, enqueue, eventually, job, kind, ok, worker};

const SOON: Duration = Duration::from_secs(10);

/// The value of one line of the metrics page.
fn value(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    page.lines().find_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, rest) = series.split_once('{').unwrap_or((series, ""));
        let fits =
            found == name && labels.iter().all(|(key, value)| rest.contains(&format!("{key}=\"{value}\"")));
        fits.then(|| value.parse().ok())?
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_and_metrics_say_what_the_ledger_holds() {
    let metrics = telemetry::install_recorder().expect("the only recorder of this process");
    let db = TestDb::new().await;
    let gate = Gate::shut();
    let before = gate.clone();
    let book = Book::of([
        kind("gated").run(move |_| {
            let before = before.clone();
            async move {
                before.pass().await;
                ok()
            }
        }),
        kind("failing").run(|_| async { Err(JobError::fail("no", "never")) }),
        kind("flaky").run(|running| async move {
            if running.job.attempt == 1 { Err(JobError::retry("shaky", "once more")) } else { ok() }
        }),
        kind("snoozing").run(|_| async {
            Err(JobError::snooze("approval", "x", chrono::Utc::now() + chrono::Duration::hours(1)))
        }),
    ]);
    let queue = db.queue().await;
    let org = db.org("one").await;
    let tender = worker::tend(&queue, &book);
    let crew = worker::start(&queue, &book, worker::slots(4)).await;

    let dead_letters = enqueue(&queue, org, "failing", 3).await;
    let flaky = enqueue(&queue, org, "flaky", 2).await;
    for id in &dead_letters {
        db.reaches(*id, JobState::Dead, SOON).await;
    }
    for id in flaky {
        db.reaches(id, JobState::Succeeded, SOON).await;
    }
    act!(queue, tx => dead::discard(&mut tx, org, dead_letters[0], None, "known"));
    let parked = enqueue(&queue, org, "snoozing", 1).await[0];
    db.reaches(parked, JobState::Parked, SOON).await;
    let later = Some(chrono::Utc::now() + chrono::Duration::hours(1));
    for _ in 0..2 {
        queue.enqueue(NewJob { run_at: later, ..job(org, "gated", &json!({})) }).await.unwrap();
    }
    let gone = NewJob { run_at: later, ..job(org, "gated", &json!({})) };
    let gone = queue.enqueue(gone).await.unwrap().job_id;
    let (_, after) = act!(queue, tx => jobs::cancel(&mut tx, org, gone, None, None));
    queue.after(after).await;
    let deadline = Some(chrono::Utc::now() + chrono::Duration::milliseconds(200));
    let late =
        NewJob { run_at: None, deadline_at: deadline, lane: "bulk".into(), ..job(org, "gated", &json!({})) };
    let after = act!(queue, tx => lanes::set_org_mode(&mut tx, org, "bulk", LaneMode::Paused, None));
    queue.after(after).await;
    let late = queue.enqueue(late).await.unwrap().job_id;
    db.reaches(late, JobState::Expired, SOON).await;
    // Four run, five wait behind them.
    enqueue(&queue, org, "gated", 9).await;
    eventually(SOON, || async { crew.in_flight() == 4 }).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let pause = LanePatch { mode: Some(LaneMode::Paused), ..LanePatch::default() };
    let after = act!(queue, tx => lanes::set_platform(&mut tx, "voice", pause));
    queue.after(after).await;

    let mut connection = queue.pool().acquire().await.unwrap();
    let all = lane_stats(&mut connection).await.unwrap();
    let names: Vec<&str> = all.iter().map(|lane| &*lane.lane).collect();
    let order = ["critical", "default", "ai", "voice", "outreach", "ads", "webhooks", "reports", "bulk"];
    assert_eq!(names, order, "every lane, in its order");
    let lane = &all[1];
    assert_eq!((lane.scheduled, lane.queued, lane.running, lane.parked), (2, 5, 4, 1));
    assert!((1.0..10.0).contains(&lane.oldest_age_secs), "{}", lane.oldest_age_secs);
    assert!(all[0].oldest_age_secs.abs() < f64::EPSILON && all[0].queued == 0);
    let fleet = workers::list(&mut connection).await.unwrap();
    assert_eq!((fleet.len(), &*fleet[0].state, fleet[0].in_flight), (1, "running", 4));
    drop(connection);

    publish_stats(&queue).await.unwrap();
    let page = metrics.render();
    let of = |name: &str, labels: &[(&str, &str)]| value(&page, name, labels);
    let count = |name: &str, labels: &[(&str, &str)]| {
        of(name, labels).unwrap_or_else(|| panic!("{name} {labels:?} is not among\n{page}"))
    };
    let depth = |state| count("countersign_queue_depth", &[("lane", "default"), ("state", state)]);
    assert_eq!(
        [depth("scheduled"), depth("queued"), depth("running"), depth("parked")],
        [2.0, 5.0, 4.0, 1.0]
    );
    assert!(count("countersign_queue_oldest_age_seconds", &[("lane", "default")]) >= 1.0);
    assert_eq!(count("countersign_lane_paused", &[("lane", "voice")]), 1.0);
    assert_eq!(count("countersign_lane_paused", &[("lane", "default")]), 0.0);
    assert_eq!(count("countersign_dead_letters", &[("lane", "default")]), 2.0, "one of three was discarded");
    assert_eq!(count("countersign_workers_alive", &[]), 1.0);
    assert_eq!(count("countersign_jobs_in_flight", &[("lane", "default")]), 4.0);
    let enqueued = |kind| count("countersign_jobs_enqueued_total", &[("kind", kind), ("lane", "default")]);
    assert_eq!([enqueued("failing"), enqueued("flaky"), enqueued("gated")], [3.0, 2.0, 12.0]);
    let finished =
        |kind, outcome| count("countersign_jobs_finished_total", &[("kind", kind), ("outcome", outcome)]);
    assert_eq!(finished("failing", "dead"), 3.0);
    assert_eq!(finished("flaky", "succeeded"), 2.0);
    assert_eq!(finished("gated", "expired"), 1.0, "an end by the sweep counts, too");
    assert_eq!(count("countersign_job_retries_total", &[("kind", "flaky")]), 2.0);
    assert_eq!(count("countersign_job_run_seconds_count", &[("kind", "flaky")]), 4.0);
    assert!(count("countersign_job_wait_seconds_count", &[("lane", "default")]) >= 12.0);

    gate.open();
    eventually(SOON, || async { db.counts().await.get("succeeded") == Some(&11) }).await;
    crew.leave(SOON).await;
    tender.stop().await;
    publish_stats(&queue).await.unwrap();
    let page = metrics.render();
    assert_eq!(value(&page, "countersign_workers_alive", &[]), Some(0.0));
    assert_eq!(value(&page, "countersign_queue_oldest_age_seconds", &[("lane", "default")]), Some(0.0));
}
