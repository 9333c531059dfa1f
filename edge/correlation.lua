-- One correlation id for every request, whatever it asks for: the caller's where it is fit for a log line,
-- else a UUIDv7 of the time now and the chance in Envoy's own request id (a UUIDv4). Every answer carries it.
-- What is fit: services/runtime/context.py.
local KEY = "x-correlation-id"

local function fit(text)
  return text ~= nil and #text > 0 and #text <= 128 and text:find("^[%w._:/+=-]+$") ~= nil
end

local function uuid7(now, chance)
  local time = string.format("%012x", now)
  return time:sub(1, 8) .. "-" .. time:sub(9, 12) .. "-7" .. chance:sub(16)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local id = headers:get(KEY)
  if not fit(id) then
    local now = tonumber(handle:timestampString(EnvoyTimestampResolution.MILLISECOND))
    id = uuid7(now, headers:get("x-request-id") or "")
    headers:replace(KEY, id)
  end
  handle:streamInfo():dynamicMetadata():set("fxmesh", KEY, id)
end

function envoy_on_response(handle)
  local mine = handle:streamInfo():dynamicMetadata():get("fxmesh")
  if mine ~= nil and mine[KEY] ~= nil then
    handle:headers():replace(KEY, mine[KEY])
  end
end
