//! Schedules that can't fire: they say why, keep their ticks, and stop nobody else.

use std::time::Duration;

use chrono::TimeDelta;
use domain::{Clock, Done, EffectClass, JobError};
use jobs::{Ctx, Job, Registry};
use schedules::{Patch, Spec, Ticker, table};
use serde_json::{Value, json};

use crate::stage::{Stage, clock, this_year};

#[tokio::test]
async fn an_unknown_kind_stops_nobody_else_and_fires_once_it_is_known() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    let clock = clock(noon + TimeDelta::hours(1));
    let wrong = stage.schedule(&Spec::new("wrong", "0 * * * *", "UTC"), noon).await;
    let right = stage.schedule(&Spec::new("right", "0 * * * *", "UTC"), noon).await;
    set_kind(&stage, wrong.schedule_id, "system.gone").await;
    let ticker = stage.ticker(&clock);
    let done = ticker.round().await.unwrap();
    assert_eq!((done.enqueued, done.failed), (1, 1));
    assert_eq!(stage.ticks(right.schedule_id).await.len(), 1);
    let seen = stage.get(wrong.schedule_id).await;
    let problem = seen.problem.unwrap();
    assert!(problem.message.contains("system.gone"), "{}", problem.message);
    assert_eq!((problem.at, problem.retry_at), (clock.now(), Some(clock.now() + TimeDelta::seconds(15))));
    assert_eq!(seen.next_tick_at, Some(clock.now()), "the tick is not lost");

    // Left alone for a while, then tried again: by now the program knows the kind.
    assert_eq!(ticker.round().await.unwrap().schedules, 0);
    set_kind(&stage, wrong.schedule_id, "system.echo").await;
    clock.advance(TimeDelta::seconds(16));
    assert_eq!(ticker.round().await.unwrap().enqueued, 1);
    let seen = stage.get(wrong.schedule_id).await;
    assert_eq!((seen.problem, seen.last_tick_at), (None, Some(noon + TimeDelta::hours(1))));
}

#[tokio::test]
async fn a_payload_that_no_longer_fits_fires_when_it_is_mended() {
    let stage = Stage::new().await;
    let (org, noon) = (stage.org.org_id, this_year(6, 1, 12, 0));
    let clock = clock(noon + TimeDelta::minutes(130));
    let made = stage.schedule(&Spec::new("hourly", "0 * * * *", "UTC"), noon).await;
    sqlx::query(r#"UPDATE schedule SET payload = '{"message":"private words","tone":"private tone"}'"#)
        .execute(&stage.admin)
        .await
        .unwrap();
    let ticker = stage.ticker(&clock);
    assert_eq!(ticker.round().await.unwrap().failed, 1);
    let problem = stage.get(made.schedule_id).await.problem.unwrap().message;
    assert!(problem.contains("/tone") && !problem.contains("private"), "{problem}");

    let mut tx = stage.tx().await;
    let failing = table::Filter { failing: Some(true), ..table::Filter::default() };
    assert_eq!(table::list(tx.conn(), org, &failing).await.unwrap().len(), 1);
    let work = stage.work("system.echo", &json!({ "message": "mended" }));
    let patch = Patch { work: Some(work), ..Patch::default() };
    let mended = table::update(tx.conn(), org, made.schedule_id, patch, clock.now()).await.unwrap();
    tx.commit_unrecorded("a test").await.unwrap();
    assert_eq!((mended.problem, mended.next_tick_at), (None, Some(noon + TimeDelta::hours(1))));
    // At once, and as its catch-up policy says: once for both ticks.
    let done = ticker.round().await.unwrap();
    assert_eq!((done.enqueued, done.skipped), (1, 1));
    assert_eq!(stage.jobs().await[0].payload, json!({ "message": "mended" }));
}

#[tokio::test]
async fn a_lane_that_is_gone_is_that_schedules_problem() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    let clock = clock(noon + TimeDelta::hours(1));
    let wrong = stage.schedule(&Spec::new("wrong", "0 * * * *", "UTC"), noon).await;
    for n in 0..5 {
        stage.schedule(&Spec::new(format!("right {n}"), "0 * * * *", "UTC"), noon).await;
    }
    sqlx::query("UPDATE schedule SET lane = 'gone' WHERE schedule_id = $1")
        .bind(wrong.schedule_id.0)
        .execute(&stage.admin)
        .await
        .unwrap();
    let done = stage.ticker(&clock).round().await.unwrap();
    assert_eq!((done.enqueued, done.failed), (5, 1));
    let problem = stage.get(wrong.schedule_id).await.problem.unwrap().message;
    assert!(problem.contains("gone") && problem.contains("critical"), "{problem}");
}

#[tokio::test]
async fn an_expression_or_zone_that_can_no_longer_be_read_is_shown_and_held() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    let clock = clock(noon + TimeDelta::hours(1));
    let made = stage.schedule(&Spec::new("wrong", "0 * * * *", "UTC"), noon).await;
    sqlx::query("UPDATE schedule SET zone = 'Atlantis/Capital'").execute(&stage.admin).await.unwrap();
    assert_eq!(stage.ticker(&clock).round().await.unwrap().failed, 1);
    let seen = stage.get(made.schedule_id).await;
    assert!(seen.description.contains("Atlantis/Capital"), "{}", seen.description);
    assert!(seen.problem.unwrap().message.contains("Atlantis/Capital"));
}

/// A kind whose own code is wrong.
#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Brittle {}

impl Job for Brittle {
    const KIND: &'static str = "system.brittle";
    const VERSION: i16 = 2;
    const SINCE: i16 = 1;
    const EFFECT: EffectClass = EffectClass::Read;
    const TIMEOUT: Duration = Duration::from_secs(1);
    const SUMMARY: &'static str = "Panics when an older payload is brought up to date.";

    fn upgrade(_: i16, _: Value) -> Option<Value> {
        panic!("a bug in an upgrade")
    }

    async fn run(self, _: &Ctx) -> Result<Done, JobError> {
        Ok(Done::default())
    }
}

#[tokio::test]
async fn a_kind_that_panics_over_a_payload_stops_nobody_else() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    let clock = clock(noon + TimeDelta::hours(1));
    let wrong = stage.schedule(&Spec::new("wrong", "0 * * * *", "UTC"), noon).await;
    stage.schedule(&Spec::new("right", "0 * * * *", "UTC"), noon).await;
    set_kind(&stage, wrong.schedule_id, Brittle::KIND).await;
    let mut registry = Registry::standard().unwrap();
    registry.add::<Brittle>().unwrap();
    let ticker = Ticker::new(stage.queue.clone(), registry.into()).with_clock(clock);
    let done = ticker.round().await.unwrap();
    assert_eq!((done.enqueued, done.failed), (1, 1));
    assert!(stage.get(wrong.schedule_id).await.problem.unwrap().message.contains("log"));
}

#[tokio::test]
async fn a_payload_of_a_version_that_is_not_known_is_held() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    let clock = clock(noon + TimeDelta::hours(1));
    let made = stage.schedule(&Spec::new("old", "0 * * * *", "UTC"), noon).await;
    sqlx::query("UPDATE schedule SET kind_version = 9").execute(&stage.admin).await.unwrap();
    assert_eq!(stage.ticker(&clock).round().await.unwrap().failed, 1);
    assert!(stage.get(made.schedule_id).await.problem.unwrap().message.contains("not 9"));
}

async fn set_kind(stage: &Stage, id: domain::ScheduleId, kind: &str) {
    sqlx::query("UPDATE schedule SET kind = $2 WHERE schedule_id = $1")
        .bind(id.0)
        .bind(kind)
        .execute(&stage.admin)
        .await
        .unwrap();
}
