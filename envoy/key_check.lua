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

-- Keys that the gateway adopts from its settings: the present one and, where a file has changed, the one before it.
-- The router decides when the earlier one ends.
local adopted_keys, read_at = { settings.adopted_key }, 0

local function is_adopted(secret)
  for _, key in ipairs(adopted_keys) do
    -- Compare the length first, so that a caller can't make the hook hash long texts.
    if #secret == key.length and is_equal(sha256.digest(secret), key.digest) then return true end
  end
  return false
end

-- Read the file of the adopted key, at most once a second. Return whether the file holds another key.
local function reload_adopted_key()
  if settings.adopted_key_file == nil or os.time() == read_at then return false end
  read_at = os.time()
  local file = io.open(settings.adopted_key_file, "rb")
  local secret = file and (file:read("*a") or ""):match("^%s*(.-)%s*$") or ""
  if file then file:close() end
  if secret == "" or is_adopted(secret) then return false end
  adopted_keys = { { length = #secret, digest = sha256.digest(secret) }, adopted_keys[1] }
  return true
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
  if #tag == TAG_DIGITS + 1 and has_valid_tag(stem, tag) then return nil end
  if reload_adopted_key() and is_adopted(secret) then return nil end
  if tag == "" and #stem == STEM_LENGTH and stem:sub(1, 4) == "igw_" then return "untagged" end
  return "unknown"
end

return key_check
