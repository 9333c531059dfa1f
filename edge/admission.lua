-- Refuses, whether a call comes as REST, gRPC or gRPC-Web: a page of another site, which could send requests
-- from a browser here though not read the answers; and a binary header that is not base64, over which gRPC's
-- library would stumble in the service as over a defect. edge/replies.py makes REST's errors of it.
local function foreign(headers)
  local origin = headers:get("origin")
  return origin ~= nil and origin:match("://(.+)$") ~= headers:get(":authority")
end

-- Bits that belong to no byte are zero.
local LAST = {[2] = "[AQgw]", [3] = "[AEIMQUYcgkosw048]"}

local function is_base64(text)
  local digits = text:match("^([%w+/]*)=?=?$")
  if digits == nil or #digits % 4 == 1 then
    return false
  end
  local last = LAST[#digits % 4]
  return last == nil or digits:sub(-1):find(last) ~= nil
end

local function broken(headers)
  for name, value in pairs(headers) do
    if name:sub(-4) == "-bin" and not is_base64(value) then
      return name
    end
  end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local grpc = (headers:get("content-type") or ""):find("^application/grpc") ~= nil
  if foreign(headers) then
    local answer = grpc and {[":status"] = "403", ["grpc-status"] = "7"} or {[":status"] = "403"}
    handle:respond(answer, "pages of other sites may not call this platform")
    return
  end
  local name = broken(headers)
  if name ~= nil then
    local answer = grpc and {[":status"] = "400", ["grpc-status"] = "3"} or {[":status"] = "422"}
    handle:respond(answer, "the header " .. name .. " is not base64")
  end
end
