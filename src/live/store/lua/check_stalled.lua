-- KEYS[2]: the hash of stalls by job, one for all queues.
-- ARGV: guard in ms, stalls allowed, error of a job over that, how long failed jobs are kept in ms.
-- Returns {ran, requeued ids, failed ids}, each in the order in which the jobs had been claimed.
local guard_ms, max_stalls, err, keep_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
if not redis.call('SET', KEYS[1] .. 'stalled-check', 1, 'NX', 'PX', guard_ms) then
  return { 0, {}, {} }
end
local now = now_ms()
local claims = redis.call('LRANGE', active, 0, -1)
local requeued, gone, running = {}, {}, {}
for i = #claims, 1, -1 do
  local id = claims[i]
  if redis.call('SISMEMBER', marked, id) == 0 or redis.call('EXISTS', lock_key(id)) == 1 then
    running[#running + 1] = id
  else
    redis.call('LREM', active, -1, id)
    local stalls = redis.call('HINCRBY', job_key(id), 'stalls', 1)
    redis.call('HINCRBY', KEYS[2], id, 1)
    if stalls > max_stalls then
      put_failed(id, err, now)
      gone[#gone + 1] = id
    else
      redis.call('HSET', job_key(id), 'resumed', 1)
      requeued[#requeued + 1] = id
    end
  end
end
for i = #requeued, 1, -1 do
  redis.call('RPUSH', waiting, requeued[i])
end
redis.call('DEL', marked)
for _, id in ipairs(running) do
  redis.call('SADD', marked, id)
end
trim_failed(now, keep_ms)
return { 1, requeued, gone }
