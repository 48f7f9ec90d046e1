-- The REST face of the gateway's answers. The router says status and error body in response headers
-- (`x-http-status`, `x-oai-error`); this hook turns them into what an OpenAI client reads.
-- Native gRPC and gRPC-Web pass untouched.

local JSON = "application/json"
local TYPES = {
  [401] = "authentication_error", [402] = "insufficient_quota", [403] = "permission_error",
  [429] = "rate_limit_error", [502] = "provider_error", [504] = "timeout_error",
}

local function has_type(headers, prefix)
  local content_type = headers:get("content-type")
  return content_type ~= nil and content_type:sub(1, #prefix):lower() == prefix
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local id = headers:get("x-request-id")
  if id == nil or #id > 128 or id:find("[^%w_.:-]") then
    headers:replace("x-request-id", string.format("req_%08x%08x%08x",
      math.random(0, 0x7fffffff), math.random(0, 0x7fffffff), math.random(0, 0x7fffffff)))
  end
  local facts = handle:streamInfo():dynamicMetadata()
  -- Only what is so is noted: each fact costs some microseconds, and what is not there reads as nil.
  if has_type(headers, "application/grpc") then facts:set("gateway", "native", true) end
  -- The router itself speaks HTTP to forms.
  local form = has_type(headers, "multipart/form-data")
  if headers:get(":path"):sub(1, 4) == "/v1/" and not form then facts:set("gateway", "api", true) end
  local origin = headers:get("origin")
  if origin then facts:set("gateway", "origin", origin) end
end

-- Envoy's own message about a field of the wrong type begins with the field's name, or ends with it, or is in its own jargon.
local function blame(handle)
  local body = handle:body(true)
  if body == nil or body:length() == 0 or body:length() > 16384 then return end
  local text = body:getBytes(0, body:length())
  local field = text:match('"message":"([%a_][%w_%.%[%]]*): ')
  local object = text:match('"message":": .* object on a scalar field for type ([%w_]+)"')
  local list = text:find('"message":": Proto field is not repeating', 1, true)
  if object then
    field, text = object, text:gsub('"message":"[^"]*"', '"message":"' .. object .. ' takes no object."', 1)
  elseif list then
    text = text:gsub('"message":"[^"]*"', '"message":"A field that takes one value was sent a list."', 1)
  end
  if field then text = text:gsub('"param":null', '"param":"' .. field .. '"', 1) end
  if field or list then text = text:gsub('"code":"invalid_json"', '"code":"invalid_value"', 1) end
  body:setBytes(text)
  handle:headers():replace("content-length", tostring(#text))
end

-- The transcoder prints no empty list, but clients of a list call read its `data`.
local EMPTY_LIST = '{"object":"list"}'
local function fill_list(handle)
  local body = handle:body(true)
  if body == nil or body:getBytes(0, body:length()) ~= EMPTY_LIST then return end
  body:setBytes('{"object":"list","data":[]}')
  handle:headers():replace("content-length", tostring(body:length()))
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local facts = handle:streamInfo():dynamicMetadata():get("gateway") or {}
  if facts["native"] then return end
  local status, failure = headers:get("x-http-status"), headers:get("x-oai-error")
  local from_router = facts["api"] and headers:get("x-envoy-upstream-service-time") ~= nil
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
  if (facts["origin"] or "") ~= "" and headers:get("access-control-allow-origin") == nil then
    headers:replace("access-control-allow-origin", facts["origin"]) -- the cors filter leaves direct responses out
    headers:replace("access-control-expose-headers", "x-request-id")
  end
  if code == 200 and facts["api"] and headers:get("content-length") == tostring(#EMPTY_LIST) then
    fill_list(handle)
  elseif failure then
    headers:remove("x-oai-error")
    headers:replace("content-type", JSON)
    headers:replace("content-length", tostring(#failure))
    local body = handle:body(true) -- may yield; `headers` is invalid from here on
    if body then body:setBytes(failure) end
  elseif code == 400 and headers:get("x-envoy-upstream-service-time") == nil then
    blame(handle)
  end
end
