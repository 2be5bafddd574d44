//! Several schedulers at once.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{SubsecRound, TimeDelta, Utc};
use domain::Clock;
use schedules::{Spec, Ticker, TickerConfig};
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, clock, eventually, this_year};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_tickers_fire_each_of_two_hundred_ticks_once() {
    let stage = Stage::new().await;
    let start = Utc::now().trunc_subsecs(0) - TimeDelta::hours(1);
    let clock = clock(start);
    let mut made = Vec::new();
    for n in 0..3 {
        let mut spec = Spec::new(format!("every second {n}"), "* * * * * *", "UTC");
        spec.catch_up = "all".into();
        made.push(stage.schedule(&spec, start).await.schedule_id);
    }
    let stop = CancellationToken::new();
    let config =
        TickerConfig { longest_sleep: Duration::from_millis(1), batch: 2, ..TickerConfig::default() };
    let mut running = Vec::new();
    for queue in [stage.queue.clone(), stage.another_queue().await] {
        let ticker = Ticker::new(queue, stage.registry.clone()).with_clock(clock.clone()).with_config(config);
        running.push(tokio::spawn(ticker.run(stop.clone())));
    }
    for _ in 0..200 {
        clock.advance(TimeDelta::seconds(1));
        let now = clock.now();
        eventually("all schedules are past this tick", || async {
            let behind: i64 = sqlx::query_scalar("SELECT count(*) FROM schedule WHERE next_tick_at <= $1")
                .bind(now)
                .fetch_one(&stage.admin)
                .await
                .unwrap();
            behind == 0
        })
        .await;
    }
    stop.cancel();
    for ticker in running {
        ticker.await.unwrap();
    }
    let jobs = stage.jobs().await;
    assert_eq!(jobs.len(), 600);
    let keys: HashSet<_> = jobs.iter().map(|job| job.idempotency_key.as_str()).collect();
    assert_eq!(keys.len(), 600);
    let ledger: HashSet<_> = jobs.iter().map(|job| job.run_at).collect();
    let ticks: HashSet<_> = (1..=200).map(|n| start + TimeDelta::seconds(n)).collect();
    assert_eq!(ledger, ticks);
    for id in made {
        assert_eq!(stage.ticks(id).await.len(), 200);
        assert_eq!(stage.get(id).await.skipped_total, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rounds_at_the_same_moment_share_the_schedules() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    for n in 0..40 {
        stage.schedule(&Spec::new(format!("hourly {n}"), "0 * * * *", "UTC"), noon).await;
    }
    let clock = clock(noon + TimeDelta::hours(1));
    let mut rounds = Vec::new();
    for _ in 0..6 {
        let config = TickerConfig { batch: 7, ..TickerConfig::default() };
        let ticker = Ticker::new(stage.another_queue().await, stage.registry.clone());
        let ticker = ticker.with_clock(clock.clone()).with_config(config);
        rounds.push(tokio::spawn(async move { ticker.round().await.unwrap() }));
    }
    let (mut enqueued, mut duplicates) = (0, 0);
    for round in rounds {
        let done = round.await.unwrap();
        enqueued += done.enqueued;
        duplicates += done.duplicates;
    }
    // Six times seven is more than forty, but a round may find its seven locked and take none.
    while let done = stage.ticker(&clock).round().await.unwrap()
        && done.schedules > 0
    {
        enqueued += done.enqueued;
        duplicates += done.duplicates;
    }
    assert_eq!((enqueued, duplicates, stage.jobs().await.len()), (40, 0, 40));
}

#[tokio::test]
async fn a_tick_that_comes_again_finds_its_job() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    let clock = clock(noon + TimeDelta::hours(1));
    let made = stage.schedule(&Spec::new("hourly", "0 * * * *", "UTC"), noon).await;
    let other = stage.schedule(&Spec::new("other", "0 * * * *", "UTC"), noon).await;
    let ticker = stage.ticker(&clock);
    assert_eq!(ticker.round().await.unwrap().enqueued, 2);
    let job = stage.get(made.schedule_id).await.last_job_id;

    // As after a restored backup; with the other, the payload was edited since.
    sqlx::query("UPDATE schedule SET next_tick_at = $1, last_job_id = NULL")
        .bind(clock.now())
        .execute(&stage.admin)
        .await
        .unwrap();
    sqlx::query(r#"UPDATE schedule SET payload = '{"message":"new"}' WHERE schedule_id = $1"#)
        .bind(other.schedule_id.0)
        .execute(&stage.admin)
        .await
        .unwrap();
    let done = ticker.round().await.unwrap();
    assert_eq!((done.enqueued, done.duplicates, done.failed), (0, 2, 0));
    assert_eq!(stage.jobs().await.len(), 2);
    let seen = stage.get(made.schedule_id).await;
    assert_eq!((seen.last_job_id, seen.next_tick_at), (job, Some(clock.now() + TimeDelta::hours(1))));
}
