-- Makes a new shared log, empty and not ready, unless there is a ready one.
-- KEYS: pulls, updates, gone. ARGV: name of the new log.
if redis.call('HEXISTS', KEYS[1], '#ready') == 1 and redis.call('HEXISTS', KEYS[1], '#log') == 1 then
  return redis.status_reply('OK')
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
-- Offsets begin at the clock's time, so that they grow even if nothing is left of the log before.
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], '#log', ARGV[1], '#seq', string.format('%.0f', now[1] * 1000000 + now[2]), '#horizon', '0', '#marks', '0-0')
return redis.status_reply('OK')
