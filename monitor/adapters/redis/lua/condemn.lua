-- Strike a partition's offset out: what stands beside it is damaged. Its writer is fenced by that at the next flush.
-- KEYS[1] the partition's hash; ARGV[1] the token that was read with the damage; ARGV[2] what no offset looks like.
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
  return 'fenced'
end
redis.call('HSET', KEYS[1], 'offset', ARGV[2])
return 'applied'
