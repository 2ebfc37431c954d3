-- Appends entries to the shared log. Returns the ID of the last one.
-- KEYS: pulls, updates, gone.
-- ARGV: name of the log, random number, longest stream, retired pulls to remember, resourceVersions, time, '1' when the log is
--       complete with this, length of an order key, digits of an offset, the ID of the last entry that the caller knows (empty
--       for none), then for each entry: kind, id, order key, payload, and with a state the resourceVersion of the Job that
--       it was made from.
-- A state that does not supersede the one in the log is left out, so several replicas may append the same one. A state of a
-- pull that the log has forgotten is left out as well.
local pulls, updates, gone = KEYS[1], KEYS[2], KEYS[3]
if redis.call('HGET', pulls, '#log') ~= ARGV[1] then
  return redis.error_reply('NOLOG the log is another one')
end
local nonce, longest, remembered, versions, time = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local orderLength, offsetLength = tonumber(ARGV[8]), tonumber(ARGV[9])

local last = redis.call('HGET', pulls, '#last') or ''
local now = redis.call('TIME')
local clock = now[1] * 1000000 + now[2]
local seq = tonumber(redis.call('HGET', pulls, '#seq'))

-- A failover may bring back an older log of the same name. The caller's resourceVersions are true only of a log that holds
-- every entry that the caller knows. The stream may have dropped that entry because of its length.
if ARGV[10] ~= '' then
  local offset = string.match(ARGV[10], '^%d+')
  local first = redis.call('XRANGE', updates, '-', '+', 'COUNT', 1)[1]
  local dropped = not first or tonumber(string.match(first[1], '^%d+')) > tonumber(offset)
  local known = redis.call('XRANGE', updates, offset, offset)[1]
  if seq < tonumber(offset) or not (dropped or known and known[1] == ARGV[10]) then
    return redis.error_reply('LOSTEND the log has lost its end')
  end
end

-- Offsets are microseconds of the clock. So a log that has lost its end does not use the lost offsets again: clients may
-- have them. Each entry names the one before it.
local function add(kind, id, payload)
  if kind == 'b' then
    redis.call('HSET', pulls, '#beat', now[1])
  end
  seq = math.max(seq + 1, clock)
  local offset = string.format('%.0f', seq)
  local name = offset .. '-' .. nonce
  redis.call('XADD', updates, 'MAXLEN', '~', longest, name, 'k', kind, 'i', id, 'p', payload, 't', time, 'a', last)
  last = name
  return offset
end

local covered = redis.call('HGET', pulls, '#marks') or '0-0'
-- The log has held every change that its resourceVersions cover. So a pull that it does not hold although they cover the state
-- is forgotten. Another cluster's resourceVersions may be lower: a pull that was created after all forgotten ones is new.
local function created(order)
  return string.sub(order, 1, 12)
end
local function forgotten(order, version)
  return created(order) <= (redis.call('HGET', pulls, '#forgotten') or '')
    and tonumber(version) <= math.min(tonumber(string.match(covered, '^%d+')), tonumber(string.match(covered, '%d+$')))
end

for i = 11, #ARGV, 5 do
  local kind, id, order, payload, version = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  if kind == 's' then
    local known = redis.call('HGET', pulls, id)
    if (known and string.sub(known, 1, orderLength) < order) or (not known and not forgotten(order, version)) then
      local offset = add(kind, id, payload)
      redis.call('HSET', pulls, id, order .. string.rep('0', offsetLength - #offset) .. offset .. '0' .. payload)
    end
  elseif kind == 'g' then
    local known = redis.call('HGET', pulls, id)
    local flag = orderLength + offsetLength + 1
    if known and string.sub(known, flag, flag) == '0' then
      add(kind, id, '')
      redis.call('HSET', pulls, id, string.sub(known, 1, flag - 1) .. '1' .. string.sub(known, flag + 1))
      redis.call('LREM', gone, 0, id) -- its name may have been another pull's before
      redis.call('RPUSH', gone, id)
      while redis.call('LLEN', gone) > remembered do
        local oldest = redis.call('LPOP', gone)
        local last = redis.call('HGET', pulls, oldest)
        if last and string.sub(last, flag, flag) == '1' then
          redis.call('HDEL', pulls, oldest)
          if created(last) > (redis.call('HGET', pulls, '#forgotten') or '') then
            redis.call('HSET', pulls, '#forgotten', created(last))
          end
          local offset = tonumber(string.sub(last, orderLength + 1, flag - 1))
          if offset > tonumber(redis.call('HGET', pulls, '#horizon')) then
            redis.call('HSET', pulls, '#horizon', string.format('%.0f', offset))
          end
        end
      end
    end
  else
    add(kind, id, payload)
  end
end
-- A leader that was stopped for some time may know less than the next one.
local function jobs(pair)
  return tonumber(string.match(pair, '^%d+'))
end
if versions ~= '0-0' and jobs(versions) >= jobs(covered) then
  redis.call('HSET', pulls, '#marks', versions)
end
-- Once nobody appends any more, Redis forgets the log after a day.
for _, key in ipairs(KEYS) do
  redis.call('EXPIRE', key, 24 * 60 * 60)
end
if ARGV[7] == '1' then
  redis.call('HSET', pulls, '#ready', '1')
  add('b', '', versions)
end
redis.call('HSET', pulls, '#last', last, '#seq', string.format('%.0f', seq))
return last ~= '' and last or string.format('%.0f-0', seq)
