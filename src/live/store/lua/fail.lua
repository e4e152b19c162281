-- ARGV: id, token, error, retry in ms (-1: never), how long failed jobs are kept in ms.
-- Returns 1 if the lock was the token's.
local id, token, err, retry_ms, keep_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
if not holds_lock(id, token) then
  return 0
end
leave_active(id)
local now = now_ms()
if retry_ms < 0 then
  put_failed(id, err, now)
  trim_failed(now, keep_ms)
else
  redis.call('HSET', job_key(id), 'error', err)
  if retry_ms == 0 then
    redis.call('LPUSH', waiting, id)
  else
    redis.call('ZADD', delayed, now + retry_ms, id)
  end
end
return 1
