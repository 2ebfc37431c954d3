-- Takes the lease to load the lists, unless it is taken.
-- KEYS: lease, fills. ARGV: token, milliseconds.
-- Returns '' when it was free, otherwise the ID of the last entry of fills: the holder adds one behind it when it is done.
local lease, fills, token = KEYS[1], KEYS[2], ARGV[1]
-- The holder may call again when the first reply did not reach it.
if redis.call('GET', lease) == token or redis.call('SET', lease, token, 'NX', 'PX', ARGV[2]) then
  return ''
end
local last = redis.call('XREVRANGE', fills, '+', '-', 'COUNT', 1)[1]
return last and last[1] or '0-0'
