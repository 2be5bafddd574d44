//! One of three workers is killed under load: its running jobs start anew elsewhere within ten seconds.

use std::time::Duration;

use uuid::Uuid;

use crate::figures::{secs, tell};
use crate::ledger::{in_hand, now, starts, verdict};
use crate::load::{Door, Load, Wish};
use crate::stage::Stage;

const RESTARTED_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_workers_jobs_start_anew_within_ten_seconds() {
    let stage = Stage::shared().await;
    let pool = stage.db.superuser();
    let mut workers = Vec::new();
    for name in ["first", "second", "third"] {
        workers.push(stage.fleet.worker(name).await);
    }
    let (event, slow) = (Wish::event(&stage), Wish::slow(1500));
    let load = Load::start(Door::engine(&stage).await, stage.form.of(150, 250), move |n| match n % 10 {
        0..5 => event.clone(),
        5..8 => Wish::noop(),
        _ => slow.clone(),
    });

    let mut held_in_all = 0;
    let mut longest = Duration::ZERO;
    for round in 0..stage.form.of(1, 6) {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut victim = workers.remove(0);
        victim.kill().await;
        let killed_at = now(pool).await;
        let held = in_hand(pool, &victim.name).await;
        assert!(!held.is_empty(), "{} had nothing in hand: that proves nothing", victim.name);
        held_in_all += held.len();

        let waiting_since = tokio::time::Instant::now();
        loop {
            let started = starts(pool, &held).await;
            // A completion that was on its way when it died may still have come in.
            let settled: Vec<&(Uuid, _, String)> =
                started.iter().filter(|(_, at, name)| *at > killed_at || *name == victim.name).collect();
            let still_held = in_hand(pool, &victim.name).await;
            if settled.len() == held.len() && still_held.is_empty() {
                let latest = started.iter().map(|(_, at, _)| *at - killed_at).max().unwrap_or_default();
                longest = longest.max(latest.to_std().unwrap_or_default());
                break;
            }
            assert!(
                waiting_since.elapsed() < RESTARTED_WITHIN * 2,
                "{} of {} jobs started anew, {} still counted as its own",
                settled.len(),
                held.len(),
                still_held.len()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        workers.push(stage.fleet.worker(&format!("successor-{round}")).await);
    }
    let verdict = verdict(&stage, &load.stop().await, Duration::from_secs(30)).await;
    for worker in &mut workers {
        worker.leave(Duration::from_secs(20)).await;
    }
    tell(
        "1 of 3 workers killed",
        &format!(
            "{held_in_all} running jobs, the last started anew after {}; {}",
            secs(longest),
            verdict.line()
        ),
    );
    assert!(longest <= RESTARTED_WITHIN, "the last of its jobs started anew only after {longest:?}");
}
