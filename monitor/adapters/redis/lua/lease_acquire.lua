-- Take or renew a lease. KEYS[1] the lease; ARGV[1] owner; ARGV[2] milliseconds it lives.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
  -- Never made longer by this: a server whose clock went back would keep the lease of one who is gone for as long as it
  -- went back, and nobody renews for longer than this. Whoever may not do it waits as long as the server says.
  redis.pcall('PEXPIRE', KEYS[1], ARGV[2], 'LT')
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
