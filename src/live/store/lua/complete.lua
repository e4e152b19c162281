-- ARGV: id, token. Returns 1 if the lock was the token's; without a token, if the job was active.
local id, token = ARGV[1], ARGV[2]
local mine
if token == '' then
  mine = redis.call('LPOS', active, id)
else
  mine = holds_lock(id, token)
end
if not mine then
  return 0
end
leave_active(id)
redis.call('ZADD', completed, now_ms(), id)
return 1
