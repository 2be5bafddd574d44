//! Two organisations in one lane: the one with ten jobs does not wait for the one with its tens of thousands.

use std::time::{Duration, Instant};

use crate::figures::{ms, tell};
use crate::ledger::{count, verdict};
use crate::load::{Wish, pour};
use crate::stage::Stage;

const STARTED_WITHIN: Duration = Duration::from_secs(2);
const LEFT: &str = "SELECT count(*) FROM job WHERE kind = 'system.noop'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_jobs_do_not_wait_for_a_neighbours_tens_of_thousands() {
    let stage = Stage::shared().await;
    let pool = stage.db.superuser();
    let small = stage.db.org("small").await;
    let queue = stage.db.queue().await;
    let lane = "reports";
    let (big, few) = (Wish::noop().in_lane(lane), Wish::event(&stage).in_lane(lane));

    // Queued before anybody works, so that the lane is as full as can be when the ten come.
    let mut acknowledged = pour(&queue, stage.org, &big, stage.form.of(20_000, 100_000)).await;
    let mut workers = [stage.fleet.worker("first").await, stage.fleet.worker("second").await];
    let mut longest = Duration::ZERO;
    let mut left_at_last = 0;
    for _ in 0..stage.form.of(2, 5) {
        let asked = Instant::now();
        let ten = pour(&queue, small, &few, 10).await;
        while !ten.iter().all(|one| stage.receiver.delivered().contains_key(&one.job)) {
            assert!(asked.elapsed() < STARTED_WITHIN * 5, "the ten are still waiting");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let delivered = stage.receiver.delivered();
        longest =
            ten.iter().map(|one| delivered[&one.job].first - asked).max().unwrap_or_default().max(longest);
        left_at_last = count(pool, LEFT).await;
        assert!(left_at_last > 0, "the neighbour's jobs were through: that proves nothing");
        acknowledged.extend(ten);
    }
    let verdict = verdict(&stage, &acknowledged, stage.form.secs(60, 150)).await;
    for worker in &mut workers {
        worker.leave(Duration::from_secs(20)).await;
    }
    tell(
        "a big neighbour in the lane",
        &format!(
            "the last of ten events came {} after the call, with {left_at_last} of the neighbour's jobs still \
             before or behind them; {}",
            ms(longest),
            verdict.line()
        ),
    );
    assert!(longest <= STARTED_WITHIN, "the ten took {longest:?}");
}
