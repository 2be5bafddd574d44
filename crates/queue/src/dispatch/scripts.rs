//! The dispatcher's scripts. Each is bounded by its arguments (at most 500 ids, 64 organisations), never
//! by the backlog.

use std::sync::LazyLock;

use redis::Script;

/// A script that is sent once and then called by its hash.
pub(crate) struct Lua(LazyLock<Script>);

impl Lua {
    pub(crate) fn key<T: redis::ToRedisArgs>(&self, key: T) -> redis::ScriptInvocation<'_> {
        self.0.key(key)
    }
}

/// ARGV: groups of lane, org, n, then n times (score, id).
pub(crate) static PUSH: Lua = Lua(LazyLock::new(|| {
    Script::new(
        r"
local ns = KEYS[1]
local i = 1
while i <= #ARGV do
  local lane, org, n = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  redis.call('ZADD', ns .. ':ready:' .. lane .. ':' .. org, unpack(ARGV, i + 3, i + 2 + 2 * n))
  i = i + 3 + 2 * n
  if redis.call('HEXISTS', ns .. ':held:' .. lane, org) == 0 then
    local turn = redis.call('GET', ns .. ':turn:' .. lane) or 0
    redis.call('ZADD', ns .. ':orgs:' .. lane, 'NX', turn, org)
    local wake = ns .. ':wake:' .. lane
    if redis.call('LLEN', wake) == 0 then redis.call('LPUSH', wake, '1') end
  end
end
",
    )
}));

/// ARGV: most in all, then groups of lane, slots, cap. Answers one list of ids a lane; an id that counts
/// against a cap from now on is followed by its organisation.
///
/// Organisations are visited longest unserved first; each gets an equal share of the slots, and what
/// one leaves over goes round again. A lane with something left re-arms its wake-up, so that the next
/// sleeping worker comes too.
pub(crate) static TAKE: Lua = Lua(LazyLock::new(|| {
    Script::new(
        r"
local ns = KEYS[1]
local most = tonumber(ARGV[1])
local out = {}
local now = nil
for i = 2, #ARGV, 3 do
  local lane, slots, lane_cap = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local got = {}
  local rotation = ns .. ':orgs:' .. lane
  local want = math.min(slots, most)
  local rounds = 0
  while want > 0 and rounds < 4 do
    rounds = rounds + 1
    local orgs = redis.call('ZRANGE', rotation, 0, 63)
    if #orgs == 0 then break end
    local share = math.ceil(want / #orgs)
    for _, org in ipairs(orgs) do
      if want <= 0 then break end
      local n = math.min(share, want)
      local ready = ns .. ':ready:' .. lane .. ':' .. org
      local cap = lane_cap
      local own = redis.call('HGET', ns .. ':caps:' .. lane, org)
      if own then cap = tonumber(own) end
      local running = ns .. ':running:' .. lane .. ':' .. org
      if cap > 0 then n = math.min(n, cap - redis.call('ZCARD', running)) end
      if redis.call('HEXISTS', ns .. ':held:' .. lane, org) == 1 then
        redis.call('ZREM', rotation, org)
      elseif n <= 0 then
        redis.call('ZREM', rotation, org)
        redis.call('HSET', ns .. ':capped:' .. lane, org, '1')
      else
        local popped = redis.call('ZPOPMIN', ready, n)
        for j = 1, #popped, 2 do
          if cap <= 0 then
            got[#got + 1] = popped[j]
          else
            got[#got + 1] = popped[j] .. org
            if not now then
              local t = redis.call('TIME')
              now = t[1] * 1000 + math.floor(t[2] / 1000)
            end
            redis.call('ZADD', running, now, popped[j])
          end
        end
        want = want - #popped / 2
        most = most - #popped / 2
        if redis.call('EXISTS', ready) == 0 then
          redis.call('ZREM', rotation, org)
        else
          redis.call('ZADD', rotation, redis.call('INCR', ns .. ':turn:' .. lane), org)
        end
      end
    end
  end
  if #got > 0 and redis.call('EXISTS', rotation) == 1 then
    local wake = ns .. ':wake:' .. lane
    if redis.call('LLEN', wake) == 0 then redis.call('LPUSH', wake, '1') end
  end
  out[#out + 1] = got
end
return out
",
    )
}));

/// ARGV: groups of lane, org, id: no longer running. An organisation at its cap returns to the rotation.
pub(crate) static RELEASE: Lua = Lua(LazyLock::new(|| {
    Script::new(
        r"
local ns = KEYS[1]
for i = 1, #ARGV, 3 do
  local lane, org, id = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  redis.call('ZREM', ns .. ':running:' .. lane .. ':' .. org, id)
  if redis.call('HDEL', ns .. ':capped:' .. lane, org) == 1
    and redis.call('EXISTS', ns .. ':ready:' .. lane .. ':' .. org) == 1
    and redis.call('HEXISTS', ns .. ':held:' .. lane, org) == 0 then
    redis.call('ZADD', ns .. ':orgs:' .. lane, 'NX', redis.call('GET', ns .. ':turn:' .. lane) or 0, org)
    local wake = ns .. ':wake:' .. lane
    if redis.call('LLEN', wake) == 0 then redis.call('LPUSH', wake, '1') end
  end
end
",
    )
}));

/// ARGV: n, n lanes; m, m times (lane, org) held; k, k times (lane, org, cap). Replaces both tables;
/// organisations that are no longer held return to their rotation, and so do those that reached their
/// cap, for it may be another one now.
pub(crate) static RULES: Lua = Lua(LazyLock::new(|| {
    Script::new(
        r"
local ns = KEYS[1]
local at = 1
local lanes = {}
local function next_arg() at = at + 1; return ARGV[at - 1] end
for _ = 1, tonumber(next_arg()) do lanes[#lanes + 1] = next_arg() end
local held = {}
for _ = 1, tonumber(next_arg()) do
  local lane, org = next_arg(), next_arg()
  held[lane] = held[lane] or {}
  held[lane][org] = true
end
for _, lane in ipairs(lanes) do
  redis.call('DEL', ns .. ':caps:' .. lane)
  local now_held = held[lane] or {}
  for _, what in ipairs({':held:', ':capped:'}) do
    for _, org in ipairs(redis.call('HKEYS', ns .. what .. lane)) do
      if not now_held[org] then
        redis.call('HDEL', ns .. what .. lane, org)
        if redis.call('EXISTS', ns .. ':ready:' .. lane .. ':' .. org) == 1 then
          redis.call('ZADD', ns .. ':orgs:' .. lane, 'NX', redis.call('GET', ns .. ':turn:' .. lane) or 0, org)
          if redis.call('LLEN', ns .. ':wake:' .. lane) == 0 then redis.call('LPUSH', ns .. ':wake:' .. lane, '1') end
        end
      end
    end
  end
  for org, _ in pairs(now_held) do
    redis.call('HSET', ns .. ':held:' .. lane, org, '1')
    redis.call('ZREM', ns .. ':orgs:' .. lane, org)
  end
end
for _ = 1, tonumber(next_arg()) do
  local lane, org, cap = next_arg(), next_arg(), next_arg()
  redis.call('HSET', ns .. ':caps:' .. lane, org, cap)
end
",
    )
}));
