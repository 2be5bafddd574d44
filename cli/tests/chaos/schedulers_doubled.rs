//! Two schedulers, one of which is killed: every tick of a schedule becomes exactly one job.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use domain::JobId;
use schedules::{Spec, table};
use uuid::Uuid;

use crate::figures::{ms, tell};
use crate::ledger::verdict;
use crate::load::{Acknowledged, Wish};
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schedulers_fire_each_tick_once_also_when_one_is_killed() {
    let stage = Stage::shared().await;
    let mut worker = stage.fleet.worker("worker").await;
    let mut first = stage.fleet.scheduler("first").await;
    let mut second = stage.fleet.scheduler("second").await;
    let started = Instant::now();

    // Every tick counts: a machine that stalls for a while must not make it fewer.
    let mut spec = Spec::new("every second", "@every 1s", "UTC");
    spec.catch_up = "all".into();
    let work = Wish::event(&stage).job(stage.org);
    let mut connection = stage.db.connection().await;
    let schedule = table::create(&mut connection, stage.org, None, &spec, &work, Utc::now()).await.unwrap();
    tokio::time::sleep(stage.form.secs(4, 40)).await;
    first.kill().await;
    tokio::time::sleep(stage.form.secs(4, 40)).await;
    let mut third = stage.fleet.scheduler("third").await;
    tokio::time::sleep(stage.form.secs(3, 40)).await;
    table::pause(&mut connection, stage.org, schedule.schedule_id, Utc::now()).await.unwrap();

    let jobs = jobs_by_tick(&stage, &schedule.schedule_id.to_string()).await;
    let ticks: Vec<DateTime<Utc>> = jobs.keys().copied().collect();
    let gaps: Vec<_> = ticks.windows(2).filter(|pair| pair[1] - pair[0] != TimeDelta::seconds(1)).collect();
    assert!(gaps.is_empty(), "ticks are missing: {gaps:?}");
    let least = usize::try_from(stage.form.of(9, 110)).unwrap();
    assert!(ticks.len() >= least, "only {} ticks fired", ticks.len());
    assert!(jobs.values().all(|jobs| jobs.len() == 1), "a tick became several jobs: {jobs:?}");
    let latest = jobs.iter().map(|(tick, jobs)| jobs[0].1 - *tick).max().unwrap_or_default();

    let acknowledged: Vec<Acknowledged> = jobs
        .values()
        .flatten()
        .map(|(job, _)| Acknowledged {
            job: JobId(*job),
            delivers: true,
            asked: started,
            asked_at: Utc::now(),
            told: started,
        })
        .collect();
    let verdict = verdict(&stage, &acknowledged, Duration::from_secs(30)).await;
    for process in [&mut second, &mut third, &mut worker] {
        process.leave(Duration::from_secs(20)).await;
    }
    tell(
        "two schedulers, one killed",
        &format!(
            "{} ticks in a row, one job each, the latest {} after its tick; {}",
            ticks.len(),
            ms(latest.to_std().unwrap_or_default()),
            verdict.line()
        ),
    );
}

/// The jobs of each tick, by the tick that their key names, with the time they were made.
async fn jobs_by_tick(stage: &Stage, schedule: &str) -> BTreeMap<DateTime<Utc>, Vec<(Uuid, DateTime<Utc>)>> {
    let rows: Vec<(Uuid, DateTime<Utc>, String)> = sqlx::query_as(
        "SELECT job_id, created_at, idempotency_key FROM job WHERE idempotency_key LIKE $1
         UNION ALL SELECT job_id, created_at, idempotency_key FROM job_history WHERE idempotency_key LIKE $1",
    )
    .bind(format!("schedule:{schedule}@%"))
    .fetch_all(stage.db.superuser())
    .await
    .unwrap();
    let mut jobs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (job, made, key) in rows {
        let tick = key.split_once('@').unwrap().1.parse().unwrap();
        jobs.entry(tick).or_default().push((job, made));
    }
    jobs
}
