-- KEYS[1]: the lock. ARGV: token, ttl in ms. Returns 1 if the token holds the lock afterwards.
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return 1
end
return redis.call('GET', KEYS[1]) == ARGV[1] and 1 or 0
