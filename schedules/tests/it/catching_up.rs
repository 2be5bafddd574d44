//! Ticks that were missed while no scheduler ran, or while the schedule was paused.

use chrono::{DateTime, TimeDelta, Utc};
use domain::Clock;
use schedules::tick::Round;
use schedules::{Schedule, Spec, table};

use crate::stage::{Stage, clock, this_year};

/// Hourly, made at noon; the scheduler is back at half past five.
async fn after_five_hours(stage: &Stage, catch_up: &str) -> (Schedule, Round) {
    let noon = this_year(6, 1, 12, 0);
    let mut spec = Spec::new(format!("hourly {catch_up}"), "0 * * * *", "UTC");
    spec.catch_up = catch_up.into();
    let made = stage.schedule(&spec, noon).await;
    let back = clock(noon + TimeDelta::minutes(5 * 60 + 30));
    let done = stage.ticker(&back).round().await.unwrap();
    (stage.get(made.schedule_id).await, done)
}

fn hours(ticks: &[String]) -> Vec<&str> {
    ticks.iter().map(|tick| &tick[11..13]).collect()
}

#[tokio::test]
async fn skip_gives_missed_ticks_up_and_says_so() {
    let stage = Stage::new().await;
    let (seen, done) = after_five_hours(&stage, "skip").await;
    assert_eq!((done.enqueued, done.skipped), (0, 5));
    assert!(stage.jobs().await.is_empty());
    assert_eq!((seen.last_tick_at, seen.skipped_total), (None, 5));
    assert_eq!(seen.last_skipped_at, Some(this_year(6, 1, 17, 0)));
    assert_eq!(seen.next_tick_at, Some(this_year(6, 1, 18, 0)));
}

#[tokio::test]
async fn one_runs_once_for_all_that_was_missed() {
    let stage = Stage::new().await;
    let (seen, done) = after_five_hours(&stage, "one").await;
    assert_eq!((done.enqueued, done.skipped), (1, 4));
    assert_eq!(hours(&stage.ticks(seen.schedule_id).await), ["17"]);
    assert_eq!((seen.last_tick_at, seen.skipped_total), (Some(this_year(6, 1, 17, 0)), 4));
}

#[tokio::test]
async fn all_runs_each_missed_tick_in_order() {
    let stage = Stage::new().await;
    let (seen, done) = after_five_hours(&stage, "all").await;
    assert_eq!((done.enqueued, done.skipped), (5, 0));
    assert_eq!(hours(&stage.ticks(seen.schedule_id).await), ["13", "14", "15", "16", "17"]);
    let run_at: Vec<DateTime<Utc>> = stage.jobs().await.iter().map(|job| job.run_at).collect();
    assert!(run_at.is_sorted() && run_at[0] == this_year(6, 1, 13, 0));
}

#[tokio::test]
async fn ticks_that_pass_while_a_schedule_is_paused_never_fire() {
    let stage = Stage::new().await;
    let (org, noon) = (stage.org.org_id, this_year(6, 1, 12, 0));
    let clock = clock(noon);
    let mut spec = Spec::new("hourly", "0 * * * *", "UTC");
    spec.catch_up = "all".into();
    let made = stage.schedule(&spec, noon).await;
    let ticker = stage.ticker(&clock);

    clock.advance(TimeDelta::hours(1));
    ticker.round().await.unwrap();
    let mut tx = stage.tx().await;
    let paused = table::pause(tx.conn(), org, made.schedule_id, clock.now()).await.unwrap();
    tx.commit_unrecorded("a test").await.unwrap();
    assert_eq!((paused.paused, paused.next_tick_at), (true, None));
    assert!(paused.next_ticks(10, clock.now()).is_empty());

    clock.advance(TimeDelta::minutes(200));
    assert_eq!(ticker.round().await.unwrap().schedules, 0);
    let mut tx = stage.tx().await;
    let resumed = table::resume(tx.conn(), org, made.schedule_id, clock.now()).await.unwrap();
    // Again says the same and moves nothing.
    let again =
        table::resume(tx.conn(), org, made.schedule_id, clock.now() + TimeDelta::hours(9)).await.unwrap();
    tx.commit_unrecorded("a test").await.unwrap();
    assert_eq!(resumed.next_tick_at, Some(this_year(6, 1, 17, 0)));
    assert_eq!(again.next_tick_at, resumed.next_tick_at);

    assert_eq!(ticker.round().await.unwrap().schedules, 0);
    clock.advance(TimeDelta::minutes(40));
    assert_eq!(ticker.round().await.unwrap().enqueued, 1);
    assert_eq!(hours(&stage.ticks(made.schedule_id).await), ["13", "17"]);
    assert_eq!(stage.get(made.schedule_id).await.skipped_total, 0);
}

#[tokio::test]
async fn a_schedule_made_paused_waits_for_its_resume() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    let mut spec = Spec::new("later", "0 * * * *", "UTC");
    spec.paused = true;
    let made = stage.schedule(&spec, noon).await;
    assert_eq!(made.next_tick_at, None);
    let ticker = stage.ticker(&clock(noon + TimeDelta::hours(7)));
    assert_eq!(ticker.round().await.unwrap().schedules, 0);
}
