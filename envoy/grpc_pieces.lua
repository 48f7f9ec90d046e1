-- Filter that turns each body piece of a native gRPC or gRPC-Web call into one gRPC message. gRPC delivers whole
-- messages only, so otherwise the router could not distinguish a slow message from a stalled one, nor count its bytes.
-- The router reassembles the caller's messages (`services/imagegateway/router/grpc_messages.py`).

local bit = require("bit")

-- Return the prefix of a gRPC message that is not compressed.
local function prefix(size)
  return string.char(0, bit.rshift(size, 24), bit.band(bit.rshift(size, 16), 255), bit.band(bit.rshift(size, 8), 255),
    bit.band(size, 255))
end

function envoy_on_request(handle)
  local facts = handle:streamInfo():dynamicMetadata():get("gateway") or {}
  if facts["kind"] ~= "native" then return end
  local headers = handle:headers()
  -- gRPC hides the encoding's name from the router, and a piece is not encoded.
  headers:replace("x-grpc-pieces", headers:get("grpc-encoding") or "identity")
  headers:remove("grpc-encoding")
  headers:remove("content-length")
  for piece in handle:bodyChunks() do
    local size = piece:length()
    if size > 0 then piece:setBytes(prefix(size) .. piece:getBytes(0, size)) end
  end
end
