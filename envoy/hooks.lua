-- REST hooks: normalize the paths, methods and headers of requests for the routes, and turn the router's
-- `x-http-status` and `x-oai-error` into status and body. Native gRPC and gRPC-Web pass unchanged. API calls without a
-- valid key are refused.

local key_check = require("key_check")
local request_id = require("request_id")
local settings = require("edge_settings")

local JSON = "application/json"
local TYPES = {
  [401] = "authentication_error", [402] = "insufficient_quota", [403] = "permission_error",
  [429] = "rate_limit_error", [502] = "provider_error", [504] = "timeout_error",
}
-- Response headers that pages of other origins may read. Servers behind Envoy have no such list.
local EXPOSED = table.concat({
  "accept-ranges", "content-length", "content-range", "etag", "grpc-message", "grpc-status", "grpc-status-details-bin",
  "location", "preference-applied", "retry-after", "x-budget-remaining", "x-cost", "x-imagegateway-provider",
  "x-job-id", "x-ratelimit-limit", "x-ratelimit-limit-images", "x-ratelimit-limit-requests", "x-ratelimit-remaining",
  "x-ratelimit-remaining-images", "x-ratelimit-remaining-requests", "x-ratelimit-reset", "x-ratelimit-reset-images",
  "x-ratelimit-reset-requests", "x-request-id", "x-should-retry",
}, ", ")

local function has_type(headers, prefix)
  local content_type = headers:get("content-type")
  return content_type ~= nil and content_type:sub(1, #prefix):lower() == prefix
end

-- Return true for native gRPC or gRPC-Web: the type ends here, or a format or parameters follow.
local function is_grpc(headers)
  return has_type(headers, "application/grpc") and headers:get("content-type"):sub(17, 17):find("^[+;-]?$") ~= nil
end

-- gRPC headers that the router uses. gRPC fails calls whose other gRPC headers it can't parse.
local OF_GRPC = { ["grpc-timeout"] = true, ["grpc-encoding"] = true, ["grpc-accept-encoding"] = true }

-- Return true if headers exceed the limits of the servers behind Envoy, and the names of headers to remove: names that
-- HTTP allows but gRPC does not (the router would refuse the whole call), binary metadata, which no method reads, and
-- gRPC headers from callers that do not use gRPC. Envoy handles `Expect: 100-continue` itself; the servers would refuse
-- other values without the gateway's error body. Sizes follow HTTP/2 (RFC 9113, 6.5.2), as in gRPC.
local function inspect(headers, native)
  local size, count, unwanted = 0, 0, {}
  for name, value in pairs(headers) do
    size, count = size + #name + #value + 32, count + 1
    if not name:find("^:?[%w_.-]+$") or name == "expect" or name:sub(-4) == "-bin" or
      (name:sub(1, 5) == "grpc-" and not (native and OF_GRPC[name])) then
      unwanted[#unwanted + 1] = name
    end
  end
  return size > settings.max_header_bytes or count > settings.max_headers, unwanted
end

-- Return the refusal of an invalid grpc-timeout, or nil.
local function timeout_refusal(headers)
  local timeout = headers:get("grpc-timeout")
  if timeout == nil then return nil end
  local digits = timeout:match("^(%d+)[HMSmun]$")
  if digits == nil or #digits > 8 then return settings.refusals.timeout end
  return tonumber(digits) == 0 and settings.refusals.deadline or nil
end

-- Return the trace id of a caller's `traceparent`, or nil. The router checks the rest of the header.
local function trace_id(traceparent)
  local id = traceparent and traceparent:match("^%x%x%-(%x+)%-%x+%-%x%x")
  return id and #id == 32 and id == id:lower() and id or nil
end

-- Remove trailing slashes, and the query of methods other than GET. Return true for paths of the API.
local function normalize_path(headers, method)
  local given = headers:get(":path") or "" -- CONNECT requests lack it
  if given == "" then return false end
  local path, query = given:match("^([^?]*)(.*)$")
  local api = path:sub(1, 4) == "/v1/"
  if #path > 1 then path = path:gsub("/+$", "") end
  if path == "" then path = "/" end
  if api and method ~= "GET" then query = "" end
  if path .. query ~= given then headers:replace(":path", path .. query) end
  return api
end

local function needs_key(path)
  return path:sub(1, 4) == "/v1/" or path:sub(1, 14) == "/imagegateway."
    or path:find("^/mcp/*$") ~= nil or path:find("^/mcp/*%?") ~= nil
end

-- Return the refusal of a call, or nil. Health, reflection, media, pages and preflights need no key.
local function refusal(headers, too_large)
  if too_large then return settings.refusals.headers end
  local path = headers:get(":path") or ""
  if not needs_key(path) then return nil end
  if headers:get(":method") == "OPTIONS" and headers:get("access-control-request-method") then return nil end
  return settings.refusals[key_check.refusal(headers:get("authorization"))]
end

local function refuse_native(handle, why)
  local headers = { [":status"] = "200", ["grpc-status"] = why.grpc_status, ["grpc-message"] = why.message }
  if why.grpc_details ~= "" then headers["grpc-status-details-bin"] = why.grpc_details end
  handle:respond(headers)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local id = headers:get("x-request-id")
  if not request_id.is_valid(id) then
    headers:replace("x-request-id", string.format("req_%s%08x",
      handle:timestampString(EnvoyTimestampResolution.MICROSECOND), math.random(0, 0x7fffffff)))
  end
  local facts = handle:streamInfo():dynamicMetadata()
  local origin = headers:get("origin")
  -- Set true facts only: each costs some microseconds, and an absent fact reads as nil.
  if origin then facts:set("gateway", "origin", origin) end
  local trace = trace_id(headers:get("traceparent"))
  if trace then facts:set("gateway", "trace_id", trace) end -- for the log line of a refusal
  local native = is_grpc(headers)
  local too_large, unwanted = inspect(headers, native)
  local why = refusal(headers, too_large)
  for _, name in ipairs(unwanted) do headers:remove(name) end
  if native then
    why = why or timeout_refusal(headers)
    headers:replace("te", "trailers") -- gRPC resets calls without it; Envoy always forwards trailers
    facts:set("gateway", "kind", "native")
    if why then
      facts:set("gateway", "refused_type", headers:get("content-type"))
      refuse_native(handle, why)
    end
    return
  end
  local method = headers:get(":method")
  if method == "HEAD" then
    facts:set("gateway", "head", true)
    method = "GET"
  end
  if why then
    facts:set("gateway", "kind", "api")
    handle:respond({ [":status"] = why.status, ["content-type"] = JSON }, why.body)
    return
  end
  if not normalize_path(headers, method) then return end
  if has_type(headers, "multipart/form-data") then
    facts:set("gateway", "kind", "form") -- the router serves forms over plain HTTP
    return
  end
  facts:set("gateway", "kind", "api")
  -- The transcoder removes content-length. A router that knows the length waits for no end of the body.
  local length = headers:get("content-length")
  if length then headers:replace("x-body-length", length) end
  if headers:get(":method") == "HEAD" then -- the transcoder does not support HEAD
    headers:replace(":method", "GET")
    headers:replace("x-http-method", "HEAD")
  end
end

-- Translate the transcoder's errors: a query field of the wrong type, or a body that is not JSON.
local WORDS = {
  INT32 = "a whole number", INT64 = "a whole number", UINT32 = "a whole number", UINT64 = "a whole number",
  DOUBLE = "a number", BOOL = "true or false",
}
local function translate_refusal(handle)
  local body = handle:body(true)
  if body == nil or body:length() > 16384 then return end
  local field, kind = body:getBytes(0, body:length()):match("^([%a_][%w_%.]*): invalid value .* for type TYPE_(%w+)")
  local text = '{"error":{"message":"The request body is not valid JSON.","type":"invalid_request_error",' ..
    '"param":null,"code":"invalid_json"}}'
  if field then
    text = string.format(
      '{"error":{"message":"%s must be %s.","type":"invalid_request_error","param":"%s","code":"invalid_value"}}',
      field, WORDS[kind] or "of its documented type", field)
  end
  body:setBytes(text)
  handle:headers():replace("content-type", JSON)
  handle:headers():replace("content-length", tostring(#text))
end

-- The transcoder omits empty lists, but clients of a list call read `data`.
local EMPTY_LIST = '{"object":"list"}'
local function fill_list(handle)
  local body = handle:body(true)
  if body == nil or body:getBytes(0, body:length()) ~= EMPTY_LIST then return end
  body:setBytes('{"object":"list","data":[]}')
  handle:headers():replace("content-length", tostring(body:length()))
end

local function allow_origin(headers, origin)
  if headers:get("access-control-allow-origin") == nil then
    headers:replace("access-control-allow-origin", origin) -- the cors filter leaves direct responses out
  end
  headers:replace("access-control-expose-headers", EXPOSED)
end

-- Replace the router's and gRPC's headers by HTTP's. Return the error body, or nil.
local function from_grpc(headers)
  local status, length, failure = headers:get("x-http-status"), headers:get("x-content-length"), headers:get("x-oai-error")
  if status then
    headers:replace(":status", status)
    headers:remove("x-http-status")
  end
  if length then
    headers:replace("content-length", length)
    headers:remove("x-content-length")
  end
  for _, name in ipairs({
    "grpc-status", "grpc-message", "grpc-accept-encoding", "grpc-encoding", "grpc-status-details-bin", "x-oai-error",
  }) do headers:remove(name) end
  return failure
end

-- Remove the body of a status or method without one: clients would read it as the connection's next response.
-- Without a length, HTTP/1 would end such a body by a chunk. In HTTP/2 some clients miss the bytes of a 304's length.
local function remove_body(handle, code)
  local length = handle:headers():get("content-length")
  local body = handle:body(true)
  if body then body:setBytes("") end
  if code == 304 and handle:streamInfo():protocol():sub(1, 6) ~= "HTTP/1" then length = nil end
  if length then
    handle:headers():replace("content-length", length)
  else
    handle:headers():remove("content-length")
  end
end

-- Remove gRPC's trailers, which say nothing to callers of HTTP. Meanwhile the body passes without a wait.
local function remove_trailers(handle)
  local trailers = handle:trailers()
  if trailers == nil then return end
  local names = {}
  for name in pairs(trailers) do names[#names + 1] = name end
  for _, name in ipairs(names) do trailers:remove(name) end
end

-- Turn Envoy's refusal of a flooding address into a response of gRPC-Web, whose clients ignore HTTP's status.
local function refuse_web(handle)
  local headers = handle:headers()
  headers:replace(":status", "200")
  headers:replace("content-type", "application/grpc-web")
  headers:replace("content-length", "0")
  headers:replace("grpc-status", settings.refusals.address.grpc_status)
  headers:replace("grpc-message", settings.refusals.address.message)
  local body = handle:body(true)
  if body then body:setBytes("") end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local facts = handle:streamInfo():dynamicMetadata():get("gateway") or {}
  if facts["origin"] then allow_origin(headers, facts["origin"]) end
  if facts["kind"] == "native" then
    -- Envoy removes gRPC-Web's type from a response without a body.
    if facts["refused_type"] then headers:replace("content-type", facts["refused_type"]) end
    if headers:get(":status") == "429" then refuse_web(handle) end
    return
  end
  local api = facts["kind"] == "api"
  local failure = from_grpc(headers)
  local code = tonumber(headers:get(":status"))
  local from_upstream = headers:get("x-envoy-upstream-service-time") ~= nil
  if facts["kind"] then
    headers:replace("x-content-type-options", "nosniff")
    if headers:get("cache-control") == nil then headers:replace("cache-control", "no-store") end
  end
  if not failure and code >= 400 and api and from_upstream then
    failure = '{"error":{"message":"The request failed.","type":"' .. (TYPES[code] or
      (code < 500 and "invalid_request_error" or "server_error")) .. '","param":null,"code":null}}'
  end
  if (code == 429 or code == 503) and headers:get("retry-after") == nil then
    headers:replace("retry-after", "1")
  end
  if failure then
    headers:replace("content-type", JSON)
    headers:replace("content-length", tostring(#failure))
  end
  -- From here on `handle:body` may yield, after which `headers` is invalid.
  if code == 304 or (facts["head"] and api) then
    if code == 304 then headers:remove("content-type") end
    remove_body(handle, code)
  elseif failure then
    local body = handle:body(true)
    if body then body:setBytes(failure) end
  elseif code == 200 and api and headers:get("content-length") == tostring(#EMPTY_LIST) then
    fill_list(handle)
  elseif code == 400 and not from_upstream and not has_type(headers, JSON) then
    translate_refusal(handle)
  end
  if api and from_upstream then remove_trailers(handle) end
end
