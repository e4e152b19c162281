-- KEYS[1]: the lock. ARGV: token, ttl in ms. Returns 1 if the lock is the token's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
