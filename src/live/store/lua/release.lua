-- ARGV: id, token. Returns 1 if the lock was the token's.
local id, token = ARGV[1], ARGV[2]
if not holds_lock(id, token) then
  return 0
end
leave_active(id)
redis.call('HSET', job_key(id), 'resumed', 1)
redis.call('RPUSH', waiting, id)
return 1
