-- ARGV: id, token. Returns 1 if the lock was the token's.
local id, token = ARGV[1], ARGV[2]
if not holds_lock(id, token) then
  return 0
end
leave_active(id)
redis.call('ZADD', completed, now_ms(), id)
return 1
