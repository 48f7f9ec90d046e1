-- The REST face of the gateway's answers. The router says status and error body in response headers
-- (`x-http-status`, `x-oai-error`); this hook turns them into what an OpenAI client reads.
-- Native gRPC and gRPC-Web pass untouched.

local JSON = "application/json"
local TYPES = {
  [401] = "authentication_error", [402] = "insufficient_quota", [403] = "permission_error",
  [429] = "rate_limit_error", [502] = "provider_error", [504] = "timeout_error",
}

local function is_grpc(headers)
  local content_type = headers:get("content-type")
  return content_type ~= nil and content_type:sub(1, 16) == "application/grpc"
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local id = headers:get("x-request-id")
  if id == nil or #id > 128 or id:find("[^%w_.:-]") then
    headers:replace("x-request-id", string.format("req_%08x%08x%08x",
      math.random(0, 0x7fffffff), math.random(0, 0x7fffffff), math.random(0, 0x7fffffff)))
  end
  handle:streamInfo():dynamicMetadata():set("gateway", "native", is_grpc(headers))
end

-- Envoy's own message about a field of the wrong type begins with the field's name.
local function blame(handle)
  local body = handle:body(true)
  if body == nil or body:length() == 0 or body:length() > 16384 then return end
  local text = body:getBytes(0, body:length())
  local field = text:match('"message":"([%a_][%w_%.%[%]]*): ')
  if field then
    body:setBytes((text:gsub('"param":null', '"param":"' .. field .. '"', 1)
      :gsub('"code":"invalid_json"', '"code":"invalid_value"', 1)))
    handle:headers():replace("content-length", tostring(body:length()))
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local native = handle:streamInfo():dynamicMetadata():get("gateway")
  if native and native["native"] then return end
  local status, failure = headers:get("x-http-status"), headers:get("x-oai-error")
  local from_router = headers:get("grpc-status") ~= nil
  if status then
    headers:replace(":status", status)
    headers:remove("x-http-status")
  end
  headers:remove("grpc-status")
  headers:remove("grpc-message")
  headers:remove("grpc-accept-encoding")
  headers:remove("grpc-encoding")
  headers:remove("grpc-status-details-bin")
  if status == "304" then
    headers:remove("content-length")
    headers:remove("content-type")
    return
  end
  local code = tonumber(headers:get(":status"))
  if not failure and code >= 400 and from_router then
    failure = '{"error":{"message":"The request failed.","type":"' .. (TYPES[code] or
      (code < 500 and "invalid_request_error" or "server_error")) .. '","param":null,"code":null}}'
  end
  if (code == 429 or code == 503) and headers:get("retry-after") == nil then
    headers:replace("retry-after", "1")
  end
  if failure then
    headers:remove("x-oai-error")
    headers:replace("content-type", JSON)
    headers:replace("content-length", tostring(#failure))
    local body = handle:body(true) -- may yield; `headers` is invalid from here on
    if body then body:setBytes(failure) end
  elseif code == 400 and headers:get("x-envoy-upstream-service-time") == nil then
    blame(handle)
  end
end
