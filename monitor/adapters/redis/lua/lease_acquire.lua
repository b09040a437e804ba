-- Take or renew a lease. KEYS[1] the lease; ARGV[1] owner; ARGV[2] milliseconds it lives.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
  -- A server whose clock went back would keep the lease of one who is gone for as long as it went back: nobody renews
  -- for longer than this. Whoever may not ask for it (an answer that is no number) waits as it did before.
  local left = redis.pcall('PTTL', KEYS[1])
  if type(left) == 'number' and (left < 0 or left > tonumber(ARGV[2])) then
    redis.call('SET', KEYS[1], owner, 'PX', ARGV[2])
  end
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
