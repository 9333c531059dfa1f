-- A gRPC failure without details (a service that cannot be reached, a deadline, an unknown method) gets the
-- details that services give: google.rpc.Status with an ErrorInfo of reason, domain and correlation id.
-- Runs before the transcoder sees the answer, so REST and gRPC callers read the same.
local KEY = "x-correlation-id"
-- By status code: reason, and the sentence for Envoy's own, which would name addresses.
local SAID = {
  ["1"] = {"PEER_UNAVAILABLE", "the call was cancelled"},
  ["3"] = {"MALFORMED_REQUEST"},
  ["4"] = {"DEADLINE_EXCEEDED", "the call did not finish within its deadline"},
  ["7"] = {"PERMISSION_DENIED"},
  ["8"] = {"REQUEST_TOO_LARGE", "the request or its metadata is above the limit"},
  ["12"] = {"UNKNOWN_PATH", "no service has this method"},
  ["14"] = {"PEER_UNAVAILABLE", "the service cannot be reached at the moment"},
  ["16"] = {"UNAUTHENTICATED"},
}

local function varint(number)
  local bytes = ""
  while number > 127 do
    bytes = bytes .. string.char(number % 128 + 128)
    number = math.floor(number / 128)
  end
  return bytes .. string.char(number)
end

-- A length-delimited field of a protobuf message.
local function field(number, text)
  return string.char(number * 8 + 2) .. varint(#text) .. text
end

local function decoded(text)
  return (text:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local code = headers:get("grpc-status")
  if code == nil or code == "0" or headers:get("grpc-status-details-bin") ~= nil then
    return
  end
  local said = SAID[code] or {"INTERNAL"}
  local sentence = said[2] or decoded(headers:get("grpc-message") or "")
  local mine = handle:streamInfo():dynamicMetadata():get("fxmesh") or {}
  local info = field(1, said[1]) .. field(2, "fxmesh")
  if mine[KEY] ~= nil then
    info = info .. field(3, field(1, "correlation_id") .. field(2, mine[KEY]))
  end
  local any = field(1, "type.googleapis.com/google.rpc.ErrorInfo") .. field(2, info)
  local status = string.char(8) .. varint(tonumber(code)) .. field(2, sentence) .. field(3, any)
  if said[2] ~= nil then
    headers:replace("grpc-message", sentence)
  end
  headers:replace("grpc-status-details-bin", handle:base64Escape(status))
end
