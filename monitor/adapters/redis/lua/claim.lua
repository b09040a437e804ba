-- Take a partition over. One write at most, so that no crash can leave half of it.
-- KEYS[1] the partition's hash; ARGV[1] the token the caller saw ('' = none); ARGV[2] the caller's new token.
-- Answers {1, all fields} when the new token stands, {0, the stored token} when somebody else was quicker.
local stored = redis.call('HGET', KEYS[1], 'token') or ''
if stored ~= ARGV[2] then
  if stored ~= ARGV[1] then
    return {0, stored}
  end
  redis.call('HSET', KEYS[1], 'token', ARGV[2])
end
return {1, redis.call('HGETALL', KEYS[1])}
