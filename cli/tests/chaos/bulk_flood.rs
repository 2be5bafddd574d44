//! A flood in `bulk` does not reach `critical`: its pick-up at p99 stays within twice of what it is when
//! nothing else is queued.
//!
//! Judged is the way from the acknowledgement to the claim, for that is what lanes are about; the commit
//! before it waits for a disk that the flood's completions use as well, and is told beside it. Quiet and
//! flooded stretches take turns, because a busy machine's noise is as large as what is measured: one pair
//! of stretches within the bound is enough, a starved lane would never have one.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use testkit::eventually;

use crate::figures::{ms, quantile, tell};
use crate::ledger::{count, pick_ups, verdict};
use crate::load::{Acknowledged, Door, Wish, pour};
use crate::stage::Stage;

const BULK_LEFT: &str = "SELECT count(*) FROM job WHERE lane = 'bulk'";
const PER_SECOND: u32 = 50;
/// Below this a p99 says more about the machine than about the queue.
const FLOOR: Duration = Duration::from_millis(50);
const MOST_ROUNDS: usize = 3;
const LEAST_SAMPLES: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn critical_jobs_do_not_feel_a_flood_in_bulk() {
    let stage = Stage::shared().await;
    let pool = stage.db.superuser();
    let mut workers = [stage.fleet.worker("first").await, stage.fleet.worker("second").await];
    let queue = stage.db.queue().await;
    let critical = Critical { door: Door::Engine(queue.clone(), stage.org), wish: Wish::event(&stage) };
    let bulk = Wish::noop().in_lane("bulk");
    // Connections and caches are warmed by the first few.
    let mut acknowledged = critical.stretch(Duration::from_secs(1), &stage).await.0;

    let mut rounds = Vec::new();
    let mut holds = false;
    while !holds && rounds.len() < MOST_ROUNDS {
        let (quiet, _) = critical.stretch(stage.form.secs(4, 20), &stage).await;
        // The flood comes through the same door, and is still being poured when the first of them do.
        let pouring = tokio::spawn({
            let (queue, org, bulk, count) =
                (queue.clone(), stage.org, bulk.clone(), stage.form.of(20_000, 100_000));
            async move { pour(&queue, org, &bulk, count).await }
        });
        eventually(Duration::from_secs(10), || async { count(pool, BULK_LEFT).await > 0 }).await;
        let began = Instant::now();
        let (beside, left) = critical.stretch(stage.form.secs(5, 30), &stage).await;
        let took = began.elapsed();
        assert!(beside.len() >= LEAST_SAMPLES, "the flood was over after {} jobs", beside.len());
        let flood = pouring.await.unwrap();
        let drained = i32::try_from(flood.len()).unwrap() - i32::try_from(left).unwrap();
        let rate = f64::from(drained) / took.as_secs_f64();
        acknowledged.extend(quiet.iter().chain(&flood).chain(&beside));
        let judged = verdict(&stage, &acknowledged, stage.form.secs(60, 150)).await;

        let (idle, flooded) = (PickUps::of(&stage, &quiet).await, PickUps::of(&stage, &beside).await);
        let bound = (quantile(&idle.from_told, 0.99) * 2).max(FLOOR);
        holds = quantile(&flooded.from_told, 0.99) <= bound;
        let bulk_jobs = flood.len();
        rounds.push(format!(
            "idle {}, beside {bulk_jobs} bulk jobs at {rate:.0}/s {}",
            idle.line(),
            flooded.line()
        ));
        if holds || rounds.len() == MOST_ROUNDS {
            let told = rounds.join("; again: ");
            tell("a flood in bulk beside critical", &format!("pick-up p50/p99 {told}; {}", judged.line()));
        }
    }
    for worker in &mut workers {
        worker.leave(Duration::from_secs(20)).await;
    }
    assert!(holds, "critical felt the flood each time, at p99 more than twice idle: {rounds:?}");
}

struct Critical {
    door: Door,
    wish: Wish,
}

impl Critical {
    /// One caller's steady enqueues for `length`, and how many bulk jobs were left; ends early when a
    /// flood that was there is through.
    async fn stretch(&self, length: Duration, stage: &Stage) -> (Vec<Acknowledged>, i64) {
        let wish = self.wish.clone().in_lane("critical");
        let (began, refusals) = (Instant::now(), AtomicU64::new(0));
        let mut clock = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
        let mut told = Vec::new();
        let mut left = count(stage.db.superuser(), BULK_LEFT).await;
        let flooded = left > 0;
        while began.elapsed() < length && (left > 0 || !flooded) {
            clock.tick().await;
            told.push(self.door.enqueue(&wish, &refusals).await);
            if flooded && told.len() % 25 == 0 {
                left = count(stage.db.superuser(), BULK_LEFT).await;
            }
        }
        (told, left)
    }
}

/// How long jobs waited to be claimed.
struct PickUps {
    from_call: Vec<Duration>,
    from_told: Vec<Duration>,
}

impl PickUps {
    async fn of(stage: &Stage, acknowledged: &[Acknowledged]) -> Self {
        let from_call = pick_ups(stage.db.superuser(), acknowledged).await;
        let commits = acknowledged.iter().map(|one| one.told - one.asked);
        // A job may be claimed before its caller hears that it is there.
        let from_told =
            from_call.iter().zip(commits).map(|(wait, commit)| wait.saturating_sub(commit)).collect();
        Self { from_call, from_told }
    }

    fn line(&self) -> String {
        let (told, call) = (&self.from_told, &self.from_call);
        let of = |samples: &[Duration]| {
            format!("{} / {}", ms(quantile(samples, 0.5)), ms(quantile(samples, 0.99)))
        };
        format!("{} (with the commit {}; {} jobs)", of(told), of(call), told.len())
    }
}
