-- Makes a charge of tokens what was used. KEYS as in redis_reserve.lua.
-- ARGV: period in microseconds, amount reserved, amount used, number of the charge.
local period, reserved, used = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if used > reserved then -- the excess is charged now: it may not vanish because the reservation is long over
    local time = redis.call('TIME')
    redis.call('ZADD', KEYS[1], time[1] * 1000000 + time[2], ARGV[4] .. '+')
    redis.call('HSET', KEYS[2], ARGV[4] .. '+', used - reserved)
    redis.call('HINCRBY', KEYS[2], '=', used - reserved)
    for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, period / 1000 + 1000) end
elseif redis.call('HEXISTS', KEYS[2], ARGV[4]) == 1 then
    redis.call('HSET', KEYS[2], ARGV[4], used)
    redis.call('HINCRBY', KEYS[2], '=', used - reserved)
end
