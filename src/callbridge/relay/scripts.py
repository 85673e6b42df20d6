"""What a Redis or Valkey server does for the relay: one script for each call, so that each happens completely or not at all.

If a script begins while the server has memory left, the server never refuses it half-way. It may refuse a pipeline half-way,
which would leave a gap. A script takes all events of a batch in one command, which is also the quickest way to write them. The
rules are those of `StateLog`.

Keys, in this order: `{cb:RUN}:run`, a hash with the fields of `RunState`; `{cb:RUN}:log`, a stream with the records under ids
`attempt-seq`, so that the server itself refuses a record that does not come last; `{cb:RUN}:ctl`, a stream of requests.
The braces keep a run's keys in one slot of a cluster. Times are those of the server.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from callbridge.relay.records import END, SCHEMA

__all__ = ["SCRIPTS"]

_COMMON: Final = f"""
local END = '{END}'
local SCHEMA = {SCHEMA}
local at = redis.call('TIME')
local now = tonumber(at[1]) + tonumber(at[2]) / 1000000

local function known(...)
    local found = redis.call('HMGET', KEYS[1], 'version', 'status', 'attempt', ...)
    if not found[1] then return nil end
    return found
end

local function number(text)
    return string.format('%.17g', text)
end

local function live(seconds)
    for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], math.ceil(seconds * 1000)) end
end

local function finish(attempt, status, count, body)
    redis.call('XADD', KEYS[2], attempt .. '-' .. END, 'e', body)
    redis.call('HSET', KEYS[1], 'status', status)
    live(tonumber(redis.call('HGET', KEYS[1], 'keep_seconds')))
end

local function lost(attempt, count)
    finish(attempt, 'lost', count, '{{"v": ' .. SCHEMA .. ', "status": "lost", "count": ' .. count .. ', "error": null}}')
end

local function refusal(state, attempt)
    if not state then return 'unknown' end
    if state[3] == attempt and state[2] == 'limited' then return 'limited' end
    if state[3] ~= attempt or state[2] ~= 'running' then return 'fenced' end
    return false
end
"""

_ANNOUNCE: Final = """
if known() then
    if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then return 0 end
    return 1
end
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'announced_at', number(now), 'start_by', number(now + tonumber(ARGV[2])))
live(tonumber(ARGV[3]))
return 0
"""

_CLAIM: Final = """
local owner, restart, dead_beat = ARGV[1], ARGV[2] == '1', ARGV[3]
local state = known('owner', 'beat', 'count', 'start_by')
if not state then return 0 end
local status, attempt = state[2], state[3]
if status == 'running' then
    if state[4] == owner then return 1 end
    if not restart or state[5] ~= dead_beat then return 0 end
    lost(attempt, state[6])
    status = 'lost'
elseif status == 'queued' and now > tonumber(state[7]) then
    lost(attempt, 0)
    status = 'lost'
end
if status ~= 'queued' and (not restart or status == 'stopped') then return 0 end
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[1], 'status', 'running', 'attempt', string.format('%d', tonumber(attempt) + 1), 'owner', owner,
    'count', '0', 'bytes', '0', 'first', '1', 'beat', '0', 'renewed_at', number(now), 'stop', '0')
live(tonumber(redis.call('HGET', KEYS[1], 'orphan_seconds')))
return 1
"""

_APPEND: Final = """
local state = known('count', 'bytes', 'first', 'max_events', 'max_bytes', 'on_limit', 'orphan_seconds')
local attempt = ARGV[1]
local no = refusal(state, attempt)
if no then return no end
local count, bytes, begin = tonumber(state[4]), tonumber(state[5]), tonumber(ARGV[2])
if begin > count + 1 then return 'gap' end
local trims, max_events, max_bytes = state[9] == 'trim', tonumber(state[7]), tonumber(state[8])
local full = false
for i = 3 + count + 1 - begin, #ARGV do
    local size = string.len(ARGV[i])
    if not trims and (count >= max_events or bytes + size > max_bytes) then
        full = true
        break
    end
    count, bytes = count + 1, bytes + size
    redis.call('XADD', KEYS[2], attempt .. '-' .. string.format('%d', count), 'e', ARGV[i])
end
local first = tonumber(state[6])
if trims then
    while first < count and (count - first + 1 > max_events or bytes > max_bytes) do
        local oldest = redis.call('XRANGE', KEYS[2], attempt .. '-' .. string.format('%d', first), '+', 'COUNT', 1)[1]
        bytes, first = bytes - string.len(oldest[2][2]), first + 1
        redis.call('XDEL', KEYS[2], oldest[1])
    end
end
local shown = string.format('%d', count)
redis.call('HSET', KEYS[1], 'count', shown, 'bytes', string.format('%d', bytes), 'first', string.format('%d', first))
if begin == 1 then live(tonumber(state[10])) end
if full then
    finish(attempt, 'limited', shown,
        '{"v": ' .. SCHEMA .. ', "status": "limited", "count": ' .. shown .. ', "error": null}')
    return 'limited'
end
return ''
"""

_FINISH: Final = """
local state = known('count')
local attempt, status, count = ARGV[1], ARGV[2], ARGV[3]
if state and state[3] == attempt and state[2] == status then return '' end
local no = refusal(state, attempt)
if no then return no end
if state[4] ~= count then return 'gap' end
finish(attempt, status, count, ARGV[4])
return ''
"""

_BEAT: Final = """
local state = known('stop', 'orphan_seconds', 'lease_seconds')
local no = refusal(state, ARGV[1])
if no then return no end
redis.call('HINCRBY', KEYS[1], 'beat', 1)
redis.call('HSET', KEYS[1], 'renewed_at', number(now))
live(math.max(tonumber(state[5]), 2 * tonumber(state[6])))
return state[4]
"""

_STOP: Final = """
local state = known('orphan_seconds')
if not state then return 0 end
if state[2] == 'queued' then
    finish(state[3], 'stopped', 0, ARGV[1])
elseif state[2] == 'running' then
    redis.call('HSET', KEYS[1], 'stop', '1')
    redis.call('XADD', KEYS[3], 'MAXLEN', 1, '*', 'stop', '1')
    live(tonumber(state[4]))
end
return 1
"""

_DECLARE_LOST: Final = """
local state = known('beat', 'count', 'start_by')
if not state or state[3] ~= ARGV[1] or state[4] ~= ARGV[2] then return 0 end
if state[2] == 'running' or (state[2] == 'queued' and now > tonumber(state[6])) then lost(state[3], state[5]) end
return 1
"""

_STATE: Final = """
return {redis.call('HGETALL', KEYS[1]), number(now)}
"""

_FORGET: Final = """
return redis.call('DEL', unpack(KEYS))
"""

SCRIPTS: Final = MappingProxyType(
    {
        "announce": _COMMON + _ANNOUNCE,
        "claim": _COMMON + _CLAIM,
        "append": _COMMON + _APPEND,
        "finish": _COMMON + _FINISH,
        "beat": _COMMON + _BEAT,
        "stop": _COMMON + _STOP,
        "declare_lost": _COMMON + _DECLARE_LOST,
        "state": _COMMON + _STATE,
        "forget": _FORGET,
    }
)
"""Call to what does it."""
