-- Reads lists.
-- KEYS: lists. ARGV: for each the stamp of what the caller has.
-- Returns for each: nothing when it is missing, or its remaining milliseconds, version, stamp, the milliseconds between
-- Proven and AsOf and, unless the caller has it, data.
local reply = {}
for i, key in ipairs(KEYS) do
  local left = redis.call('PTTL', key)
  local list = redis.pcall('HMGET', key, 'version', 'stamp', 'unproven')
  if left == -2 then
    reply[i] = false
  elseif list.err then -- the key holds something else
    reply[i] = {left, '', '', '', ''}
  elseif ARGV[i] ~= '' and list[2] == ARGV[i] then
    reply[i] = {left, list[1], list[2], list[3] or '0'}
  else
    reply[i] = {left, list[1], list[2], list[3] or '0', redis.call('HGET', key, 'data')}
  end
end
return reply
