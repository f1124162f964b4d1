-- Charges tokens if they fit. KEYS: instants by charge (sorted set), amounts by charge (hash; '=' is their sum).
-- ARGV: period in microseconds, limit, amount, number of the charge.
-- Answers {1, 0, left} or {0, microseconds until it would fit, left}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local period, limit, amount = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

for _, number in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - period)) do
    redis.call('HINCRBY', KEYS[2], '=', -(tonumber(redis.call('HGET', KEYS[2], number)) or 0))
    redis.call('HDEL', KEYS[2], number)
    redis.call('ZREM', KEYS[1], number)
end

-- Redis may have evicted one of the two: without the instants no charge would ever leave the sum.
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('DEL', KEYS[2]) end

local charged = tonumber(redis.call('HGET', KEYS[2], '=')) or 0
local over = charged + amount - limit
if over <= 0 then
    redis.call('ZADD', KEYS[1], now, ARGV[4])
    redis.call('HSET', KEYS[2], ARGV[4], amount)
    redis.call('HINCRBY', KEYS[2], '=', amount)
    for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, period / 1000 + 1000) end
    return {1, 0, limit - charged - amount}
end

local freed, from, wait = 0, 0, 0
while freed < over do -- ends, as no amount is above the limit
    local charges = redis.call('ZRANGE', KEYS[1], from, from + 99, 'WITHSCORES')
    if #charges == 0 then break end
    for at = 1, #charges, 2 do
        freed = freed + (tonumber(redis.call('HGET', KEYS[2], charges[at])) or 0)
        wait = charges[at + 1] + period - now
        if freed >= over then break end
    end
    from = from + 100
end
return {0, wait, math.max(0, limit - charged)}
