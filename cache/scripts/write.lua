-- Writes lists, and wakes replicas that wait for a load to end.
-- KEYS: lease, fills, then lists. ARGV: the lease's token or '', milliseconds that a list is kept after its TTL;
-- then for each list its version, stamp, milliseconds to live, milliseconds between Proven and AsOf, and data, '' when it
-- should be there already.
-- Returns for each list: 'stored', 'renewed', 'superseded' (what is there is fresh and newer) or 'missing' (no data
-- was given and something else is there).
local lease, fills, token, retention = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
local reply = {}
for i = 3, #KEYS do
  local key, at = KEYS[i], 5 * i - 12
  local version, stamp, ttl = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local unproven, data = ARGV[at + 3], ARGV[at + 4]
  local left = redis.call('PTTL', key)
  local there = redis.pcall('HMGET', key, 'version', 'stamp')
  if there.err then
    redis.call('DEL', key)
    there, left = {}, -2
  end
  -- Versions have a fixed width, so they compare as strings.
  local newer = there[1] and (there[1] > version or there[1] == version and left > ttl)
  if newer and left > retention then
    reply[#reply + 1] = 'superseded'
  elseif data ~= '' then
    redis.call('HSET', key, 'version', version, 'stamp', stamp, 'unproven', unproven, 'data', data)
    redis.call('PEXPIRE', key, ttl)
    reply[#reply + 1] = 'stored'
  elseif there[2] == stamp then
    redis.call('HSET', key, 'version', version, 'unproven', unproven)
    redis.call('PEXPIRE', key, ttl)
    reply[#reply + 1] = 'renewed'
  else
    reply[#reply + 1] = 'missing'
  end
end
if token ~= '' then
  if redis.call('GET', lease) == token then
    redis.call('DEL', lease)
  end
  redis.call('XADD', fills, 'MAXLEN', 4, '*', 'lists', #reply)
  redis.call('PEXPIRE', fills, retention)
end
return reply
