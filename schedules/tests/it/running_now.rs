//! Runs outside the cadence.

use chrono::TimeDelta;
use domain::Clock;
use schedules::{Asked, ScheduleError, Spec, run_now, table};
use uuid::Uuid;

use crate::stage::{Stage, clock, ids, this_year};

#[tokio::test]
async fn a_run_by_hand_is_one_more_job_and_moves_no_tick() {
    let stage = Stage::new().await;
    let ((org, actor), noon) = (ids(&stage.org), this_year(6, 1, 12, 0));
    let mut spec = Spec::new("hourly", "0 * * * *", "UTC");
    spec.lane = Some("reports".into());
    let made = stage.schedule(&spec, noon).await;
    let asked = Asked { actor: Some(actor), request_id: Some("req-1".into()), run: Some(Uuid::now_v7()) };

    let mut tx = stage.tx().await;
    let ran = run_now(&stage.queue, &stage.registry, tx.conn(), org, made.schedule_id, asked.clone())
        .await
        .unwrap();
    tx.commit_unrecorded("a test").await.unwrap();
    stage.queue.announce(&ran.announce);
    assert!(ran.enqueued.created);
    let jobs = stage.jobs().await;
    let key = format!("schedule:{}@manual:{}", made.schedule_id, asked.run.unwrap());
    assert_eq!((jobs[0].idempotency_key.as_str(), jobs[0].lane.as_str()), (key.as_str(), "reports"));
    assert_eq!((jobs[0].state.as_str(), jobs[0].actor_id), ("queued", Some(actor.0)));

    // The same request again makes no second job.
    let mut tx = stage.tx().await;
    let again =
        run_now(&stage.queue, &stage.registry, tx.conn(), org, made.schedule_id, asked).await.unwrap();
    tx.commit_unrecorded("a test").await.unwrap();
    assert_eq!((again.enqueued.created, again.enqueued.job_id), (false, ran.enqueued.job_id));
    assert!(again.announce.is_empty());

    let seen = stage.get(made.schedule_id).await;
    assert_eq!((seen.last_job_id, seen.last_tick_at), (Some(ran.enqueued.job_id), None));
    assert_eq!(seen.next_tick_at, made.next_tick_at);
    let clock = clock(noon + TimeDelta::hours(1));
    assert_eq!(stage.ticker(&clock).round().await.unwrap().enqueued, 1);
    assert_eq!(stage.jobs().await.len(), 2);
}

#[tokio::test]
async fn a_run_that_is_rolled_back_never_was() {
    let stage = Stage::new().await;
    let made = stage.schedule(&Spec::new("hourly", "0 * * * *", "UTC"), this_year(6, 1, 12, 0)).await;
    let mut tx = stage.tx().await;
    run_now(&stage.queue, &stage.registry, tx.conn(), stage.org.org_id, made.schedule_id, Asked::default())
        .await
        .unwrap();
    drop(tx);
    assert!(stage.jobs().await.is_empty());
    assert_eq!(stage.get(made.schedule_id).await.last_job_id, None);
}

#[tokio::test]
async fn a_paused_schedule_runs_by_hand_and_stays_paused() {
    let stage = Stage::new().await;
    let (org, noon) = (stage.org.org_id, this_year(6, 1, 12, 0));
    let clock = clock(noon);
    let made = stage.schedule(&Spec::new("hourly", "0 * * * *", "UTC"), noon).await;
    let mut tx = stage.tx().await;
    table::pause(tx.conn(), org, made.schedule_id, clock.now()).await.unwrap();
    run_now(&stage.queue, &stage.registry, tx.conn(), org, made.schedule_id, Asked::default()).await.unwrap();
    tx.commit_unrecorded("a test").await.unwrap();
    assert_eq!(stage.jobs().await.len(), 1);
    assert!(stage.get(made.schedule_id).await.paused);
}

#[tokio::test]
async fn a_payload_that_no_longer_fits_is_told_field_by_field() {
    let stage = Stage::new().await;
    let made = stage.schedule(&Spec::new("hourly", "0 * * * *", "UTC"), this_year(6, 1, 12, 0)).await;
    sqlx::query("UPDATE schedule SET payload = '{}'").execute(&stage.admin).await.unwrap();
    let mut tx = stage.tx().await;
    let error = run_now(
        &stage.queue,
        &stage.registry,
        tx.conn(),
        stage.org.org_id,
        made.schedule_id,
        Asked::default(),
    )
    .await
    .unwrap_err();
    let ScheduleError::Payload(jobs::PrepareError::Invalid { errors, .. }) = error else { panic!("{error}") };
    assert_eq!(errors[0].pointer, "/message");
}
