-- Shared by every queue script. KEYS[1] is the queue's key prefix, with its trailing colon.
local waiting = KEYS[1] .. 'waiting'      -- list; the next to be claimed is at the right end
local active = KEYS[1] .. 'active'        -- list; the oldest claim is at the right end
local delayed = KEYS[1] .. 'delayed'      -- zset; score: when due, ms of the server's clock
local completed = KEYS[1] .. 'completed'  -- zset; score: when completed
local failed = KEYS[1] .. 'failed'        -- zset; score: when failed
local marked = KEYS[1] .. 'marked'        -- set; active at the last stalled check, and not renewed since

-- Bounds the work of one call.
local BATCH = 1000

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function job_key(id)
  return KEYS[1] .. 'job:' .. id
end

local function lock_key(id)
  return job_key(id) .. ':lock'
end

local function holds_lock(id, token)
  return redis.call('GET', lock_key(id)) == token
end

-- Takes a job whose lock is held out of work.
local function leave_active(id)
  redis.call('LREM', active, -1, id)
  redis.call('SREM', marked, id)
  redis.call('DEL', lock_key(id))
end

local function put_failed(id, err, now)
  redis.call('HSET', job_key(id), 'error', err)
  redis.call('ZADD', failed, now, id)
end

local function trim_failed(now, keep_ms)
  local old = redis.call('ZRANGEBYSCORE', failed, '-inf', now - keep_ms, 'LIMIT', 0, BATCH)
  for _, id in ipairs(old) do
    redis.call('ZREM', failed, id)
    redis.call('DEL', job_key(id))
  end
end
