-- Who shall come back later is told when in HTTP's own words too: `Retry-After`, in whole seconds, for the time
-- that the answer has in RetryInfo. Runs after the transcoder has printed it.
function envoy_on_response(handle)
  local headers = handle:headers()
  local status = headers:get(":status")
  if status ~= "429" and status ~= "503" or headers:get("content-type") ~= "application/json" then
    return
  end
  local body = handle:body()
  if body == nil then
    return
  end
  local seconds = body:getBytes(0, body:length()):match('"retry_delay":"([%d.]+)s"')
  if seconds ~= nil then
    -- Asked for again: the wait for the body made the first ones void.
    handle:headers():replace("retry-after", string.format("%d", math.max(1, math.ceil(tonumber(seconds)))))
  end
end
