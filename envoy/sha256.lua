-- SHA-256 (FIPS 180-4) and HMAC-SHA256 (RFC 2104) for Envoy's LuaJIT, which lacks cryptography.

local bit = require("bit")
local band, bnot, bor, bxor = bit.band, bit.bnot, bit.bor, bit.bxor
local lshift, ror, rshift, tobit, tohex = bit.lshift, bit.ror, bit.rshift, bit.tobit, bit.tohex

local BLOCK = 64
local ROUNDS = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}
local INITIAL = {
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}

local schedule = {}

-- Return the state after one more block, which begins at byte `at` of `text`.
local function compress(state, text, at)
  local w = schedule
  for i = 1, 16 do
    local first, second, third, fourth = text:byte(at + i * 4 - 4, at + i * 4 - 1)
    w[i] = bor(lshift(first, 24), lshift(second, 16), lshift(third, 8), fourth)
  end
  for i = 17, 64 do
    local x, y = w[i - 15], w[i - 2]
    local s0 = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
    local s1 = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
    w[i] = tobit(w[i - 16] + s0 + w[i - 7] + s1)
  end
  local a, b, c, d, e, f, g, h = unpack(state)
  for i = 1, 64 do
    local s1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
    local choice = bxor(band(e, f), band(bnot(e), g))
    local t1 = tobit(h + s1 + choice + ROUNDS[i] + w[i])
    local s0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
    local majority = bxor(band(a, b), band(a, c), band(b, c))
    h, g, f, e, d, c, b, a = g, f, e, tobit(d + t1), c, b, a, tobit(t1 + s0 + majority)
  end
  return {
    tobit(state[1] + a), tobit(state[2] + b), tobit(state[3] + c), tobit(state[4] + d),
    tobit(state[5] + e), tobit(state[6] + f), tobit(state[7] + g), tobit(state[8] + h),
  }
end

-- Return four bytes, the highest first.
local function word(value)
  return string.char(rshift(value, 24), band(rshift(value, 16), 255), band(rshift(value, 8), 255), band(value, 255))
end

-- Return the final state. `before`: bytes that `state` has taken in already, a multiple of the block.
local function finish(state, text, before)
  local length = before + #text -- under 512 MiB: its number of bits fits into one word
  local padded = text .. "\128" .. string.rep("\0", (55 - length) % BLOCK + 4) .. word(length * 8)
  for at = 1, #padded, BLOCK do state = compress(state, padded, at) end
  return state
end

local function hex(state)
  local words = {}
  for i = 1, 8 do words[i] = tohex(state[i]) end
  return table.concat(words)
end

local function bytes(state)
  local words = {}
  for i = 1, 8 do words[i] = word(state[i]) end
  return table.concat(words)
end

local function block_of(key, mask)
  local masked = {}
  for i = 1, BLOCK do masked[i] = string.char(bxor(key:byte(i) or 0, mask)) end
  return table.concat(masked)
end

local sha256 = {}

-- Return the SHA-256 of a text, 64 hex digits.
function sha256.digest(text) return hex(finish(INITIAL, text, 0)) end

-- Return a function that returns the HMAC-SHA256 of a text under `key` (at most 64 bytes), 64 hex digits.
function sha256.hmac(key)
  local inner = compress(INITIAL, block_of(key, 0x36), 1)
  local outer = compress(INITIAL, block_of(key, 0x5c), 1)
  return function(text) return hex(finish(outer, bytes(finish(inner, text, BLOCK)), BLOCK)) end
end

return sha256
