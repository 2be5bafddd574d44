//! What the same machine does with apalis-postgres: callers that push one job at a time.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use apalis_core::backend::TaskSink;
use apalis_postgres::PostgresStorage;
use sqlx::PgPool;

use crate::rig::Rig;

/// Pushes `count` jobs of 200 bytes from `callers` loops; answers how long it took.
pub(crate) async fn push_loop(rig: &Rig, callers: usize, count: usize) -> Result<Duration> {
    let url = rig.servers.database_url("postgres", "postgres");
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(32).connect(&url).await?;
    PostgresStorage::setup(&pool).await?;
    sqlx::query("TRUNCATE apalis.jobs").execute(&pool).await?;
    let started = Instant::now();
    let mut loops = tokio::task::JoinSet::new();
    for _ in 0..callers {
        loops.spawn(push(pool.clone(), count / callers));
    }
    while let Some(done) = loops.join_next().await {
        done??;
    }
    let took = started.elapsed();
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM apalis.jobs").fetch_one(&pool).await?;
    ensure!(
        usize::try_from(stored).is_ok_and(|stored| stored == count / callers * callers),
        "{stored} stored"
    );
    Ok(took)
}

async fn push(pool: PgPool, count: usize) -> Result<()> {
    let mut storage: PostgresStorage<String> = PostgresStorage::new(&pool);
    for _ in 0..count {
        storage.push("x".repeat(200)).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    }
    Ok(())
}
