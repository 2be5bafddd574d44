//! A flood in `bulk` does not reach `critical`: its pick-up at p99 stays within twice of what it is when
//! nothing else is queued.
//!
//! Judged is the way from the acknowledgement to the claim, for that is what lanes are about; the commit
//! before it waits for a disk that the flood's completions use as well, and is told beside it. Quiet and
//! flooded stretches take turns, because a busy machine's noise is as large as what is measured: one pair
//! of stretches within the bound is enough, a starved lane would never have one.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use crate::figures::{ms, quantile, tell};
use crate::ledger::{count, pick_ups, verdict};
use crate::load::{Acknowledged, Door, Wish, pour};
use crate::stage::Stage;

const BULK_LEFT: &str = "SELECT count(*) FROM job WHERE lane = 'bulk'";
const PER_SECOND: u32 = 50;
/// Below this a p99 says more about the machine than about the queue.
const FLOOR: Duration = Duration::from_millis(50);
/// No critical job may wait this long, whatever the machine does.
const STARVED: Duration = Duration::from_secs(2);
const MOST_ROUNDS: usize = 3;
const LEAST_SAMPLES: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn critical_jobs_do_not_feel_a_flood_in_bulk() {
    let stage = Stage::shared().await;
    let pool = stage.db.superuser();
    let mut workers = [stage.fleet.worker("first").await, stage.fleet.worker("second").await];
    let queue = stage.db.queue().await;
    let critical = Critical { door: Door::Engine(queue.clone(), stage.org), wish: Wish::event(&stage) };
    let bulk = Wish::noop().in_lane("bulk");
    // Connections and caches are warmed by the first few.
    let mut acknowledged = critical.stretch(Duration::from_secs(1), async || false).await;

    let mut rounds = Vec::new();
    let mut holds = false;
    while !holds && rounds.len() < MOST_ROUNDS {
        let quiet = critical.stretch(stage.form.secs(4, 20), async || false).await;
        // The flood comes through the same door; beside its commits, critical ones are slower than the lanes are.
        let pouring = tokio::spawn({
            let (queue, org, bulk, count) =
                (queue.clone(), stage.org, bulk.clone(), stage.form.of(30_000, 100_000));
            async move { pour(&queue, org, &bulk, count).await }
        });
        let poured_beside = critical.stretch(Duration::from_secs(60), async || pouring.is_finished()).await;
        let flood = pouring.await.unwrap();
        let (left, began) = (count(pool, BULK_LEFT).await, Instant::now());
        let through = async || count(pool, BULK_LEFT).await == 0;
        let beside = critical.stretch(stage.form.secs(4, 25), through).await;
        let (left_then, took) = (count(pool, BULK_LEFT).await, began.elapsed());
        acknowledged.extend(quiet.iter().chain(&flood).chain(&poured_beside).chain(&beside));
        let judged = verdict(&stage, &acknowledged, stage.form.secs(60, 150)).await;

        let idle = PickUps::of(&stage, &quiet).await;
        let pouring = PickUps::of(&stage, &poured_beside).await;
        // A quick machine is through with the flood before many were asked for: then those beside its
        // pouring count as well.
        let few = beside.len() < LEAST_SAMPLES;
        let felt: Vec<Acknowledged> = poured_beside.iter().filter(|_| few).chain(&beside).copied().collect();
        assert!(felt.len() >= LEAST_SAMPLES, "only {} jobs were asked for beside the flood", felt.len());
        let flooded = PickUps::of(&stage, &felt).await;
        // The short form runs beside whatever else the machine does: it judges starving only and prints the
        // rest. The long form, which has the machine to itself, judges the ratio.
        let bound = (quantile(&idle.from_told, 0.99) * 2).max(stage.form.of(STARVED, FLOOR));
        holds = quantile(&flooded.from_told, 0.99) <= bound;
        let starved = quantile(&pouring.from_told, 1.0);
        assert!(starved < STARVED, "while the flood was poured, a critical job waited {starved:?}");
        let rate = f64::from(i32::try_from(left - left_then).unwrap()) / took.as_secs_f64();
        rounds.push(format!(
            "idle {}, while {} bulk jobs are poured {}, while they drain at {rate:.0}/s {}",
            idle.line(),
            flood.len(),
            pouring.line(),
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
    /// One caller's steady enqueues for `length`, or until it is `over`.
    async fn stretch(&self, length: Duration, over: impl AsyncFn() -> bool) -> Vec<Acknowledged> {
        let wish = self.wish.clone().in_lane("critical");
        let (began, refusals) = (Instant::now(), AtomicU64::new(0));
        let mut clock = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
        // Those that were late are not made up for: the rate stays what it is.
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Vec::new();
        while began.elapsed() < length && (told.len() % 10 != 9 || !over().await) {
            clock.tick().await;
            told.push(self.door.enqueue(&wish, &refusals).await);
        }
        told
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
