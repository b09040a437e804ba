-- Write one batch of one partition, if its writer still owns it. Exactly one HSET: a script with two writes is
-- not atomic in a torn append-only file. Strings are compared, never computed: Lua's numbers are doubles.
-- KEYS[1] the partition's hash; ARGV[1] token; ARGV[2] batch; ARGV[3] the offset this batch builds on;
-- ARGV[4..] field, value, ... with the new batch and the new offset among them.
local at = redis.call('HMGET', KEYS[1], 'token', 'batch', 'offset')
if at[1] ~= ARGV[1] then
  return 'fenced'
end
if at[2] == ARGV[2] then
  return 'already_mine'
end
if (at[3] or '0') ~= ARGV[3] then
  return 'fenced'
end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
return 'applied'
