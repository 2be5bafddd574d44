//! Ordinary ticks, days on which clocks change, jitter, and the running ticker.

use chrono::TimeDelta;
use domain::{Clock, JobState};
use queue::kind::KindBook;
use schedules::cadence::jitter;
use schedules::{Spec, Ticker};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, clock, eventually, job_id, last_sunday, this_year};

#[tokio::test]
async fn a_due_tick_becomes_one_job_with_the_policy_of_its_kind() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    let clock = clock(noon);
    let mut spec = Spec::new("hourly echo", "0 * * * *", "UTC");
    spec.priority = 5;
    let made = stage.schedule(&spec, noon).await;
    assert_eq!(made.next_tick_at, Some(noon + TimeDelta::hours(1)));
    assert_eq!(made.description, "every hour on the hour, UTC");
    let ticker = stage.ticker(&clock);

    clock.advance(TimeDelta::minutes(59));
    assert_eq!(ticker.round().await.unwrap().schedules, 0);
    clock.advance(TimeDelta::minutes(1));
    assert_eq!(ticker.round().await.unwrap().enqueued, 1);
    assert_eq!(ticker.round().await.unwrap().schedules, 0);
    // Dispatched at the commit: nobody sweeps here.
    eventually("the dispatcher has it", || async {
        stage.queue.dispatch().depth("default").await.unwrap() == 1
    })
    .await;

    let jobs = stage.jobs().await;
    assert_eq!(jobs.len(), 1);
    let (job, policy) = (&jobs[0], stage.registry.policy("system.echo", 1).unwrap());
    assert_eq!(
        job.idempotency_key,
        format!("schedule:{}@{}-06-01T13:00:00Z", made.schedule_id, &noon.to_string()[..4])
    );
    assert_eq!((job.kind.as_str(), job.lane.as_str(), job.priority), ("system.echo", policy.lane, 5));
    assert_eq!((job.max_attempts, job.state.as_str()), (policy.retry.max_attempts, "queued"));
    assert_eq!((job.org_id, job.actor_id), (stage.org.org_id.0, Some(stage.org.actor_id.0)));
    assert_eq!((&job.payload, job.run_at), (&json!({ "message": "tick" }), clock.now()));

    let seen = stage.get(made.schedule_id).await;
    assert_eq!(seen.last_tick_at, Some(clock.now()));
    assert_eq!(seen.next_tick_at, Some(clock.now() + TimeDelta::hours(1)));
    assert_eq!((seen.last_job_id, seen.last_job_state), (Some(job_id(job)), Some(JobState::Queued)));
    let next = seen.next_ticks(10, clock.now());
    assert_eq!(next.len(), 10);
    assert_eq!(Some(next[0].at), seen.next_tick_at);
}

#[tokio::test]
async fn a_lane_of_its_own_goes_before_the_kinds() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    let clock = clock(noon + TimeDelta::hours(1));
    let mut spec = Spec::new("bulk echo", "0 * * * *", "UTC");
    spec.lane = Some("bulk".into());
    stage.schedule(&spec, noon).await;
    stage.ticker(&clock).round().await.unwrap();
    assert_eq!(stage.jobs().await[0].lane, "bulk");
}

#[tokio::test]
async fn a_local_time_that_spring_skips_fires_once_after_the_gap() {
    let stage = Stage::new().await;
    let sunday = last_sunday(3);
    let clock = clock(sunday);
    let made = stage.schedule(&Spec::new("nightly", "30 2 * * *", "Europe/Madrid"), sunday).await;
    let ticker = stage.ticker(&clock);
    let mut fired = Vec::new();
    for _ in 0..36 * 4 {
        clock.advance(TimeDelta::minutes(15));
        if ticker.round().await.unwrap().enqueued > 0 {
            fired.push(clock.now());
        }
    }
    // 03:00 summer time on the day itself, 02:30 summer time on the next.
    let expected = [sunday + TimeDelta::hours(1), sunday + TimeDelta::minutes(24 * 60 + 30)];
    assert_eq!(fired, expected);
    assert_eq!(stage.ticks(made.schedule_id).await.len(), 2);
}

#[tokio::test]
async fn a_local_time_that_autumn_repeats_fires_on_its_first_showing_only() {
    let stage = Stage::new().await;
    let sunday = last_sunday(10);
    let clock = clock(sunday - TimeDelta::hours(1));
    let nightly = stage.schedule(&Spec::new("nightly", "30 2 * * *", "Europe/Madrid"), clock.now()).await;
    let hourly = stage.schedule(&Spec::new("hourly", "30 * * * *", "Europe/Madrid"), clock.now()).await;
    let ticker = stage.ticker(&clock);
    let mut fired = Vec::new();
    for _ in 0..5 * 4 {
        clock.advance(TimeDelta::minutes(15));
        ticker.round().await.unwrap();
        let seen = stage.get(nightly.schedule_id).await;
        if seen.last_tick_at == Some(clock.now()) {
            fired.push(clock.now());
        }
    }
    assert_eq!(fired, [sunday + TimeDelta::minutes(30)]);
    assert_eq!(stage.ticks(nightly.schedule_id).await.len(), 1);
    // Hourly work runs every real hour, the repeated one included.
    assert_eq!(stage.ticks(hourly.schedule_id).await.len(), 5);
}

#[tokio::test]
async fn jitter_delays_the_job_and_not_the_tick() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    let clock = clock(noon + TimeDelta::hours(1));
    let mut spec = Spec::new("spread", "0 * * * *", "UTC");
    spec.jitter_ms = 600_000;
    let made = stage.schedule(&spec, noon).await;
    stage.ticker(&clock).round().await.unwrap();
    let job = &stage.jobs().await[0];
    let delay = jitter(made.schedule_id.0, clock.now(), std::time::Duration::from_secs(600));
    assert_eq!(job.run_at, clock.now() + delay);
    assert!(job.idempotency_key.ends_with("T13:00:00Z"));
}

#[tokio::test]
async fn the_running_ticker_follows_the_machines_clock_until_it_is_stopped() {
    let metrics = telemetry::install_recorder().unwrap();
    let stage = Stage::new().await;
    let stop = CancellationToken::new();
    let ticker = Ticker::new(stage.queue.clone(), stage.registry.clone());
    let running = tokio::spawn(ticker.run(stop.clone()));
    let made = stage.schedule(&Spec::new("every second", "@every 1s", "UTC"), chrono::Utc::now()).await;
    eventually("three ticks", || async { stage.ticks(made.schedule_id).await.len() >= 3 }).await;
    let page = metrics.render();
    assert!(page.contains("countersign_schedule_lag_seconds "), "{page}");
    for outcome in ["enqueued", "duplicate", "skipped", "failed"] {
        assert!(
            page.contains(&format!("countersign_schedule_ticks_total{{outcome=\"{outcome}\"}}")),
            "{page}"
        );
    }
    let began = std::time::Instant::now();
    stop.cancel();
    running.await.unwrap();
    assert!(began.elapsed() < std::time::Duration::from_secs(2));
    let last = stage.get(made.schedule_id).await;
    assert!(last.last_tick_at.unwrap() > made.created_at);
}

#[tokio::test]
async fn schedules_of_one_minute_are_taken_in_bounded_rounds() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    let mut tx = stage.tx().await;
    for n in 0..300 {
        let spec = Spec::new(format!("schedule {n}"), "0 * * * *", "UTC");
        schedules::table::create(tx.conn(), stage.org.org_id, None, &spec, &stage.echo(), noon)
            .await
            .unwrap();
    }
    tx.commit_unrecorded("a test").await.unwrap();
    let ticker = stage.ticker(&clock(noon + TimeDelta::hours(1)));
    let (mut rounds, mut enqueued) = (0, 0);
    let began = std::time::Instant::now();
    while enqueued < 300 {
        let done = ticker.round().await.unwrap();
        assert!(done.schedules <= 64);
        enqueued += done.enqueued;
        rounds += 1;
    }
    println!("300 schedules of one minute in {rounds} rounds and {:?}", began.elapsed());
    assert_eq!((rounds, stage.jobs().await.len()), (5, 300));
}
