-- Where an instance is, and whether this Redis may throw counters away.
-- KEYS: fence, total.
local have = redis.pcall('HMGET', KEYS[1], 'second', 'rows', 'requests')
if have.err then return have end
local requests = redis.pcall('HGET', KEYS[2], 'requests')
if type(requests) == 'table' then return requests end
if have[3] ~= requests then
  return redis.error_reply('TORN ' .. KEYS[1] .. ' and ' .. KEYS[2] .. ' are not of one moment')
end
-- Who may not ask gets no warning.
local memory = redis.pcall('INFO', 'memory')
local policy = ''
if type(memory) == 'string' and not string.find(memory, 'maxmemory:0\r', 1, true) then
  policy = string.match(memory, 'maxmemory_policy:([%w-]+)') or ''
end
return { have[1] or '', have[2] or '', policy }
