//! FLUSHALL under load: what was queued is dispatched again from the ledger.

use std::time::{Duration, Instant};

use crate::figures::{secs, tell};
use crate::ledger::{count, verdict};
use crate::load::{Door, Load, Wish, pour};
use crate::stage::Stage;

const QUEUED: &str = "SELECT count(*) FROM job WHERE state = 'queued'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_loses_nothing() {
    let (servers, stage) = Stage::own().await;
    let pool = stage.db.superuser();
    let mut workers = [stage.fleet.worker("first").await, stage.fleet.worker("second").await];
    let event = Wish::event(&stage);
    let queue = stage.db.queue().await;
    let door = Door::Engine(queue.clone(), stage.org);
    let load = Load::start(door, stage.form.of(150, 250), move |n| match n % 10 {
        0..5 => event.clone(),
        5..9 => Wish::noop(),
        _ => Wish::slow(300),
    });
    // A lane that is behind, so that there is something to lose.
    let behind = Wish::slow(100).in_lane("reports");

    let mut acknowledged = Vec::new();
    let mut lost = 0;
    let mut longest = Duration::ZERO;
    for _ in 0..stage.form.of(3, 12) {
        acknowledged.extend(pour(&queue, stage.org, &behind, 300).await);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let in_redis = queue.dispatch().depth("reports").await.unwrap();
        assert!(in_redis > 0, "Redis held nothing: emptying it proves nothing");
        servers.flush_redis().await;
        let emptied = Instant::now();
        lost += in_redis;
        // Dispatched again: the lane goes on.
        while queue.dispatch().depth("reports").await.unwrap() == 0 && count(pool, QUEUED).await > 0 {
            assert!(emptied.elapsed() < Duration::from_secs(15), "nothing was dispatched again");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        longest = longest.max(emptied.elapsed());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    acknowledged.extend(load.stop().await);
    let verdict = verdict(&stage, &acknowledged, stage.form.secs(40, 90)).await;
    for worker in &mut workers {
        worker.leave(Duration::from_secs(20)).await;
    }
    tell(
        "FLUSHALL under load",
        &format!(
            "{lost} queued ids lost, dispatched again after at most {}; {}",
            secs(longest),
            verdict.line()
        ),
    );
    drop(stage);
    servers.stop().await;
}
