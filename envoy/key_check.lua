-- Check of API keys on headers alone: calls without a valid key are refused before Envoy reads their body.
-- A key is valid by its tag (`services/imagegateway/keys/key_tags.py`), or as the key from the gateway's settings. The
-- router checks again: only the router knows which keys exist and which are revoked.

local bit = require("bit")
local settings = require("edge_settings")
local sha256 = require("sha256")

-- A key is its stem, an underscore, and the tag.
local STEM_LENGTH, TAG_DIGITS = 47, 20

-- Compare texts of equal length in constant time.
local function is_equal(left, right)
  local difference = 0
  for i = 1, #left do difference = bit.bor(difference, bit.bxor(left:byte(i), right:byte(i))) end
  return difference == 0
end

-- Return the bytes of hex digits.
local function from_hex(digits)
  return (digits:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end))
end

local signers = {}
for index, key in ipairs(settings.signing_keys) do signers[index] = sha256.hmac(from_hex(key)) end

local function has_valid_tag(stem, tag)
  for _, sign in ipairs(signers) do
    if is_equal("_" .. sign(stem):sub(1, TAG_DIGITS), tag) then return true end
  end
  return false
end

local function is_adopted(secret)
  local adopted = settings.adopted_key
  -- Compare the length first, so that a caller can't make the hook hash long texts.
  return adopted ~= nil and #secret == adopted.length and is_equal(sha256.digest(secret), adopted.digest)
end

local key_check = {}

-- Return the text behind "Bearer" in an Authorization header, or nil.
local function bearer(authorization)
  local scheme, rest = authorization:match("^([^ ]*) (.*)$")
  local start = rest and rest:find("%S")
  if start == nil or scheme:lower() ~= "bearer" then return nil end
  return rest:match("^.*%S", start)
end

-- Return nil for an Authorization header with a valid key, else the refusal: "missing", "untagged" or "unknown".
function key_check.refusal(authorization)
  local secret = bearer(authorization or "")
  if secret == nil then return "missing" end
  if is_adopted(secret) then return nil end
  local stem, tag = secret:sub(1, STEM_LENGTH), secret:sub(STEM_LENGTH + 1)
  if tag == "" and #stem == STEM_LENGTH and stem:sub(1, 4) == "igw_" then return "untagged" end
  if #tag == TAG_DIGITS + 1 and has_valid_tag(stem, tag) then return nil end
  return "unknown"
end

return key_check
