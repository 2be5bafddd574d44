//! PostgreSQL going away and coming back under a running ticker.

use chrono::{TimeDelta, Utc};
use schedules::{Spec, Ticker};
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ticker_outlives_a_restart_of_postgresql_and_misses_no_tick() {
    let servers = embedded::Servers::start(embedded::Options::temporary().unwrap()).await.unwrap();
    let stage = Stage::on(servers.database_url("postgres", "postgres"), servers.redis_url(), None).await;
    let mut spec = Spec::new("every second", "@every 1s", "UTC");
    spec.catch_up = "all".into();
    let made = stage.schedule(&spec, Utc::now()).await;
    let stop = CancellationToken::new();
    let ticker = Ticker::new(stage.queue.clone(), stage.registry.clone());
    let running = tokio::spawn(ticker.run(stop.clone()));
    eventually("a first tick", || async { !stage.ticks(made.schedule_id).await.is_empty() }).await;

    servers.stop_postgres().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    servers.start_postgres().await.unwrap();
    let back = Utc::now();
    eventually("a tick after the restart", || async {
        let found: Result<Option<chrono::DateTime<Utc>>, _> =
            sqlx::query_scalar("SELECT last_tick_at FROM schedule").fetch_one(&stage.admin).await;
        found.is_ok_and(|tick| tick.is_some_and(|tick| tick > back + TimeDelta::seconds(1)))
    })
    .await;
    assert!(!running.is_finished());
    stop.cancel();
    running.await.unwrap();

    let first = made.next_tick_at.unwrap();
    let last = stage.get(made.schedule_id).await.last_tick_at.unwrap();
    let ticks = stage.ticks(made.schedule_id).await;
    let expected = (last - first).num_seconds() + 1;
    assert_eq!(i64::try_from(ticks.len()).unwrap(), expected, "{ticks:?}");
    drop(stage);
    servers.stop().await.unwrap();
}
