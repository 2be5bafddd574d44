//! PostgreSQL is restarted, and then killed, under load: no process of ours is restarted for it, and what
//! was acknowledged is there.

use std::time::{Duration, Instant};

use crate::figures::{ms, secs, tell};
use crate::ledger::verdict;
use crate::load::{Acknowledged, Door, Load, Wish};
use crate::stage::Stage;

/// Jobs whose claims the crash forgot must not wait for the ordinary sweep, twice as far away.
const DRAINED_WITHIN: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_comes_back_and_so_does_the_work() {
    let (servers, stage) = Stage::own().await;
    let mut workers = [stage.fleet.worker("first").await, stage.fleet.worker("second").await];
    let mut scheduler = stage.fleet.scheduler("scheduler").await;
    let (mut api, token) = stage.fleet.api().await;
    let event = Wish::event(&stage);
    let load =
        Load::start(Door::http(api.address(), token), stage.form.of(100, 200), move |n| match n % 10 {
            0..5 => event.clone(),
            5..9 => Wish::noop(),
            _ => Wish::slow(300),
        });

    let mut outages = Vec::new();
    for round in 0..stage.form.of(2, 8) {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let gone = Instant::now();
        if round % 2 == 0 {
            servers.restart_postgres().await.unwrap();
        } else {
            // A crash: what was committed without waiting for the disk is lost, what was acknowledged is not.
            servers.kill_postgres().await.unwrap();
            servers.ready().await.unwrap();
        }
        outages.push((gone, Instant::now()));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let refusals = load.refusals();
    let acknowledged = load.stop().await;
    let verdict = verdict(&stage, &acknowledged, Duration::from_secs(60)).await;
    for process in workers.iter_mut().chain([&mut scheduler, &mut api]) {
        process.lives();
        process.leave(Duration::from_secs(20)).await;
    }
    let longest = outages.iter().map(|(gone, back)| *back - *gone).max().unwrap_or_default();
    let resumed =
        outages.iter().map(|(_, back)| resumed_after(&acknowledged, *back)).max().unwrap_or_default();
    tell(
        "PostgreSQL restarted and killed",
        &format!(
            "{} outages of at most {}, {refusals} enqueues told to repeat, the first acknowledged {} after it was \
             back; {}",
            outages.len(),
            secs(longest),
            ms(resumed),
            verdict.line()
        ),
    );
    assert!(verdict.drained_in < DRAINED_WITHIN, "the last jobs took {:?}", verdict.drained_in);
    assert!(resumed < Duration::from_secs(5), "enqueues went on only {resumed:?} after PostgreSQL was back");
    drop(stage);
    servers.stop().await;
}

/// From `back` to the first acknowledgement after it.
fn resumed_after(acknowledged: &[Acknowledged], back: Instant) -> Duration {
    acknowledged.iter().filter(|one| one.told > back).map(|one| one.told - back).min().unwrap_or_default()
}
