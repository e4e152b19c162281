-- KEYS[1]: the lock. ARGV: token. Returns 0: the token does not hold the lock afterwards.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 0
