-- Delete fields that no window needs any more, if the writer still owns the partition. Doing it twice is harmless.
-- KEYS[1] the partition's hash; ARGV[1] token; ARGV[2..] field names.
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
  return 'fenced'
end
redis.call('HDEL', KEYS[1], unpack(ARGV, 2))
return 'applied'
