-- Adds rows and moves the fence, or does neither. Returns 1, or 0 where the fence is elsewhere.
-- Counters go through HINCRBY as text: Lua's numbers end at 2^53.
--
-- KEYS: fence, set of clients, set of routes, then the keys of each group; that of the total first.
-- ARGV: the fence as it must be (two numbers, or twice '' for none), as it will be, then groups:
--   the set that lists it (0 for none), its name there, how many keys and fields, when the
--   last request ended, when each key expires (0: never), and each field with its increment.
local have = redis.pcall('HMGET', KEYS[1], 'second', 'rows', 'requests')
if have.err then return have end
if ARGV[1] == '' then
  if have[1] or have[2] then return 0 end
elseif not have[1] or tonumber(have[1]) ~= tonumber(ARGV[1])
    or tonumber(have[2]) ~= tonumber(ARGV[2]) then
  return 0
end

-- What cannot be written is found before the first write.
local fresh = {}
for i = 2, #KEYS do
  local kind = redis.pcall('TYPE', KEYS[i])
  if kind.err then return kind end
  if kind.ok == 'none' then
    fresh[i] = true
  elseif kind.ok ~= (i <= 3 and 'set' or 'hash') then
    return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is a ' .. kind.ok)
  end
end
-- The fence says how many requests the total must have. The first increment of a call is that of
-- the total's requests, so whatever part of a call is there twice, this is.
if have[3] ~= redis.pcall('HGET', KEYS[4], 'requests') then
  return redis.error_reply('TORN ' .. KEYS[1] .. ' and ' .. KEYS[4] .. ' are not of one moment')
end

-- Calls `each` for every group: its first key, how many, and where its arguments begin.
local function groups(each)
  local key, at = 4, 5
  while at <= #ARGV do
    local keys, fields = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local first = at + 5 + keys
    local failed = each(key, keys, at, first, first + 2 * fields - 1)
    if failed then return failed end
    key, at = key + keys, first + 2 * fields
  end
end

-- A counter that is no integer, or full, or a command that this user may not call, shows only
-- here: what was added before is taken back.
local added = 0
local function undo()
  local left = added
  groups(function(key, keys, at, first, last)
    for i = key, key + keys - 1 do
      if left <= 0 then return true end
      local is_gone = fresh[i] and redis.pcall('DEL', KEYS[i]) == 1
      for f = first, last, 2 do
        if left <= 0 then return true end
        if not is_gone then redis.pcall('HINCRBY', KEYS[i], ARGV[f], '-' .. ARGV[f + 1]) end
        left = left - 1
      end
    end
  end)
end

local failed = groups(function(key, keys, at, first, last)
  for i = key, key + keys - 1 do
    for f = first, last, 2 do
      local reply = redis.pcall('HINCRBY', KEYS[i], ARGV[f], ARGV[f + 1])
      if type(reply) == 'table' then return reply end
      added = added + 1
    end
    local expires = ARGV[at + 5 + i - key]
    if fresh[i] and expires ~= '0' then
      local reply = redis.pcall('EXPIREAT', KEYS[i], expires)
      if type(reply) == 'table' then return reply end
    end
  end
  if fresh[key] and ARGV[at] ~= '0' then
    local reply = redis.pcall('SADD', KEYS[tonumber(ARGV[at])], ARGV[at + 1])
    if type(reply) == 'table' then return reply end
  end
end)
if not failed then
  -- Points in time are the last to be written: nothing takes them back.
  failed = groups(function(key, keys, at)
    local ended = ARGV[at + 4]
    if ended ~= '0' then
      local before = redis.pcall('HGET', KEYS[key], 'last_request_ms')
      if type(before) == 'table' then return before end
      if (tonumber(before) or 0) < tonumber(ended) then
        local reply = redis.pcall('HSET', KEYS[key], 'last_request_ms', ended)
        if type(reply) == 'table' then return reply end
      end
    end
  end)
end
if not failed then
  local requests = redis.pcall('HGET', KEYS[4], 'requests')
  local reply = redis.pcall('HSET', KEYS[1], 'second', ARGV[3], 'rows', ARGV[4], 'requests', requests)
  if type(reply) == 'table' then failed = reply end
end
if failed then
  undo()
  return failed
end
return 1
