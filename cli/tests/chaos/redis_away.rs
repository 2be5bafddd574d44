//! Redis is stopped and comes back empty: enqueues are acknowledged all the while, over HTTP too.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use testkit::TestDb;

use crate::figures::{ms, quantile, secs, tell};
use crate::ledger::verdict;
use crate::load::{Door, Load, Wish};
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enqueues_are_acknowledged_while_redis_is_away_and_run_when_it_is_back_empty() {
    let (servers, stage) = Stage::own().await;
    let mut workers = [stage.fleet.worker("first").await, stage.fleet.worker("second").await];
    let (mut api, token) = stage.fleet.api().await;
    let event = Wish::event(&stage);
    let load =
        Load::start(Door::http(api.address(), token), stage.form.of(100, 200), move |n| match n % 10 {
            0..5 => event.clone(),
            5..9 => Wish::noop(),
            _ => Wish::slow(300),
        });
    tokio::time::sleep(Duration::from_secs(2)).await;

    let folder = redis_folder(&stage.db).await;
    servers.stop_redis().await.unwrap();
    let (gone, away) = (Instant::now(), stage.form.secs(5, 20));
    // What it had written is gone as well: the disk was lost with the machine.
    empty(&folder);
    tokio::time::sleep(away).await;
    let refusals = load.refusals();
    servers.start_redis().await.unwrap();
    let back = Instant::now();
    tokio::time::sleep(stage.form.secs(3, 10)).await;

    let acknowledged = load.stop().await;
    let meanwhile: Vec<_> = acknowledged.iter().filter(|one| one.asked > gone && one.asked < back).collect();
    let took: Vec<Duration> = meanwhile.iter().map(|one| one.told - one.asked).collect();
    let verdict = verdict(&stage, &acknowledged, Duration::from_secs(60)).await;
    let delivered = stage.receiver.delivered();
    let late =
        meanwhile.iter().filter_map(|one| delivered.get(&one.job)).map(|event| event.first - back).max();
    for process in workers.iter_mut().chain([&mut api]) {
        process.lives();
        process.leave(Duration::from_secs(20)).await;
    }
    tell(
        "Redis away and back empty",
        &format!(
            "away {}: {} enqueues acknowledged meanwhile, none refused, p99 {}; the last of their events delivered \
             {} after it was back; {}",
            secs(back - gone),
            meanwhile.len(),
            ms(quantile(&took, 0.99)),
            secs(late.unwrap_or_default()),
            verdict.line()
        ),
    );
    assert_eq!(refusals, 0, "an enqueue was refused while only Redis was away");
    assert!(meanwhile.len() > 50, "only {} enqueues while Redis was away", meanwhile.len());
    drop(stage);
    servers.stop().await;
}

async fn redis_folder(db: &TestDb) -> PathBuf {
    let (_, folder): (String, String) =
        redis::cmd("CONFIG").arg("GET").arg("dir").query_async(&mut db.redis().await).await.unwrap();
    PathBuf::from(folder)
}

/// Removes what the stopped server keeps. Only inside a folder that is plainly that of a server of ours.
fn empty(folder: &std::path::Path) {
    assert!(folder.starts_with(std::env::temp_dir()) && folder.ends_with("valkey"), "{}", folder.display());
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.unwrap();
    }
}
