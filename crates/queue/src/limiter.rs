//! The shared rate limiter: GCRA in Redis, several limits a job, in units.
//!
//! A job draws on all its limits or on none. Jobs that are turned away get a place in the line: the time
//! they are told is the time their turn comes if everybody before them runs, so a parked job knows
//! "until when", comes back in order and never polls. Rates are data (`rate_limit`), read into a table
//! that every process refreshes. A bucket remembers the rate it was last counted at: when the rate is
//! edited, what was used stays used, in units, and no wait of the old rate outlives it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, RwLock};

use domain::{LimitUse, OrgId};
use redis::Script;
use redis::aio::ConnectionManager;
use serde::Serialize;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::dispatch::Keys;

/// A rate: `units` every `period_ms`, up to `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// Units allowed each period.
    pub units: u32,
    /// Length of the period in milliseconds.
    pub period_ms: u64,
    /// Units that may be used at once after a rest.
    pub burst: u32,
}

impl Rate {
    /// Microseconds one unit takes.
    fn interval_us(self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // periods are below 2^42 µs
        let period = (self.period_ms * 1000) as f64;
        period / f64::from(self.units.max(1))
    }
}

/// All rates, by organisation, name and key.
#[derive(Debug, Default)]
pub struct RateTable {
    rates: HashMap<(Option<OrgId>, String, String), Rate>,
    /// When it was read, by the ledger's clock, in microseconds.
    read_at: i64,
}

impl RateTable {
    pub(crate) async fn load(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        // The clock first: what is committed from now on may or may not be in the table.
        let read_at = sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint")
            .fetch_one(&mut *connection)
            .await?;
        let rows = sqlx::query("SELECT org_id, name, key, units, period_ms, burst FROM rate_limit")
            .fetch_all(connection)
            .await?;
        let mut rates = HashMap::with_capacity(rows.len());
        for row in rows {
            let org: Option<Uuid> = row.try_get(0)?;
            let rate = Rate {
                units: u32::try_from(row.try_get::<i32, _>(3)?).unwrap_or(1),
                period_ms: u64::try_from(row.try_get::<i64, _>(4)?).unwrap_or(1),
                burst: u32::try_from(row.try_get::<i32, _>(5)?).unwrap_or(1),
            };
            rates.insert((org.map(OrgId), row.try_get(1)?, row.try_get(2)?), rate);
        }
        Ok(Self { rates, read_at })
    }

    /// The most specific rate and the bucket it counts in; none means no limit.
    ///
    /// A rate of the platform counts each organisation's buckets apart.
    #[must_use]
    pub fn find(&self, org: OrgId, draw: &LimitUse) -> Option<(String, Rate)> {
        if self.rates.is_empty() {
            return None;
        }
        let name = draw.name.as_ref();
        [(Some(org), draw.key.as_str()), (Some(org), "*"), (None, "*")]
            .into_iter()
            .find_map(|(owner, key)| self.rates.get(&(owner, name.to_owned(), key.to_owned())))
            .map(|rate| (format!("{org}:{name}:{}", draw.key), *rate))
    }
}

/// Longest wait that is told, in microseconds: a year. Whoever is told it asks again then; a line that is
/// longer (one unit a month and a million jobs) must not reach times that no calendar holds.
const LONGEST_WAIT_US: u64 = 365 * 24 * 3600 * 1_000_000;

/// What the limiter said to one job.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Go: everything is drawn.
    Go,
    /// Turned away by the draw with this index; its turn comes in so many microseconds.
    Wait { by: usize, micros: u64 },
    /// Rates were edited since this process read them.
    Stale,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking<'a> {
    /// A newcomer, who stands behind everybody in line.
    New,
    /// Somebody whose turn has come.
    InLine,
    /// Somebody who stood in a line that is drawn up anew, and takes a place in this drawing of it.
    Anew(&'a str),
}

/// KEYS: prefix. ARGV: 'new', 'line' (the job's turn in the line has come) or the id of a new drawing of
/// the line; when the rates were read; then groups of bucket, interval µs, burst, units. Answers {-1, 0}
/// for go, {-2, 0} when rates were edited since, or {index, µs}.
///
/// `tat` is the theoretical arrival time of what was really let through, `line` that of the last one
/// in line. A newcomer joins the line when there is one; somebody from the line only asks `tat`. Both
/// times are kept at the interval `iv`, and stretched or shrunk when the bucket's interval is another now.
static ASK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local ns, in_line = KEYS[1], ARGV[1] == 'line'
local drawing = not in_line and ARGV[1] ~= 'new' and ARGV[1] or nil
local edited = redis.call('GET', ns .. ':rates')
if edited and tonumber(edited) > tonumber(ARGV[2]) then return {-2, '0'} end
local worst, worst_wait = -1, 0
local draws = {}
for i = 3, #ARGV, 4 do
  local key = ns .. ':limit:' .. ARGV[i]
  local interval, burst, units = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local held = redis.call('HMGET', key, 'tat', 'line', 'iv', 'drawing')
  local tat = math.max(tonumber(held[1]) or 0, now)
  local line = math.max(tonumber(held[2]) or 0, tat)
  local scale = interval / (tonumber(held[3]) or interval)
  if scale ~= 1 then
    tat = now + (tat - now) * scale
    line = now + (line - now) * scale
  end
  -- the first of a new drawing begins it
  if drawing and held[4] ~= drawing then line = tat end
  local cost = units * interval
  -- more units than a full burst could ever hold: let through when the bucket is full
  local room = math.max(burst * interval, cost)
  local from = in_line and tat or line
  local wait = from + cost - room - now
  draws[#draws + 1] = {key, tat, line, cost, wait, ARGV[i + 1]}
  if wait > 0.5 and wait > worst_wait then worst, worst_wait = #draws - 1, wait end
end
for _, d in ipairs(draws) do
  local tat, line = nil, nil
  if worst < 0 then
    tat = d[2] + d[4]
    line = math.max(tat, d[3])
  elseif not in_line and d[5] > 0.5 then
    tat, line = d[2], d[3] + d[4]
  end
  if tat then
    redis.call('HSET', d[1], 'tat', string.format('%.0f', tat), 'line', string.format('%.0f', line), 'iv', d[6])
    if drawing then redis.call('HSET', d[1], 'drawing', drawing) end
    redis.call('PEXPIRE', d[1], math.ceil((line - now) / 1000) + 60000)
  end
end
return {worst, string.format('%.0f', worst_wait)}
",
    )
});

/// Asks and shows limits.
#[derive(Clone)]
pub struct Limiter {
    redis: ConnectionManager,
    keys: Keys,
    table: Arc<RwLock<Arc<RateTable>>>,
}

impl Limiter {
    pub(crate) fn new(redis: ConnectionManager, keys: Keys) -> Self {
        Self { redis, keys, table: Arc::default() }
    }

    pub(crate) fn set_table(&self, table: RateTable) {
        *self.table.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(table);
    }

    /// The rates as last read.
    #[must_use]
    pub fn table(&self) -> Arc<RateTable> {
        self.table.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Asks for one job: all its draws or none.
    pub(crate) async fn ask(
        &self,
        org: OrgId,
        draws: &[LimitUse],
        asking: Asking<'_>,
    ) -> Result<Verdict, redis::RedisError> {
        let table = self.table();
        let found: Vec<(usize, String, Rate, u32)> = draws
            .iter()
            .enumerate()
            .filter_map(|(at, draw)| {
                table.find(org, draw).map(|(bucket, rate)| (at, bucket, rate, draw.units.max(1)))
            })
            .collect();
        if found.is_empty() {
            return Ok(Verdict::Go);
        }
        let mut call = ASK.key(self.keys.prefix());
        call.arg(match asking {
            Asking::New => "new",
            Asking::InLine => "line",
            Asking::Anew(drawing) => drawing,
        });
        call.arg(table.read_at);
        for (_, bucket, rate, units) in &found {
            call.arg(bucket).arg(rate.interval_us()).arg(rate.burst).arg(*units);
        }
        let (worst, micros): (i64, u64) = call.invoke_async(&mut self.redis.clone()).await?;
        Ok(match usize::try_from(worst) {
            Ok(at) => Verdict::Wait {
                by: found.get(at).map_or(0, |found| found.0),
                micros: micros.min(LONGEST_WAIT_US),
            },
            Err(_) if worst == -2 => Verdict::Stale,
            Err(_) => Verdict::Go,
        })
    }

    /// Tells every process that rates were edited before this one's table was read: whoever asks by an
    /// older table has to read them first. All of them would do so within seconds; until then a place in
    /// line would be told at the old rate.
    ///
    /// # Errors
    /// What Redis said.
    pub(crate) async fn announce_rates(&self) -> Result<(), redis::RedisError> {
        let read_at = self.table().read_at;
        redis::cmd("SET")
            .arg(self.keys.rates())
            .arg(read_at)
            .arg("EX")
            .arg(3600)
            .query_async(&mut self.redis.clone())
            .await
    }

    /// How full a bucket is, for people: (units in use of the burst, seconds the line is long).
    ///
    /// # Errors
    /// What Redis said.
    pub async fn usage(&self, org: OrgId, draw: &LimitUse) -> Result<Option<Usage>, redis::RedisError> {
        let Some((bucket, rate)) = self.table().find(org, draw) else {
            return Ok(None);
        };
        let mut redis = self.redis.clone();
        type Held = (Option<f64>, Option<f64>, Option<f64>);
        let ((secs, micros), (tat, line, counted_at)): ((f64, f64), Held) = redis::pipe()
            .cmd("TIME")
            .cmd("HMGET")
            .arg(self.keys.limit(&bucket))
            .arg("tat")
            .arg("line")
            .arg("iv")
            .query_async(&mut redis)
            .await?;
        let now = secs * 1e6 + micros;
        let counted_at = counted_at.unwrap_or_else(|| rate.interval_us());
        let used = ((tat.unwrap_or(0.0) - now) / counted_at).clamp(0.0, f64::from(rate.burst));
        let line_secs = ((line.unwrap_or(0.0) - now) / 1e6 * (rate.interval_us() / counted_at)).max(0.0);
        Ok(Some(Usage { rate, used_units: used, line_secs }))
    }

    /// Forgets the line of a bucket (not what was let through), so that it can be drawn up anew.
    ///
    /// # Errors
    /// What Redis said.
    pub(crate) async fn forget_line(&self, bucket: &str) -> Result<(), redis::RedisError> {
        redis::cmd("HDEL").arg(self.keys.limit(bucket)).arg("line").query_async(&mut self.redis.clone()).await
    }
}

/// Use against a limit, now.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Usage {
    /// The rate in force.
    pub rate: Rate,
    /// Units of the burst that are in use.
    pub used_units: f64,
    /// How long the line of waiting jobs is, in seconds.
    pub line_secs: f64,
}
