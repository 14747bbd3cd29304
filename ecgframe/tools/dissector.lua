-- Wireshark's dissector of ECG monitors' binary WebSocket frames.
--
-- Written by "ecgframe wireshark" (ecgframe @OWN_VERSION@) from the tables of the package: to change it, change those.
-- Load it with "wireshark -X lua_script:ecgframe.lua", or put it in the folder of personal Lua plugins
-- ("ecgframe wireshark --install" does).
--
-- It makes the receiver's checks 1 to 10 and 13, and of check 11 whether the payload is one well-formed MessagePack
-- value. What the wrappers of arrays, dates and UUIDs may hold (check 11), and which fields a message needs (check 12),
-- only "ecgframe inspect" judges. Of a record of version 4 it shows the header, and looks up no template. Of a fragment it
-- shows which bytes of the message it has; it does not put fragments together.

-- Tables of the protocol, generated --

local HEADER_SIZES = @HEADER_SIZES@ -- by version
local OFFSETS = @OFFSETS@
local WIDTHS = @WIDTHS@
local TYPES = @TYPES@
local TYPE_SINCE = @TYPE_SINCE@
local STREAM_TYPES = @STREAM_TYPES@ -- those whose messages may be of a stream
local ALGORITHMS = @ALGORITHMS@
local FORM_ALGORITHM = @FORM_ALGORITHM@
local ZSTD_MAGIC = 0x28b52ffd
-- Bytes that a copy in an LZ4 block has at least, and of the largest payload that is inflated from one here.
local LZ4_LEAST_COPY = 4
local LZ4_MOST = 1024 * 1024
local unpack = table.unpack or unpack -- Lua 5.1 and 5.2 name it differently
local FORM_RECORD = @FORM_RECORD@
local FORM_BULK = @FORM_BULK@
local RECORD_HEADER = @RECORD_HEADER@ -- bytes
local SEAL_OVERHEAD = @SEAL_OVERHEAD@
local SENDER_SIZE = @SENDER_SIZE@
local MAX_SENDERS = @MAX_SENDERS@ -- whose keys are kept
local MAX_KEY_FILE = 4 * 1024 * 1024 -- bytes
local TRAILER_SIZE = @TRAILER_SIZE@ -- of a signed payload
local KEY_NAME_SIZE = @KEY_NAME_SIZE@
local FRAGMENT_HEADER = @FRAGMENT_HEADER@ -- bytes
local LEAST_FRAGMENT = @LEAST_FRAGMENT@ -- bytes of a piece that is not the last
local FLAGS = @FLAGS@ -- bit, name, first version
local CODES = @CODES@
local CLOSING = @CLOSING@ -- the last check behind which a receiver closes
local MAX_PAYLOAD = @MAX_PAYLOAD@
local MAX_DEPTH = @MAX_DEPTH@
local MAX_VALUES = @MAX_VALUES@
local BINARY_VALUES = @BINARY_VALUES@
local NDARRAY_VALUES = @NDARRAY_VALUES@
local DATA_FIELDS = @DATA_FIELDS@
local SUBPROTOCOL = @NAME@
local PORT = @PORT@

local bit = bit or bit32 or load("return { band = function(a, b) return a & b end, bxor = function(a, b) return a ~ b end, rshift = function(a, n) return (a & 0xffffffff) >> n end }")()
local band, bxor, rshift = bit.band, bit.bxor, bit.rshift
local unpack_table = unpack or table.unpack

-- What can be filtered on --

local ecgframe = Proto(@NAME@, "ECG frame")
local fields = ecgframe.fields
local errors = {}

local versions = {}
for version in pairs(HEADER_SIZES) do versions[version] = "V" .. version end

fields.version = ProtoField.uint8("ecgframe.version", "Version", base.DEC, versions)
fields.type = ProtoField.uint8("ecgframe.type", "Type", base.HEX, TYPES)
fields.flags = ProtoField.uint8("ecgframe.flags", "Flags", base.HEX)
for _, flag in ipairs(FLAGS) do
  fields["flag_" .. flag[2]] = ProtoField.bool("ecgframe.flags." .. flag[2]:lower(), flag[2], 8, nil, flag[1])
end
fields.length = ProtoField.uint32("ecgframe.length", "Length", base.DEC)
fields.checksum = ProtoField.uint32("ecgframe.checksum", "Checksum", base.HEX)
fields.checksum_good = ProtoField.bool("ecgframe.checksum.good", "Checksum is good")
fields.timestamp = ProtoField.absolute_time("ecgframe.timestamp", "Timestamp", base.UTC)
fields.timestamp_us = ProtoField.uint64("ecgframe.timestamp_us", "Timestamp in microseconds", base.DEC)
fields.form = ProtoField.uint8("ecgframe.form", "Form", base.HEX)
fields.form_algorithm = ProtoField.uint8("ecgframe.form.algorithm", "Algorithm", base.DEC, ALGORITHMS, FORM_ALGORITHM)
fields.form_record = ProtoField.bool("ecgframe.form.record", "RECORD", 8, nil, FORM_RECORD)
fields.form_bulk = ProtoField.bool("ecgframe.form.bulk", "BULK", 8, nil, FORM_BULK)
fields.stream = ProtoField.uint32("ecgframe.stream", "Stream", base.DEC)
fields.sequence = ProtoField.uint64("ecgframe.sequence", "Sequence", base.DEC)
fields.record_template = ProtoField.uint16("ecgframe.record.template", "Template", base.DEC)
fields.record_filter = ProtoField.uint8("ecgframe.record.filter", "Filter", base.DEC, { [0] = "none", [1] = "delta" })
fields.record_options = ProtoField.uint8("ecgframe.record.options", "Options", base.HEX)
fields.record_count = ProtoField.uint32("ecgframe.record.count", "Samples of each lead", base.DEC)
fields.record_time = ProtoField.int64("ecgframe.record.time_us", "Time of the first sample in microseconds", base.DEC)
fields.fragment_total = ProtoField.uint32("ecgframe.fragment.total", "Bytes of the whole payload", base.DEC)
fields.fragment_offset = ProtoField.uint32("ecgframe.fragment.offset", "Offset of the piece", base.DEC)
fields.fragment_bytes = ProtoField.uint32("ecgframe.fragment.bytes", "Bytes of the piece", base.DEC)
fields.key = ProtoField.uint32("ecgframe.sealed.key", "Key id", base.DEC)
fields.sender = ProtoField.bytes("ecgframe.sealed.sender", "Sender")
fields.counter = ProtoField.uint32("ecgframe.sealed.counter", "Counter", base.DEC)
fields.not_opened = ProtoField.string("ecgframe.sealed.not_opened", "Not opened")
fields.signer = ProtoField.bytes("ecgframe.signer", "Signer, the name of the key")
fields.signature = ProtoField.bytes("ecgframe.signature", "Signature, not verified")
fields.payload = ProtoField.bytes("ecgframe.payload", "Payload")
fields.inflated = ProtoField.uint32("ecgframe.inflated", "Bytes of the payload, inflated", base.DEC)
fields.compressed_by = ProtoField.string("ecgframe.compressed_by", "Compressed with")
fields.error = ProtoField.uint16("ecgframe.error", "A receiver answers", base.HEX, CODES)
fields.check = ProtoField.uint8("ecgframe.error.check", "The check that fails", base.DEC)
fields.number = ProtoField.uint32("ecgframe.number", "Number within the message", base.DEC)
for _, name in ipairs(DATA_FIELDS) do
  fields["data_" .. name] = ProtoField.string("ecgframe.data." .. name, name)
end
fields.data = ProtoField.string("ecgframe.data", "Payload")

local function fault(name, text, group)
  errors[name] = ProtoExpert.new("ecgframe.expert." .. name, text, group, expert.severity.ERROR)
  return errors[name]
end

ecgframe.experts = {
  fault("checksum", "The checksum is not that of the payload", expert.group.CHECKSUM),
  fault("length", "The length lies", expert.group.MALFORMED),
  fault("version", "Unknown version", expert.group.PROTOCOL),
  fault("type", "Unknown message type", expert.group.PROTOCOL),
  fault("flags", "A flag that the version lacks", expert.group.PROTOCOL),
  fault("form", "Form, stream and sequence do not fit the message", expert.group.PROTOCOL),
  fault("fragment", "An invalid fragment of a message", expert.group.MALFORMED),
  fault("encrypted", "A sealed payload that is too short", expert.group.UNDECODED),
  fault("tag", "A sealed payload that does not open", expert.group.SECURITY),
  fault("signed", "A signature that is cut short", expert.group.UNDECODED),
  fault("inflate", "The payload does not inflate", expert.group.MALFORMED),
  fault("payload", "The payload is no MessagePack value", expert.group.MALFORMED),
  fault("text", "A text message; frames travel in binary ones", expert.group.PROTOCOL),
}

ecgframe.prefs.max_payload = Pref.uint("Largest payload", MAX_PAYLOAD, "The receiver's limit, in bytes")
ecgframe.prefs.keys = Pref.string("File of stream keys", "", "Opens sealed payloads with the keys that \"ecgframe keys\" has made")

local opcode_of = Field.new("websocket.opcode")
local TEXT = 1

-- CRC-32 --

local CRC_TABLE = {}
for byte = 0, 255 do
  local crc = byte
  for _ = 1, 8 do
    crc = band(crc, 1) == 1 and bxor(rshift(crc, 1), 0xEDB88320) or rshift(crc, 1)
  end
  CRC_TABLE[byte] = crc
end

local function crc32(octets)
  local crc = 0xFFFFFFFF
  for index = 1, #octets do
    crc = bxor(rshift(crc, 8), CRC_TABLE[band(bxor(crc, octets:byte(index)), 0xFF)])
  end
  return bxor(crc, 0xFFFFFFFF) % 0x100000000 -- the bit library counts below 0 as well
end

-- MessagePack: each value as text, for the tree --

local Reader = {}
Reader.__index = Reader

function Reader.new(tvb)
  return setmetatable({ tvb = tvb, place = 0, values = 0 }, Reader)
end

function Reader:refuse(words)
  error({ place = self.place, words = words }, 0)
end

function Reader:take(count)
  if self.place + count > self.tvb:len() then self:refuse("cut short") end
  self.place = self.place + count
  return self.place - count
end

function Reader:uint(width)
  local place = self:take(width)
  if width == 8 then return self.tvb(place, 8):uint64():tonumber() end
  return self.tvb(place, width):uint()
end

-- How many bytes follow, and what the first of them may be, by the first byte of a character of UTF-8.
local function follows(first)
  if first < 0x80 then return 0 end
  if first >= 0xC2 and first <= 0xDF then return 1, 0x80, 0xBF end
  if first == 0xE0 then return 2, 0xA0, 0xBF end
  if first == 0xED then return 2, 0x80, 0x9F end
  if first >= 0xE1 and first <= 0xEF then return 2, 0x80, 0xBF end
  if first == 0xF0 then return 3, 0x90, 0xBF end
  if first >= 0xF1 and first <= 0xF3 then return 3, 0x80, 0xBF end
  if first == 0xF4 then return 3, 0x80, 0x8F end
end

local function is_utf8(octets)
  local index = 1
  while index <= #octets do
    local count, low, high = follows(octets:byte(index))
    if not count or index + count > #octets then return false end
    for offset = 1, count do
      local octet = octets:byte(index + offset)
      if octet < low or octet > high then return false end
      low, high = 0x80, 0xBF
    end
    index = index + 1 + count
  end
  return true
end

function Reader:count(values)
  self.values = self.values + values
  if self.values > MAX_VALUES then self:refuse("too many values") end
end

function Reader:text(length)
  local place = self:take(length)
  self:count(1)
  if length == 0 then return '""' end
  if not is_utf8(self.tvb(place, length):raw()) then
    self.place = place
    self:refuse("text that is no UTF-8")
  end
  return '"' .. self.tvb(place, length):string(ENC_UTF_8) .. '"'
end

function Reader:bin(length)
  self:take(length)
  self:count(BINARY_VALUES)
  return length .. " bytes"
end

function Reader:enter(depth)
  if depth > MAX_DEPTH then self:refuse("nested too deep") end
  self:count(1)
end

local SHOWN = 16

function Reader:array(count, depth)
  self:enter(depth)
  local texts = {}
  for index = 1, count do
    local text = self:value(depth + 1)
    if index <= SHOWN then texts[index] = text end
  end
  local more = count > SHOWN and ", ... (" .. count .. ")" or ""
  return "[" .. table.concat(texts, ", ") .. more .. "]"
end

function Reader:map(count, depth)
  local before = self.values
  self:enter(depth)
  local texts, entries, seen = {}, {}, {}
  for index = 1, count do
    local key_at = self.place
    local key, kind = self:value(depth + 1)
    if kind ~= "str" and kind ~= "int" then
      self.place = key_at
      self:refuse("a key is neither str nor int")
    end
    if kind == "int" then self:count(1) end
    if seen[kind .. key] then
      self.place = key_at
      self:refuse("a key occurs twice")
    end
    seen[kind .. key] = true
    local place = self.place
    local text = self:value(depth + 1)
    local name = key:gsub('^"(.*)"$', "%1")
    entries[index] = { name = name, text = text, place = place, length = self.place - place }
    entries[name] = text
    if index <= SHOWN then texts[index] = key .. ": " .. text end
  end
  if count == 3 and entries.__ndarray__ and entries.dtype and entries.shape then
    self.values = before
    self:count(NDARRAY_VALUES)
    return "ndarray " .. entries.dtype:gsub('"', "") .. " " .. entries.shape, "ndarray"
  end
  return "{" .. table.concat(texts, ", ") .. "}", "map", entries
end

local function float_text(number) -- as few digits as name it
  for digits = 6, 16 do
    local text = string.format("%." .. digits .. "g", number)
    if tonumber(text) == number then return text end
  end
  return string.format("%.17g", number)
end

function Reader:value(depth)
  local first = self.tvb(self:take(1), 1):uint()
  if first <= 0x7f then return tostring(first), "int" end
  if first <= 0x8f then return self:map(first - 0x80, depth) end
  if first <= 0x9f then return self:array(first - 0x90, depth), "array" end
  if first <= 0xbf then return self:text(first - 0xa0), "str" end
  if first >= 0xe0 then return tostring(first - 0x100), "int" end
  if first == 0xc0 then return "nil", "nil" end
  if first == 0xc2 then return "false", "bool" end
  if first == 0xc3 then return "true", "bool" end
  if first >= 0xc4 and first <= 0xc6 then return self:bin(self:uint(2 ^ (first - 0xc4))), "bin" end
  if first == 0xca then return float_text(self.tvb(self:take(4), 4):float()), "float" end
  if first == 0xcb then return float_text(self.tvb(self:take(8), 8):float()), "float" end
  if first == 0xcf then return tostring(self.tvb(self:take(8), 8):uint64()), "int" end
  if first >= 0xcc and first <= 0xce then return tostring(self:uint(2 ^ (first - 0xcc))), "int" end
  if first == 0xd3 then return tostring(self.tvb(self:take(8), 8):int64()), "int" end
  if first >= 0xd0 and first <= 0xd2 then
    local width = 2 ^ (first - 0xd0)
    return tostring(self.tvb(self:take(width), width):int()), "int"
  end
  if first >= 0xd9 and first <= 0xdb then return self:text(self:uint(2 ^ (first - 0xd9))), "str" end
  if first == 0xdc or first == 0xdd then return self:array(self:uint(2 ^ (first - 0xdb)), depth), "array" end
  if first == 0xde or first == 0xdf then return self:map(self:uint(2 ^ (first - 0xdd)), depth) end
  self.place = self.place - 1
  self:refuse(string.format("byte 0x%02x begins no value", first))
end

-- One frame --

local function refuse(tree, range, name, code, check, words)
  tree:add_proto_expert_info(errors[name], words)
  tree:add(fields.error, range, code):set_generated()
  if check then tree:add(fields.check, range, check):set_generated() end
end

local function add_payload(tree, tvb, info)
  local reader = Reader.new(tvb)
  local well, text, kind, entries = pcall(function()
    local text, kind, entries = reader:value(1)
    if reader.place < tvb:len() then reader:refuse("bytes behind the value") end
    return text, kind, entries
  end)
  if not well then
    if type(text) ~= "table" then error(text, 0) end
    local place = math.min(text.place, tvb:len() - 1)
    local code = text.words == "too many arrays and maps" and 0x102 or 0x200
    refuse(tree, tvb(place), "payload", code, 11, "The payload is no MessagePack value: " .. text.words .. ", at its byte " .. text.place)
    return
  end
  if kind ~= "map" then
    tree:add(fields.data, tvb(), text)
    return
  end
  for _, entry in ipairs(entries) do
    local field = fields["data_" .. entry.name]
    local range = tvb(entry.place, entry.length)
    local bare = entry.text:gsub('^"(.*)"$', "%1")
    if field then
      tree:add(field, range, bare)
    else
      tree:add(fields.data, range, entry.text, entry.name .. ": " .. entry.text)
    end
    if entry.name == "stream" then info.stream = bare end
  end
end

-- The header of a record. What its samples are, a template says that went before.
local function add_record(tree, tvb)
  if tvb:len() < RECORD_HEADER then
    refuse(tree, tvb(), "payload", 0x200, 11, "A record of " .. tvb:len() .. " bytes; it has at least " .. RECORD_HEADER)
    return
  end
  tree:add(fields.record_template, tvb(0, 2))
  tree:add(fields.record_filter, tvb(2, 1))
  tree:add(fields.record_options, tvb(3, 1))
  tree:add(fields.record_count, tvb(4, 4))
  tree:add(fields.record_time, tvb(8, 8))
end

local function count_of_types(version)
  local count = 0
  for _, since in pairs(TYPE_SINCE) do
    if since <= version then count = count + 1 end
  end
  return count
end

-- What V4 adds to check 6, in words; nil where nothing is wrong.
local function form_fault(kind, bits, form, stream, sequence, has)
  local name = TYPES[kind]
  local algorithm = band(form, FORM_ALGORITHM)
  local is_record, is_bulk = band(form, FORM_RECORD) ~= 0, band(form, FORM_BULK) ~= 0
  local is_first = has(bits, "PRIORITY")
  local is_numbered = sequence:higher() ~= 0 or sequence:lower() ~= 0
  if form - algorithm - (is_record and FORM_RECORD or 0) - (is_bulk and FORM_BULK or 0) ~= 0 then
    return "The form has reserved bits"
  end
  if algorithm ~= 0 and not has(bits, "COMPRESSED") then return "An algorithm, and the payload is not compressed" end
  if not ALGORITHMS[algorithm] then return "No algorithm has the number " .. algorithm end
  if is_record and (name ~= "ECG_DATA" or stream == 0 or is_first) then
    return "RECORD is for ECG_DATA of a stream without PRIORITY"
  end
  if is_bulk and (not STREAM_TYPES[kind] or name == "ANOMALY_ALERT" or stream == 0 or is_first) then
    return "BULK is for messages of a stream without PRIORITY, but for ANOMALY_ALERT"
  end
  if stream ~= 0 and not STREAM_TYPES[kind] then return name .. " is of no stream" end
  if sequence:higher() >= 0x200000 then return "The sequence is too large" end
  if is_numbered and stream == 0 then return "The sequence belongs to no stream" end
  if stream ~= 0 and not is_numbered and name ~= "STREAM_TEMPLATE" then return name .. " of a stream has no sequence" end
end

local function adler32(octets)
  local low, high = 1, 0
  for index = 1, #octets do
    low = (low + octets:byte(index)) % 65521
    high = (high + low) % 65521
  end
  return high * 65536 + low
end

-- Wireshark inflates much that is no zlib stream as well, and as much of one as there is: so its ends are looked at.
local function is_whole(range, plain)
  if range:len() < 6 then return false end
  local begin, sum = range(0, 2):uint(), range(range:len() - 4, 4):uint()
  return begin % 31 == 0 and band(rshift(begin, 8), 0x0F) == 8 and adler32(plain:raw()) == sum
end

-- The name of the method changed with Wireshark 4.4; one that is not there is an error even to ask for.
local function inflated(range)
  for _, method in ipairs({ "uncompress_zlib", "uncompress" }) do
    local well, result = pcall(function() return range[method](range, "Inflated payload") end)
    if well and result then
      local is_good = result:len() > ecgframe.prefs.max_payload or is_whole(range, result)
      return is_good and result or nil
    end
  end
end

-- SHA-256, by which the key of each sender is derived --

local lshift = bit.lshift or function(a, n) return band(a * 2 ^ n, 0xffffffff) end
local band_not = function(a, b) return band(bxor(a, 0xffffffff), b) end
local rotate = function(a, n) return bxor(rshift(a, n), lshift(a, 32 - n)) end
local ROUNDS, START = {}, {}
do
  local prime = 2
  while #ROUNDS < 64 do
    local is_prime = true
    for divisor = 2, math.floor(prime ^ 0.5) do
      if prime % divisor == 0 then is_prime = false end
    end
    if is_prime then
      if #START < 8 then START[#START + 1] = math.floor(prime ^ 0.5 % 1 * 2 ^ 32) end
      ROUNDS[#ROUNDS + 1] = math.floor(prime ^ (1 / 3) % 1 * 2 ^ 32)
    end
    prime = prime + 1
  end
end

local function word_of(number) -- 4 bytes
  number = number % 0x100000000
  local octets = {}
  for place = 4, 1, -1 do
    octets[place] = string.char(number % 256)
    number = math.floor(number / 256)
  end
  return table.concat(octets)
end

local function sha256(text)
  local whole = text .. "\128" .. string.rep("\0", (55 - #text) % 64) .. word_of(0) .. word_of(8 * #text)
  local state = { unpack_table(START) }
  for begin = 1, #whole, 64 do
    local w = {}
    for place = 1, 16 do
      local a, b, c, d = whole:byte(begin + 4 * place - 4, begin + 4 * place - 1)
      w[place] = ((a * 256 + b) * 256 + c) * 256 + d
    end
    for place = 17, 64 do
      local x, y = w[place - 15], w[place - 2]
      local one = bxor(rotate(x, 7), bxor(rotate(x, 18), rshift(x, 3)))
      local other = bxor(rotate(y, 17), bxor(rotate(y, 19), rshift(y, 10)))
      w[place] = (w[place - 16] + one + w[place - 7] + other) % 0x100000000
    end
    local a, b, c, d, e, f, g, h = unpack_table(state)
    for place = 1, 64 do
      local one = bxor(rotate(e, 6), bxor(rotate(e, 11), rotate(e, 25)))
      local sum = (h + one + bxor(band(e, f), band_not(e, g)) + ROUNDS[place] + w[place]) % 0x100000000
      local other = bxor(rotate(a, 2), bxor(rotate(a, 13), rotate(a, 22)))
      local most = bxor(band(a, b), bxor(band(a, c), band(b, c)))
      h, g, f, e = g, f, e, (d + sum) % 0x100000000
      d, c, b, a = c, b, a, (sum + other + most) % 0x100000000
    end
    for place, one in ipairs({ a, b, c, d, e, f, g, h }) do state[place] = (state[place] + one) % 0x100000000 end
  end
  for place, one in ipairs(state) do state[place] = word_of(one) end
  return table.concat(state)
end

local function hmac(key, text)
  local function padded(octet)
    local octets = {}
    for place = 1, 64 do octets[place] = string.char(bxor(key:byte(place) or 0, octet) % 256) end
    return table.concat(octets)
  end
  return sha256(padded(0x5c) .. sha256(padded(0x36) .. text))
end

-- Gives the key and the IV of a sender: HKDF-SHA-256, 44 bytes.
local function derived(secret, sender, stream)
  local made, info = hmac(sender, secret), "ecgframe seal 1\0" .. stream
  local first = hmac(made, info .. "\1")
  return first, hmac(made, first .. info .. "\2"):sub(1, 12)
end

-- The file of keys --

local function from_hex(digits)
  return (digits:gsub("%x%x", function(two) return string.char(tonumber(two, 16)) end))
end

local function utf8_of(number)
  return utf8 and utf8.char(number) or "?" -- every Lua with a cipher has it
end

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function text_of(quoted) -- of a JSON string without its quotes
  quoted = quoted:gsub("\\u([dD][89abAB]%x%x)\\u([dD][c-fC-F]%x%x)", function(high, low)
    return utf8_of(0x10000 + (tonumber(high, 16) - 0xd800) * 0x400 + tonumber(low, 16) - 0xdc00)
  end)
  quoted = quoted:gsub("\\u(%x%x%x%x)", function(digits) return utf8_of(tonumber(digits, 16)) end)
  return (quoted:gsub("\\(.)", function(letter) return ESCAPES[letter] or letter end))
end

local keys, keys_of, no_keys, derived_keys, derived_count = {}, nil, nil, {}, 0

-- Reads the file that "ecgframe keys" makes, once: a JSON list of objects without others in them.
local function load_keys(path)
  if keys_of == path then return end
  keys, keys_of, no_keys, derived_keys, derived_count = {}, path, nil, {}, 0
  if path == "" then
    no_keys = "no file of keys is set (preferences, protocol ecgframe)"
    return
  end
  local file = io.open(path, "r")
  local text = file and file:read(MAX_KEY_FILE + 1)
  if file then file:close() end
  if not text or #text > MAX_KEY_FILE then
    no_keys = "the file of keys cannot be read, or is too large"
    return
  end
  local texts = {}
  local bare = text:gsub("\\.", function(two) return two == '\\"' and "\\u0022" or nil end)
  bare = bare:gsub('"([^"]*)"', function(quoted) texts[#texts + 1] = text_of(quoted) return "<" .. #texts .. ">" end)
  for object in bare:gmatch("%b{}") do
    local found = {}
    for name, value in object:gmatch("<(%d+)>%s*:%s*([^,}%s]+)") do
      local quoted = value:match("^<(%d+)>$")
      found[texts[tonumber(name)]] = quoted and texts[tonumber(quoted)] or tonumber(value)
    end
    local key = found.key
    if type(found.stream) == "string" and type(found.id) == "number" and type(key) == "string" and #key == 64 and not key:find("%X") then
      keys[found.id] = { stream = found.stream, secret = from_hex(key) }
    else
      no_keys = "the file of keys has one that is not whole"
    end
  end
  if not next(keys) then no_keys = no_keys or "the file of keys has none" end
end

-- Gives the opened payload, as a ByteArray; or nil, and why not ("tag" if it is not right).
local function open_sealed(payload, version, kind, bits, form)
  load_keys(ecgframe.prefs.keys)
  local id = payload(0, 4):uint()
  local key = keys[id]
  if not key then return nil, no_keys or "the file of keys has no key " .. id end
  if not GcryptCipher then return nil, "this Wireshark has no cipher for its plugins; 4.6 has" end
  local sender = payload(4, SENDER_SIZE):raw()
  local name = id .. " " .. sender
  if not derived_keys[name] then
    if derived_count >= MAX_SENDERS then derived_keys, derived_count = {}, 0 end
    derived_keys[name], derived_count = { derived(key.secret, sender, key.stream) }, derived_count + 1
  end
  local secret, iv = unpack_table(derived_keys[name])
  local counter, nonce = payload(4 + SENDER_SIZE, 4):raw(), iv:sub(1, 8)
  for place = 1, 4 do
    nonce = nonce .. string.char(bxor(iv:byte(8 + place), counter:byte(place)) % 256)
  end
  local sealed = SEAL_OVERHEAD - 16 -- bytes in front
  local stop = payload:len() - 16
  local mask = version < 4 and 0x01 or 0x41
  local about = string.char(kind, band(bits, mask), version < 4 and 0 or band(form, 0x07)) .. payload(0, sealed):raw()
  local well, opened, is_right = pcall(function()
    local cipher = GcryptCipher.open(GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0)
    cipher:setkey(ByteArray.new(secret, true))
    cipher:setiv(ByteArray.new(nonce, true))
    cipher:authenticate(ByteArray.new(about, true))
    local plain = ByteArray.new()
    if stop > sealed then plain = cipher:decrypt(NULL, payload(sealed, stop - sealed):bytes()) end
    return plain, cipher:checktag(payload(stop, 16):bytes()) == 0
  end)
  if not well then return nil, "the cipher failed: " .. tostring(opened) end
  if not is_right then return nil, "tag" end
  return opened
end

-- Adds the fields in front of a sealed payload: which key, whose message, and its counter.
local function add_seal(item, payload)
  item:add(fields.key, payload(0, 4))
  item:add(fields.sender, payload(4, SENDER_SIZE))
  item:add(fields.counter, payload(4 + SENDER_SIZE, 4))
end

local function words_of_trailer(length)
  return "A signed payload of " .. length .. " bytes; it has at least " .. TRAILER_SIZE
end

-- Adds who has signed a payload. Gives the payload before the signature; nil if that is empty.
local function add_signature(item, range)
  local stop = range:len() - TRAILER_SIZE
  item:add(fields.signer, range(stop, KEY_NAME_SIZE))
  item:add(fields.signature, range(stop + KEY_NAME_SIZE, TRAILER_SIZE - KEY_NAME_SIZE))
  return stop > 0 and range(0, stop) or nil
end

-- Gives the bytes that the frame takes; all that is left where nobody knows where the next one begins.
-- Adds the fields of a fragment. Returns what is wrong with it; nil if nothing is.
local function add_fragment(item, payload, kind, name, info)
  local length = payload and payload:len() or 0
  if not STREAM_TYPES[kind] then return name .. " is never cut" end
  if length < FRAGMENT_HEADER then return "A fragment of " .. length .. " bytes; it has at least " .. FRAGMENT_HEADER end
  local total, offset, bytes = payload(0, 4):uint(), payload(4, 4):uint(), length - FRAGMENT_HEADER
  item:add(fields.fragment_total, payload(0, 4))
  item:add(fields.fragment_offset, payload(4, 4))
  item:add(fields.fragment_bytes, payload(0, 0), bytes):set_generated()
  info.name = string.format("%s (from byte %d of %d)", name, offset, total)
  if bytes == 0 or offset + bytes > total then return "A piece of " .. bytes .. " bytes at byte " .. offset .. " of " .. total end
  if bytes < LEAST_FRAGMENT and offset + bytes < total then
    return "A piece of " .. bytes .. " bytes; one that is not the last has at least " .. LEAST_FRAGMENT
  end
end

-- Gives the bytes of an LZ4 block: literals and copies of what came before, by turns. Nil if it is damaged, or makes another size.
local function inflated_lz4(block, size)
  local made, total, place, has_end = {}, 0, 1, false
  local function length_from(length)
    while length and length >= 15 do
      local more = block:byte(place)
      place, length = place + 1, more and length + more
      if more ~= 255 then break end
    end
    return length
  end
  while place <= #block do
    local token = block:byte(place)
    place = place + 1
    local literals = length_from(rshift(token, 4))
    if not literals or place + literals - 1 > #block or total + literals > size then return nil end
    for index = place, place + literals - 1 do
      total = total + 1
      made[total] = block:byte(index)
    end
    place = place + literals
    if place > #block then -- the last sequence has no copy
      has_end = true
      break
    end
    if place == #block then return nil end
    local back = block:byte(place) + 256 * block:byte(place + 1)
    place = place + 2
    local copied = length_from(band(token, 15))
    if not copied or back == 0 or back > total or total + copied + LZ4_LEAST_COPY > size then return nil end
    for _ = 1, copied + LZ4_LEAST_COPY do
      total = total + 1
      made[total] = made[total - back]
    end
  end
  if not has_end or total ~= size then return nil end
  local pieces = {}
  for first = 1, total, 4096 do
    pieces[#pieces + 1] = string.char(unpack(made, first, math.min(first + 4095, total)))
  end
  return table.concat(pieces)
end

-- Adds the algorithm, zstd or LZ4, with the size that an LZ4 block names. Gives the inflated payload; nil if there is none:
-- Wireshark inflates zstd from 4.4 on, if it was built with it, and no LZ4, which is inflated here up to a size.
local function add_compressed(item, payload, length, name)
  item:append_text(", compressed with " .. name)
  local named = item:add(fields.compressed_by, payload, name)
  local words, plain
  if name == "ZSTD" then
    if length < 6 or payload(0, 4):uint() ~= ZSTD_MAGIC then
      words = "The payload is not a zstd frame"
    else
      local well, result = pcall(function() return payload:uncompress_zstd("Inflated payload") end)
      plain = well and result or nil
    end
  elseif length < 5 then
    words = "The payload is too short for an LZ4 block and its size"
  else
    local size = payload(0, 4):uint()
    if size > LZ4_MOST then item:add(fields.inflated, payload(0, 4), size) end
    if size > ecgframe.prefs.max_payload then
      refuse(item, payload, "inflate", 0x102, 10, "The payload inflates beyond the limit")
    elseif size == 0 or size > 255 * (length - 4) then
      words = "The LZ4 block cannot hold what it names"
    elseif size <= LZ4_MOST then
      local made = inflated_lz4(payload:raw(4), size)
      if made then
        plain = ByteArray.new(made, true):tvb("Inflated payload")()
      else
        words = "The LZ4 block is damaged, or does not make what it names"
      end
    end
  end
  if not plain then named:append_text(" (not inflated here)") end
  if words then refuse(item, payload, "inflate", 0x103, 9, words) end
  return plain
end

-- Adds what is in an inflated payload.
local function add_inflated(item, payload, plain, is_signed, is_record, info)
  item:add(fields.inflated, plain, plain:len()):set_generated()
  local whole = plain
  if is_signed then plain = add_signature(item, plain) end
  if whole:len() > ecgframe.prefs.max_payload then
    refuse(item, payload, "inflate", 0x102, 10, "The payload inflates beyond the limit")
  elseif plain and is_record then
    add_record(item, plain:tvb())
  elseif plain and plain:len() > 0 then
    add_payload(item, plain:tvb(), info)
  end
end

-- Adds what a payload holds that is not sealed, or was opened. It is nil if it is empty.
local function add_content(item, payload, bits, form, sequence, info, at)
  local length = payload and payload:len() or 0
  if info.has(bits, "COMPRESSED") then
    local algorithm = band(form, FORM_ALGORITHM)
    local plain
    if algorithm ~= 0 then
      plain = add_compressed(item, payload or at("flags"), length, ALGORITHMS[algorithm])
    else
      plain = payload and inflated(payload)
    end
    local signed = plain and sequence and info.has(bits, "SIGNED")
    if signed and plain:len() < TRAILER_SIZE then
      refuse(item, payload, "signed", 0x200, 11, words_of_trailer(plain:len()))
    elseif plain then
      add_inflated(item, payload, plain, signed, band(form, FORM_RECORD) ~= 0, info)
    elseif algorithm == 0 then
      refuse(item, payload or at("flags"), "inflate", 0x103, 9, "The payload is not one whole zlib stream")
    end
  elseif sequence and info.has(bits, "SIGNED") and length < TRAILER_SIZE then
    refuse(item, at("length"), "signed", 0x200, 11, words_of_trailer(length))
  elseif sequence and info.has(bits, "SIGNED") then
    local plain, bytes = add_signature(item, payload), length - TRAILER_SIZE
    if band(form, FORM_RECORD) ~= 0 and bytes < RECORD_HEADER then
      refuse(item, at("length"), "payload", 0x200, 11, "A record of " .. bytes .. " bytes; it has at least " .. RECORD_HEADER)
    elseif band(form, FORM_RECORD) ~= 0 then
      add_record(item, plain:tvb())
    elseif plain then
      add_payload(item, plain:tvb(), info)
    end
  elseif band(form, FORM_RECORD) ~= 0 and length < RECORD_HEADER then
    refuse(item, at("length"), "payload", 0x200, 11, "A record of " .. length .. " bytes; it has at least " .. RECORD_HEADER)
  elseif band(form, FORM_RECORD) ~= 0 then
    add_record(item, payload:tvb())
  elseif payload then
    add_payload(item, payload:tvb(), info)
  end
end

local function dissect_frame(tvb, tree, number, info)
  local left = tvb:len()
  local version = tvb(0, 1):uint()
  local size = HEADER_SIZES[version] or HEADER_SIZES[1]
  local item = tree:add(ecgframe, tvb())
  item:add(fields.number, tvb(0, 0), number):set_generated()
  item:add(fields.version, tvb(0, 1))
  if left < size then
    refuse(item, tvb(), "length", 0x200, 1, left .. " bytes where a header of " .. size .. " starts")
    info.name = "cut short"
    return left
  end
  local function at(name) return tvb(OFFSETS[name], WIDTHS[name]) end
  local kind, bits, length = at("type"):uint(), at("flags"):uint(), at("length"):uint()
  local name = TYPES[kind] or string.format("0x%02x", kind)
  info.name = name
  item:add(fields.type, at("type"))
  local flags = item:add(fields.flags, at("flags"))
  local set = {}
  for _, flag in ipairs(FLAGS) do
    if flag[3] <= 3 or version >= flag[3] then -- what is new in version 4 means nothing before it
      flags:add(fields["flag_" .. flag[2]], at("flags"))
      if band(bits, flag[1]) ~= 0 then set[#set + 1] = flag[2] end
    end
  end
  flags:append_text(#set > 0 and " (" .. table.concat(set, ", ") .. ")" or "")
  item:add(fields.length, at("length"))
  local checksum = item:add(fields.checksum, at("checksum"))
  if size > OFFSETS.timestamp then
    local microseconds = at("timestamp"):uint64()
    local seconds, rest = (microseconds / 1000000):tonumber(), (microseconds % 1000000):tonumber()
    pcall(function() item:add(fields.timestamp, at("timestamp"), NSTime.new(seconds, rest * 1000)) end)
    item:add(fields.timestamp_us, at("timestamp"), microseconds):set_generated()
  end
  local form, stream, sequence = 0, 0, nil
  if size > OFFSETS.form then
    form, stream, sequence = at("form"):uint(), at("stream"):uint(), at("sequence"):uint64()
    local tree_of_form = item:add(fields.form, at("form"))
    tree_of_form:add(fields.form_algorithm, at("form"))
    tree_of_form:add(fields.form_record, at("form"))
    tree_of_form:add(fields.form_bulk, at("form"))
    item:add(fields.stream, at("stream"))
    item:add(fields.sequence, at("sequence"))
    if stream ~= 0 then info.stream = "#" .. stream .. "/" .. tostring(sequence) end
  end
  item:set_text(string.format("ECG frame: %s, V%d, %d bytes of payload", name, version, length))

  if not HEADER_SIZES[version] then
    refuse(item, tvb(0, 1), "version", 0x100, 2, "Version " .. version .. " is unknown")
    return left
  end
  if not TYPES[kind] or TYPE_SINCE[kind] > version then
    refuse(item, at("type"), "type", 0x104, 3, "Message type " .. name .. " is none of the " .. count_of_types(version) .. " of version " .. version)
    return left
  end
  if length > ecgframe.prefs.max_payload then
    refuse(item, at("length"), "length", 0x102, 4, "The header announces " .. length .. " bytes; the limit is " .. ecgframe.prefs.max_payload)
    return left
  end
  if length > left - size then
    refuse(item, at("length"), "length", 0x200, 5, "The length lies: " .. (left - size) .. " of " .. length .. " bytes are there")
    return left
  end
  for _, flag in ipairs(FLAGS) do
    if (flag[2] == "COMPRESSED" or flag[2] == "ENCRYPTED") and band(bits, flag[1]) ~= 0 and version < flag[3] then
      refuse(item, at("flags"), "flags", 0x200, 6, "Version " .. version .. " has no flag " .. flag[2])
      return left
    end
  end

  if sequence then
    local words = form_fault(kind, bits, form, stream, sequence, info.has)
    if words then
      refuse(item, at("form"), "form", 0x200, 6, words)
      return left
    end
  end

  item:set_len(size + length)
  local payload = length > 0 and tvb(size, length) or nil
  local found = payload and crc32(payload:raw()) or 0
  local good = found == at("checksum"):uint()
  item:add(fields.checksum_good, at("checksum"), good):set_generated()
  checksum:append_text(good and " (good)" or string.format(" (bad, the payload has 0x%08x)", found))
  if payload then item:add(fields.payload, payload) end
  if not good then
    refuse(item, at("checksum"), "checksum", 0x101, 7, string.format("The payload's CRC-32 is 0x%08x, the header says 0x%08x", found, at("checksum"):uint()))
  elseif sequence and info.has(bits, "FRAGMENT") then
    local words = add_fragment(item, payload, kind, name, info)
    if words then refuse(item, payload or at("flags"), "fragment", 0x200, 13, words) end
  elseif info.has(bits, "ENCRYPTED") then
    if length < SEAL_OVERHEAD then
      refuse(item, at("flags"), "encrypted", 0x200, 8, "A sealed payload of " .. length .. " bytes; it has at least " .. SEAL_OVERHEAD)
    else
      add_seal(item, payload)
      local opened, why = open_sealed(payload, version, kind, bits, form)
      info.name = info.name .. (opened and " (opened)" or " (sealed)")
      if opened then
        add_content(item, opened:len() > 0 and opened:tvb("Opened payload")() or nil, bits, form, sequence, info, at)
      elseif why == "tag" then
        refuse(item, payload, "tag", 0x202, 8, "The tag does not verify: the payload was changed, or the key is another one")
      else
        item:add(fields.not_opened, payload(0, 0), why):set_generated()
      end
    end
  else
    add_content(item, payload, bits, form, sequence, info, at)
  end
  return size + length
end

local function has(bits, name)
  for _, flag in ipairs(FLAGS) do
    if flag[2] == name then return band(bits, flag[1]) ~= 0 end
  end
end

-- A WebSocket message: one frame, or several end to end --

function ecgframe.dissector(tvb, pinfo, tree)
  pinfo.cols.protocol = "ECG"
  local opcode = opcode_of()
  if opcode and opcode.value == TEXT then
    local item = tree:add(ecgframe, tvb())
    refuse(item, tvb(), "text", 0x200, nil, "A text message; frames travel in binary ones")
    pinfo.cols.info = "text message"
    return tvb:len()
  end
  local texts, place, number = {}, 0, 1
  while place < tvb:len() do
    local info = { has = has }
    place = place + dissect_frame(tvb(place):tvb(), tree, number, info)
    texts[#texts + 1] = info.stream and info.name .. " " .. info.stream or info.name
    number = number + 1
  end
  pinfo.cols.info = table.concat(texts, ", ")
  return tvb:len()
end

local function looks_like_one(tvb, pinfo, tree)
  local left = tvb:len()
  if left < HEADER_SIZES[1] then return false end
  local size = HEADER_SIZES[tvb(0, 1):uint()]
  if not size or left < size or not TYPES[tvb(OFFSETS.type, 1):uint()] then return false end
  if TYPE_SINCE[tvb(OFFSETS.type, 1):uint()] > tvb(0, 1):uint() then return false end
  if tvb(OFFSETS.length, WIDTHS.length):uint() > left - size then return false end
  ecgframe.dissector(tvb, pinfo, tree)
  return true
end

DissectorTable.get("ws.protocol"):add(SUBPROTOCOL, ecgframe)
DissectorTable.get("ws.port"):add(PORT, ecgframe)
ecgframe:register_heuristic("ws", looks_like_one)
