-- Bodies of native gRPC calls and gRPC-Web: each piece becomes a gRPC message of its own. gRPC hands on whole messages
-- alone, so the router could not tell a message that arrives slowly from one that stalls, nor count its bytes. It puts
-- the caller's messages together again (`services/imagegateway/router/grpc_messages.py`).

local bit = require("bit")

-- Return the prefix of a gRPC message that is not compressed.
local function prefix(size)
  return string.char(0, bit.rshift(size, 24), bit.band(bit.rshift(size, 16), 255), bit.band(bit.rshift(size, 8), 255),
    bit.band(size, 255))
end

function envoy_on_request(handle)
  local facts = handle:streamInfo():dynamicMetadata():get("gateway") or {}
  local headers = handle:headers()
  local path = headers:get(":path") or "" -- CONNECT has none
  if facts["kind"] ~= "native" or path:sub(1, 17) ~= "/imagegateway.v1." then return end
  -- gRPC keeps the name of the encoding to itself, and a piece has none.
  headers:replace("x-grpc-pieces", headers:get("grpc-encoding") or "identity")
  headers:remove("grpc-encoding")
  headers:remove("content-length")
  for piece in handle:bodyChunks() do
    local size = piece:length()
    if size > 0 then piece:setBytes(prefix(size) .. piece:getBytes(0, size)) end
  end
end
