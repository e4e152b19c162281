-- ARGV: token, lock in ms. Returns {spec, attempt, stalls}, or nil if no job waits.
local token, lock_ms = ARGV[1], ARGV[2]
local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', now_ms(), 'LIMIT', 0, BATCH)
for _, id in ipairs(due) do
  redis.call('ZREM', delayed, id)
  redis.call('LPUSH', waiting, id)
end
for _ = 1, BATCH do
  local id = redis.call('LMOVE', waiting, active, 'RIGHT', 'LEFT')
  if not id then
    return false
  end
  local job = redis.call('HMGET', job_key(id), 'spec', 'attempts', 'stalls', 'resumed')
  if job[1] then
    local attempt = tonumber(job[2])
    if job[4] then
      redis.call('HDEL', job_key(id), 'resumed')
    else
      attempt = redis.call('HINCRBY', job_key(id), 'attempts', 1)
    end
    redis.call('SET', lock_key(id), token, 'PX', lock_ms)
    return { job[1], attempt, tonumber(job[3]) }
  end
  -- The server evicted the job: there is nothing left to work on.
  redis.call('LREM', active, 1, id)
end
return false
