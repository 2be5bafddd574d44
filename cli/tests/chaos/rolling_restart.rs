//! Workers are replaced one after the other, by SIGTERM, under load: nothing is lost and nothing runs twice.

use std::time::Duration;

use crate::figures::{secs, tell};
use crate::ledger::{count, verdict};
use crate::load::{Door, Load, Wish};
use crate::stage::Stage;

/// Jobs that needed a second start for any reason but being handed back before their first.
const RUN_TWICE: &str = "SELECT count(*) FROM job_history WHERE attempt <> 1 OR recoveries <> 0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_nothing_and_runs_nothing_twice() {
    let stage = Stage::shared().await;
    let mut workers = Vec::new();
    for name in ["first", "second", "third"] {
        workers.push(stage.fleet.worker(name).await);
    }
    let event = Wish::event(&stage);
    let load = Load::start(Door::engine(&stage).await, stage.form.of(200, 400), move |n| match n % 10 {
        0..6 => event.clone(),
        6..9 => Wish::noop(),
        _ => Wish::slow(700),
    });
    let restarts = stage.form.of(6, 40);
    let mut longest = Duration::ZERO;
    for number in 0..restarts {
        tokio::time::sleep(Duration::from_millis(700)).await;
        workers.push(stage.fleet.worker(&format!("successor-{number}")).await);
        longest = longest.max(workers.remove(0).leave(Duration::from_secs(25)).await);
    }
    let verdict = verdict(&stage, &load.stop().await, Duration::from_secs(30)).await;
    for worker in &mut workers {
        worker.leave(Duration::from_secs(20)).await;
    }
    let twice = count(stage.db.superuser(), RUN_TWICE).await;
    let lost_workers = count(stage.db.superuser(), "SELECT count(*) FROM worker WHERE state = 'lost'").await;
    tell(
        "rolling restart by SIGTERM",
        &format!("{restarts} workers replaced, the slowest left in {}; {}", secs(longest), verdict.line()),
    );
    assert_eq!((verdict.repeats, twice), (0, 0), "events delivered twice, jobs started twice");
    assert_eq!(lost_workers, 0, "a worker that left in good order counts as lost");
}
