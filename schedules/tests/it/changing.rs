//! Making, changing, listing and removing schedules.

use chrono::TimeDelta;
use domain::{Clock, ScheduleId, WorkspaceId};
use schedules::{Patch, ScheduleError, Spec, table};

use crate::stage::{Stage, clock, this_year};

fn fields(error: ScheduleError) -> Vec<&'static str> {
    match error {
        ScheduleError::Invalid(problems) => problems.iter().map(|wrong| wrong.field).collect(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_by_field() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    let bad = Spec {
        name: " ".into(),
        expression: "0 25 * * *".into(),
        zone: "Europe/Madird".into(),
        catch_up: "some".into(),
        jitter_ms: -1,
        priority: 101,
        ..Spec::new("", "", "")
    };
    let told = fields(stage.try_schedule(&bad, noon).await.unwrap_err());
    assert_eq!(told, ["name", "catch_up", "jitter_ms", "priority", "expression", "zone"]);

    let good = || Spec::new("good", "0 9 * * *", "Europe/Madrid");
    for (spec, field) in [
        (Spec { name: "n".repeat(101), ..good() }, "name"),
        (Spec { name: "a\nb".into(), ..good() }, "name"),
        (Spec { expression: "0 0 30 2 *".into(), ..good() }, "expression"),
        (Spec { jitter_ms: 86_400_001, ..good() }, "jitter_ms"),
        (Spec { lane: Some("motorway".into()), ..good() }, "lane"),
        (Spec { workspace_id: Some(WorkspaceId::new()), ..good() }, "workspace_id"),
    ] {
        let error = stage.try_schedule(&spec, noon).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("{field}: ")), "{error}");
        assert_eq!(fields(error), [field]);
    }
    stage.schedule(&Spec { name: "ñ".repeat(100), jitter_ms: 86_400_000, ..good() }, noon).await;
}

#[tokio::test]
async fn a_name_is_taken_once_in_an_organisation() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    let spec = Spec::new("daily report", "@daily", "UTC");
    stage.schedule(&spec, noon).await;
    let error = stage.try_schedule(&spec, noon).await.unwrap_err();
    assert!(matches!(&error, ScheduleError::NameTaken(name) if name == "daily report"), "{error}");
}

#[tokio::test]
async fn an_organisation_has_a_bounded_number_of_schedules() {
    let stage = Stage::new().await;
    let noon = this_year(6, 1, 12, 0);
    sqlx::query(
        "INSERT INTO schedule (schedule_id, org_id, name, kind, payload, expression, zone)
         SELECT gen_random_uuid(), $1, 's' || n, 'system.echo', '{}', '@daily', 'UTC'
         FROM generate_series(1, $2) AS n",
    )
    .bind(stage.org.org_id.0)
    .bind(table::MAX_PER_ORG)
    .execute(&stage.admin)
    .await
    .unwrap();
    let error = stage.try_schedule(&Spec::new("one more", "@daily", "UTC"), noon).await.unwrap_err();
    assert!(matches!(error, ScheduleError::TooMany { limit: table::MAX_PER_ORG }), "{error}");
    let mut tx = stage.tx().await;
    let all = table::list(tx.conn(), stage.org.org_id, &table::Filter::default()).await.unwrap();
    assert_eq!(i64::try_from(all.len()).unwrap(), table::MAX_PER_ORG);
}

#[tokio::test]
async fn a_changed_cadence_starts_anew_and_another_change_keeps_the_due_tick() {
    let stage = Stage::new().await;
    let (org, noon) = (stage.org.org_id, this_year(6, 1, 12, 0));
    let made = stage.schedule(&Spec::new("hourly", "0 * * * *", "UTC"), noon).await;
    let late = noon + TimeDelta::minutes(90);
    let mut tx = stage.tx().await;
    let patch = Patch { name: Some("renamed".into()), jitter_ms: Some(5), ..Patch::default() };
    let renamed = table::update(tx.conn(), org, made.schedule_id, patch, late).await.unwrap();
    assert_eq!((renamed.name.as_str(), renamed.jitter_ms, renamed.changed_at), ("renamed", 5, late));
    assert_eq!(renamed.next_tick_at, Some(noon + TimeDelta::hours(1)));

    let patch = Patch { expression: Some("15 * * * *".into()), ..Patch::default() };
    let moved = table::update(tx.conn(), org, made.schedule_id, patch, late).await.unwrap();
    assert_eq!(moved.next_tick_at, Some(noon + TimeDelta::minutes(135)));
    let patch = Patch { zone: Some("Asia/Kathmandu".into()), ..Patch::default() };
    let moved = table::update(tx.conn(), org, made.schedule_id, patch, late).await.unwrap();
    assert_eq!(moved.next_tick_at, Some(noon + TimeDelta::minutes(150)));

    let patch = Patch { lane: Some(Some("bulk".into())), ..Patch::default() };
    assert_eq!(
        table::update(tx.conn(), org, made.schedule_id, patch, late).await.unwrap().lane.unwrap(),
        "bulk"
    );
    let patch = Patch { lane: Some(None), ..Patch::default() };
    assert_eq!(table::update(tx.conn(), org, made.schedule_id, patch, late).await.unwrap().lane, None);
    let patch = Patch { expression: Some("@never".into()), ..Patch::default() };
    let error = table::update(tx.conn(), org, made.schedule_id, patch, late).await.unwrap_err();
    assert_eq!(fields(error), ["expression"]);
}

#[tokio::test]
async fn a_change_brings_no_fired_tick_back_even_when_the_schedulers_clock_is_ahead() {
    let stage = Stage::new().await;
    let (org, noon) = (stage.org.org_id, this_year(6, 1, 12, 0));
    let made = stage.schedule(&Spec::new("hourly", "0 * * * *", "UTC"), noon).await;
    let ahead = clock(noon + TimeDelta::minutes(60));
    stage.ticker(&ahead).round().await.unwrap();
    let mut tx = stage.tx().await;
    // By the caller's clock it is not yet one o'clock.
    let patch = Patch { expression: Some("0,30 * * * *".into()), ..Patch::default() };
    let now = ahead.now() - TimeDelta::seconds(5);
    let changed = table::update(tx.conn(), org, made.schedule_id, patch, now).await.unwrap();
    assert_eq!(changed.next_tick_at, Some(noon + TimeDelta::minutes(90)));
}

#[tokio::test]
async fn a_paused_schedule_can_be_changed_and_stays_paused() {
    let stage = Stage::new().await;
    let (org, noon) = (stage.org.org_id, this_year(6, 1, 12, 0));
    let made = stage.schedule(&Spec::new("hourly", "0 * * * *", "UTC"), noon).await;
    let mut tx = stage.tx().await;
    table::pause(tx.conn(), org, made.schedule_id, noon).await.unwrap();
    let patch = Patch { expression: Some("15 * * * *".into()), ..Patch::default() };
    let changed = table::update(tx.conn(), org, made.schedule_id, patch, noon).await.unwrap();
    assert_eq!((changed.paused, changed.next_tick_at), (true, None));
    let resumed = table::resume(tx.conn(), org, made.schedule_id, noon).await.unwrap();
    assert_eq!(resumed.next_tick_at, Some(noon + TimeDelta::minutes(15)));
}

#[tokio::test]
async fn lists_are_filtered_ordered_and_without_payloads() {
    let stage = Stage::new().await;
    let (org, noon) = (stage.org.org_id, this_year(6, 1, 12, 0));
    for name in ["weekly digest", "Backup", "daily report"] {
        stage.schedule(&Spec::new(name, "@daily", "UTC"), noon).await;
    }
    let mut paused = Spec::new("resting", "@daily", "UTC");
    paused.paused = true;
    stage.schedule(&paused, noon).await;
    let mut tx = stage.tx().await;
    let names = async |conn: &mut sqlx::PgConnection, filter: table::Filter| {
        let found = table::list(conn, org, &filter).await.unwrap();
        assert!(found.iter().all(|one| one.payload.is_none()));
        found.into_iter().map(|one| one.name).collect::<Vec<_>>()
    };
    let all = names(tx.conn(), table::Filter::default()).await;
    assert_eq!(all.len(), 4);
    let by = |text: &str| table::Filter { text: Some(text.into()), ..table::Filter::default() };
    assert_eq!(names(tx.conn(), by("DIGEST")).await, ["weekly digest"]);
    assert_eq!(names(tx.conn(), by("100%")).await, [""; 0]);
    assert_eq!(names(tx.conn(), by("system.ec")).await.len(), 4);
    let resting = table::Filter { paused: Some(true), ..table::Filter::default() };
    assert_eq!(names(tx.conn(), resting).await, ["resting"]);
    let other = table::Filter { kind: Some("system.noop".into()), ..table::Filter::default() };
    assert!(names(tx.conn(), other).await.is_empty());

    // What is shown never carries the payload by itself.
    let id = table::list(tx.conn(), org, &by("Backup")).await.unwrap()[0].schedule_id;
    let one = table::get(tx.conn(), org, id).await.unwrap();
    assert_eq!(one.payload.as_ref().unwrap().get(), r#"{"message":"tick"}"#);
    assert!(serde_json::to_value(&one).unwrap().get("payload").is_none());
}

#[tokio::test]
async fn a_removed_schedule_leaves_its_jobs_and_fires_no_more() {
    let stage = Stage::new().await;
    let (org, noon) = (stage.org.org_id, this_year(6, 1, 12, 0));
    let clock = clock(noon + TimeDelta::hours(1));
    let made = stage.schedule(&Spec::new("hourly", "0 * * * *", "UTC"), noon).await;
    let ticker = stage.ticker(&clock);
    ticker.round().await.unwrap();
    let mut tx = stage.tx().await;
    let gone = table::delete(tx.conn(), org, made.schedule_id).await.unwrap();
    tx.commit_unrecorded("a test").await.unwrap();
    assert_eq!(gone.schedule_id, made.schedule_id);
    clock.advance(TimeDelta::hours(3));
    assert_eq!(ticker.round().await.unwrap().schedules, 0);
    assert_eq!(stage.jobs().await.len(), 1);
    let mut tx = stage.tx().await;
    for id in [made.schedule_id, ScheduleId::new()] {
        assert!(matches!(table::get(tx.conn(), org, id).await, Err(ScheduleError::NotFound)));
        assert!(matches!(table::delete(tx.conn(), org, id).await, Err(ScheduleError::NotFound)));
    }
}
