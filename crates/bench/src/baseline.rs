//! What the same machine does with apalis-postgres: callers that push one job at a time.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use apalis_core::backend::TaskSink;
use apalis_postgres::PostgresStorage;
use sqlx::PgPool;

use crate::rig::Rig;

/// The table that its `push` writes to, with the indexes and the trigger of its last migration. Its own
/// set-up can't be run here: an early migration asks for pgcrypto, which the embedded PostgreSQL lacks.
const SCHEMA: &str = "
CREATE SCHEMA IF NOT EXISTS apalis;
CREATE EXTENSION IF NOT EXISTS hstore;
DROP TABLE IF EXISTS apalis.jobs;
CREATE TABLE apalis.jobs (
    id text NOT NULL, job_type text NOT NULL, job bytea NOT NULL, status text NOT NULL,
    attempts integer NOT NULL, max_attempts integer NOT NULL, run_at timestamptz NOT NULL,
    last_result jsonb, lock_at timestamptz, lock_by text, done_at timestamptz,
    priority integer, metadata hstore, idempotency_key text
);
CREATE UNIQUE INDEX ON apalis.jobs (id);
CREATE INDEX ON apalis.jobs (lock_by);
CREATE INDEX ON apalis.jobs (job_type, priority DESC, run_at)
    WHERE status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts);
CREATE UNIQUE INDEX ON apalis.jobs (job_type, idempotency_key);
CREATE OR REPLACE FUNCTION apalis.tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.run_at <= now() THEN
        PERFORM pg_notify('apalis::job::insert',
                          json_build_object('job_type', NEW.job_type, 'id', NEW.id)::text);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER tell AFTER INSERT ON apalis.jobs FOR EACH ROW EXECUTE FUNCTION apalis.tell();
";

/// Pushes `count` jobs of 200 bytes from `callers` loops; answers how long it took.
pub(crate) async fn push_loop(rig: &Rig, callers: usize, count: usize) -> Result<Duration> {
    let url = rig.servers.database_url("postgres", "postgres");
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(32).connect(&url).await?;
    sqlx::raw_sql(SCHEMA).execute(&pool).await?;
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
