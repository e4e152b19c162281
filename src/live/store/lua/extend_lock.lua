-- ARGV: id, token, lock in ms. Returns 1 if the lock is the token's.
local id, token, lock_ms = ARGV[1], ARGV[2], ARGV[3]
if not holds_lock(id, token) then
  return 0
end
redis.call('PEXPIRE', lock_key(id), lock_ms)
redis.call('SREM', marked, id)
return 1
