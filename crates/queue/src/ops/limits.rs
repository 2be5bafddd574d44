//! Rate limits as data: listing, setting, removing.

use chrono::{DateTime, Utc};
use domain::OrgId;
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{After, reach};
use crate::error::OpsError;

/// One rate.
#[derive(Clone, Debug, FromRow)]
pub struct LimitView {
    /// Its id.
    pub rate_limit_id: Uuid,
    /// Whose it is; none for the platform's default.
    pub org_id: Option<Uuid>,
    /// Name, such as `webhooks.endpoint`.
    pub name: String,
    /// Bucket it is for; `*` for every bucket of the name.
    pub key: String,
    /// Units each period.
    pub units: i32,
    /// Length of the period in milliseconds.
    pub period_ms: i64,
    /// Units that may come at once.
    pub burst: i32,
    /// When it was last changed.
    pub changed_at: DateTime<Utc>,
    /// Jobs that wait for it now.
    pub waiting: i64,
}

/// What to set, or what is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct LimitSpec {
    /// Name, 1 … 100 bytes of `a-z0-9._-`.
    pub name: String,
    /// Bucket, or `*`.
    pub key: String,
    /// Units each period, at least 1.
    pub units: i32,
    /// Length of the period in milliseconds, up to 31 days.
    pub period_ms: i64,
    /// Units that may come at once, at least 1.
    pub burst: i32,
}

/// The rates an organisation can see, its own and the platform's, with its own jobs that wait. Without an
/// organisation the platform's rates, with everybody's jobs that wait: that needs the engine's role.
///
/// # Errors
/// [`OpsError::Queue`].
pub async fn list(connection: &mut PgConnection, org: Option<OrgId>) -> Result<Vec<LimitView>, OpsError> {
    Ok(sqlx::query_as(
        "SELECT r.rate_limit_id, r.org_id, r.name, r.key, r.units, r.period_ms, r.burst, r.changed_at,
                (SELECT count(*) FROM job_wait w WHERE ($1::uuid IS NULL OR w.org_id = $1) AND w.what = 'limit'
                 AND (w.key = r.name || ':' || r.key
                      OR (r.key = '*' AND starts_with(w.key, r.name || ':')))) AS waiting
         FROM rate_limit r WHERE r.org_id = $1 OR r.org_id IS NULL
         ORDER BY r.name, r.key, r.org_id NULLS LAST LIMIT 1000",
    )
    .bind(org.map(|org| org.0))
    .fetch_all(connection)
    .await?)
}

/// The rate an owner has for exactly this name and key.
///
/// # Errors
/// [`OpsError::Queue`].
pub async fn named(
    connection: &mut PgConnection,
    org: Option<OrgId>,
    name: &str,
    key: &str,
) -> Result<Option<LimitSpec>, OpsError> {
    Ok(sqlx::query_as(
        "SELECT name, key, units, period_ms, burst FROM rate_limit
         WHERE org_id IS NOT DISTINCT FROM $1 AND name = $2 AND key = $3",
    )
    .bind(org.map(|org| org.0))
    .bind(name)
    .bind(key)
    .fetch_optional(connection)
    .await?)
}

/// The rate with this id, if it is this owner's.
///
/// # Errors
/// [`OpsError::Queue`].
pub async fn of_id(
    connection: &mut PgConnection,
    org: Option<OrgId>,
    id: Uuid,
) -> Result<Option<LimitSpec>, OpsError> {
    Ok(sqlx::query_as(
        "SELECT name, key, units, period_ms, burst FROM rate_limit
         WHERE org_id IS NOT DISTINCT FROM $1 AND rate_limit_id = $2",
    )
    .bind(org.map(|org| org.0))
    .bind(id)
    .fetch_optional(connection)
    .await?)
}

/// Sets a rate. Jobs that wait for it are asked again at once, in their order, under the new rate.
///
/// # Errors
/// [`OpsError::Invalid`] naming the field.
pub async fn put(
    connection: &mut PgConnection,
    org: Option<OrgId>,
    spec: &LimitSpec,
) -> Result<(Uuid, After), OpsError> {
    check(spec)?;
    let id = sqlx::query_scalar(
        "INSERT INTO rate_limit (rate_limit_id, org_id, name, key, units, period_ms, burst)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT ON CONSTRAINT rate_limit_unique
         DO UPDATE SET units = $5, period_ms = $6, burst = $7, changed_at = now()
         RETURNING rate_limit_id",
    )
    .bind(Uuid::now_v7())
    .bind(org.map(|org| org.0))
    .bind(&spec.name)
    .bind(&spec.key)
    .bind(spec.units)
    .bind(spec.period_ms)
    .bind(spec.burst)
    .fetch_one(&mut *connection)
    .await?;
    ask_again(connection, org, &spec.name, &spec.key).await?;
    Ok((id, After { settings: true, ..After::default() }))
}

/// Takes one of the organisation's rates away, or without an organisation one of the platform's (which needs
/// the engine's role); the next more general one applies.
///
/// # Errors
/// [`OpsError::NotFound`].
pub async fn delete(connection: &mut PgConnection, org: Option<OrgId>, id: Uuid) -> Result<After, OpsError> {
    let gone: Option<(String, String)> = sqlx::query_as(
        "DELETE FROM rate_limit WHERE rate_limit_id = $1 AND org_id IS NOT DISTINCT FROM $2
         RETURNING name, key",
    )
    .bind(id)
    .bind(org.map(|org| org.0))
    .fetch_optional(&mut *connection)
    .await?;
    let (name, key) = gone.ok_or(OpsError::NotFound("limit"))?;
    let lines = ask_again(connection, org, &name, &key).await?;
    // Nobody draws on these any more: should the rate come back, nobody stands behind them.
    let forgotten_lines = lines.into_iter().map(|(org, key)| format!("{org}:{key}")).collect();
    Ok(After { settings: true, forgotten_lines, ..After::default() })
}

/// Everybody in the line becomes due now, in the line's order, and takes a place in a new drawing of it:
/// the places of the old one were told at the old rate. Answers the lines: organisation and key.
async fn ask_again(
    connection: &mut PgConnection,
    org: Option<OrgId>,
    name: &str,
    key: &str,
) -> Result<Vec<(Uuid, String)>, OpsError> {
    // A rate is the whole organisation's, whichever rooms the one who changes it sees.
    let view = reach::widen(connection).await?;
    let lines = sqlx::query_as(
        "WITH line AS (
             SELECT job_id, row_number() OVER (ORDER BY due_at, job_id) AS place FROM job_wait
             WHERE what = 'limit' AND ($1::uuid IS NULL OR org_id = $1)
               AND (key = $2 || ':' || $3 OR ($3 = '*' AND starts_with(key, $2 || ':')))
         ), due AS (
             UPDATE job_wait w SET due_at = now() - interval '1 s' + line.place * interval '1 microsecond',
                    detail = json_build_object('drawing', $4, 'draws', coalesce(detail -> 'draws', detail))
             FROM line WHERE w.job_id = line.job_id AND w.what = 'limit' AND w.detail IS NOT NULL
             RETURNING w.org_id, w.key
         ) SELECT DISTINCT org_id, key FROM due",
    )
    .bind(org.map(|org| org.0))
    .bind(name)
    .bind(key)
    .bind(Uuid::now_v7().simple().to_string())
    .fetch_all(&mut *connection)
    .await?;
    reach::narrow(connection, view).await?;
    Ok(lines)
}

/// Whether a rate can be kept as it stands; [`put`] asks the same.
///
/// # Errors
/// [`OpsError::Invalid`] with the field.
pub fn check(spec: &LimitSpec) -> Result<(), OpsError> {
    let invalid = |field, problem: &str| Err(OpsError::Invalid { field, problem: problem.into() });
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    if spec.name.is_empty() || spec.name.len() > 100 || !spec.name.chars().all(plain) {
        return invalid("name", "must have 1 to 100 of a-z, 0-9, dot, dash and underscore");
    }
    if spec.key.is_empty() || spec.key.len() > 255 || spec.key.chars().any(char::is_control) {
        return invalid("key", "must have 1 to 255 bytes and no control characters; * means every bucket");
    }
    if !(1..=10_000_000).contains(&spec.units) {
        return invalid("units", "must lie between 1 and 10000000");
    }
    if !(1..=2_678_400_000).contains(&spec.period_ms) {
        return invalid("period_ms", "must lie between 1 and 2678400000 (31 days)");
    }
    if !(1..=10_000_000).contains(&spec.burst) {
        return invalid("burst", "must lie between 1 and 10000000");
    }
    Ok(())
}
