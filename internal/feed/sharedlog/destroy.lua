-- Removes the shared log if it has the given name.
-- KEYS: pulls, updates, gone. ARGV: name of the log.
if (redis.call('HGET', KEYS[1], '#log') or '') == ARGV[1] then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
end
return redis.status_reply('OK')
