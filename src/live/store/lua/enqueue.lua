-- ARGV: id, spec, delay in ms. Returns 1, or 0 if the id existed.
local id, spec, delay_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('EXISTS', job_key(id)) == 1 then
  return 0
end
redis.call('HSET', job_key(id), 'spec', spec, 'attempts', 0, 'stalls', 0)
if delay_ms > 0 then
  redis.call('ZADD', delayed, now_ms() + delay_ms, id)
else
  redis.call('LPUSH', waiting, id)
end
return 1
