import { ProtocolError } from "../errors.js";
import {
  COMPRESSION_LEVEL,
  COMPRESSION_THRESHOLD,
  DEFAULT_MAX_PAYLOAD,
  ErrorCode,
  FLAG_SINCE,
  Flag,
  HEADER_SIZES,
  LARGEST_LENGTH,
  LARGEST_TIMESTAMP,
  LAST_FATAL_CHECK,
  LATEST_VERSION,
  MAX_BATCH_PAYLOAD,
  MessageType,
  VERSIONS,
  type Version,
} from "../protocol.js";
import { deflate, inflate } from "./compression.js";
import { crc32 } from "./crc32.js";
import { Reader } from "./messagepack-reader.js";
import { type NdArrayForm, Writer } from "./messagepack-writer.js";
import { SendClock } from "./send-clock.js";

const SMALLEST_HEADER = HEADER_SIZES[1];
const TIMED_SINCE = 3;
const TRANSFORMED = Flag.COMPRESSED | Flag.ENCRYPTED;

const NUMBERS_OF_TYPES: ReadonlySet<number> = new Set(Object.values(MessageType));

/** What a frame says of itself before its payload. */
export interface Header {
  readonly version: Version;
  readonly type: MessageType;
  /** The bits as received, undefined ones included. */
  readonly flags: number;
  /** Bytes of payload as they travel. */
  readonly length: number;
  readonly checksum: number;
  /** The sender's clock in microseconds since 1970; null before version 3. */
  readonly timestamp: bigint | null;
  /** Bytes of the header itself. */
  readonly size: number;
}

/** One decoded frame. */
export interface Message<Data = unknown> {
  readonly type: MessageType;
  readonly version: Version;
  /** The header's bits, undefined ones included. */
  readonly flags: number;
  /** The sender's clock in microseconds since 1970; null before version 3. */
  readonly timestamp: bigint | null;
  /** The payload; null for an empty one. */
  readonly data: Data;
  /** Bytes of the frame as it travelled. */
  readonly frameBytes: number;
  /** Bytes of the payload, inflated. */
  readonly payloadBytes: number;
}

export interface Compression {
  /** Bytes; payloads strictly larger are tried, and sent deflated where that is smaller. */
  readonly threshold?: number;
  /** 1 (fastest) to 9 (smallest). */
  readonly level?: number;
}

export interface ProtocolHandlerOptions {
  /** Version of the frames it encodes. */
  readonly version?: Version;
  /** Versions that it decodes, by default all; frames of others are refused as those of unknown versions are. */
  readonly versions?: Iterable<Version>;
  /** When to deflate, from version 2 on; null for never. */
  readonly compression?: Compression | null;
  /** Bytes that a payload may have, as it travels and inflated, both ways. */
  readonly maxPayload?: number;
  /** How arrays are sent: `"list"`, or `"binary"` for peers that announced `ndarray-bin`. Both are read. */
  readonly ndarray?: NdArrayForm;
}

export interface EncodeOptions {
  readonly version?: Version;
  /** PRIORITY, BROADCAST and ACK_REQUIRED, from version 3 on. */
  readonly flags?: number;
  /** Microseconds since 1970, version 3 only; now by default, strictly later than the last. */
  readonly timestamp?: bigint;
}

/**
 * Messages to frames and back: the only place where the order stands. Pack, deflate, sum on the way out; the reverse on
 * the way in. No I/O.
 */
export class ProtocolHandler {
  readonly version: Version;
  readonly maxPayload: number;
  readonly #versions: ReadonlySet<number>;
  readonly #compression: Required<Compression> | null;
  readonly #form: NdArrayForm;
  readonly #clock = new SendClock();

  constructor(options: ProtocolHandlerOptions = {}) {
    const { version = LATEST_VERSION, compression = {}, maxPayload = DEFAULT_MAX_PAYLOAD, ndarray = "list" } = options;
    if (!(maxPayload >= 0 && maxPayload <= LARGEST_LENGTH)) throw new RangeError(`maxPayload cannot be ${maxPayload}`);
    this.version = knownVersion(version);
    this.#versions = new Set<number>(options.versions ?? VERSIONS);
    this.maxPayload = maxPayload;
    this.#form = ndarray;
    this.#compression = compression && { threshold: COMPRESSION_THRESHOLD, level: COMPRESSION_LEVEL, ...compression };
  }

  // --- sending ---

  /**
   * One frame.
   *
   * @throws TypeError | RangeError for what cannot be sent: a flag that the version lacks, a value without a form
   * @throws ProtocolError 0x102 where the payload passes the limit
   */
  encode(type: MessageType, data: unknown, options: EncodeOptions = {}): Uint8Array<ArrayBuffer> {
    const version = options.version === undefined ? this.version : knownVersion(options.version);
    checkSendable(type, version, options.flags ?? 0);
    const plain = new Writer(HEADER_SIZES[version], this.maxPayload, this.#form).frameOf(data);
    return this.#sealed(plain, version, type, options);
  }

  /** One frame of a payload that is packed already. Throws as `encode` does. */
  frame(type: MessageType, payload: Uint8Array, options: EncodeOptions = {}): Uint8Array<ArrayBuffer> {
    const version = options.version === undefined ? this.version : knownVersion(options.version);
    checkSendable(type, version, options.flags ?? 0);
    if (payload.length > this.maxPayload) {
      throw new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, `${payload.length} bytes; the limit is ${this.maxPayload}`);
    }
    const room = HEADER_SIZES[version];
    const plain = new Uint8Array(room + payload.length);
    plain.set(payload, room);
    return this.#sealed(plain, version, type, options);
  }

  #sealed(plain: Uint8Array<ArrayBuffer>, version: Version, type: MessageType, options: EncodeOptions) {
    const flags = options.flags ?? 0;
    const timestamp = this.#timestamp(version, options.timestamp);
    const deflated = this.#deflated(plain, HEADER_SIZES[version], version);
    writeHeader(deflated ?? plain, version, type, deflated ? flags | Flag.COMPRESSED : flags, timestamp);
    return deflated ?? plain;
  }

  /** The frame with its payload deflated; undefined where that is not to be, or makes it no shorter. */
  #deflated(plain: Uint8Array, room: number, version: Version): Uint8Array<ArrayBuffer> | undefined {
    const size = plain.length - room;
    if (!this.#compression || version < FLAG_SINCE[Flag.COMPRESSED] || size <= this.#compression.threshold) {
      return undefined;
    }
    const payload = deflate(plain.subarray(room), this.#compression.level);
    if (payload.length >= size) return undefined;
    const frame = new Uint8Array(room + payload.length);
    frame.set(payload, room);
    return frame;
  }

  #timestamp(version: Version, given: bigint | undefined): bigint {
    if (version < TIMED_SINCE) {
      if (given !== undefined) throw new RangeError(`a V${version} frame has no timestamp`);
      return 0n;
    }
    if (given === undefined) return this.#clock.next();
    if (given < 0n || given > LARGEST_TIMESTAMP) throw new RangeError(`a timestamp has 64 bits, not ${given}`);
    return given;
  }

  // --- receiving ---

  /**
   * The message of the one frame that fills the bytes. Arrays in binary form are views of them where they are aligned.
   *
   * @throws ProtocolError the first of the receiver's checks that fails
   */
  decode(bytes: Uint8Array): Message {
    const header = this.readHeader(bytes, 0);
    const left = bytes.length - header.size - header.length;
    if (left > 0) {
      const size = header.size + header.length;
      throw invalid(5, size, `${left} bytes left over behind the frame's ${size}`);
    }
    checkPayload(bytes, 0, header);
    return this.#message(bytes, 0, header, this.maxPayload);
  }

  /** The messages of frames laid end to end; those before a broken one are given out first. */
  *decodeAll(bytes: Uint8Array): Generator<Message, void> {
    for (const item of this.#items(bytes, Number.POSITIVE_INFINITY)) {
      if (item instanceof ProtocolError) throw item;
      yield item;
    }
  }

  /**
   * As `decodeAll`, with the error of a broken frame in the frame's place, for whoever goes on after it.
   *
   * It ends with an error of the checks 1 to 6: behind such a frame nobody knows where the next one starts. The
   * payloads of the frames behind the first may have 4 MiB together, inflated; one beyond that is too large.
   */
  decodeEach(bytes: Uint8Array): Generator<Message | ProtocolError, void> {
    return this.#items(bytes, MAX_BATCH_PAYLOAD);
  }

  *#items(bytes: Uint8Array, batchPayload: number): Generator<Message | ProtocolError, void> {
    let left = batchPayload;
    let room = this.maxPayload;
    for (let offset = 0; offset < bytes.length; ) {
      const item = this.#item(bytes, offset, room);
      yield item;
      if (item instanceof ProtocolError) {
        if (item.check === null || item.check <= LAST_FATAL_CHECK) return;
      } else if (offset > 0) {
        left -= item.payloadBytes;
      }
      const header = this.readHeader(bytes, offset);
      offset += header.size + header.length;
      room = Math.min(left, this.maxPayload);
    }
  }

  #item(bytes: Uint8Array, offset: number, room: number): Message | ProtocolError {
    try {
      const header = this.readHeader(bytes, offset);
      checkPayload(bytes, offset, header);
      return this.#message(bytes, offset, header, room);
    } catch (error) {
      if (error instanceof ProtocolError) return error;
      throw error;
    }
  }

  /** Checks 1 to 4 of the frame that starts at offset, from the header's bytes alone. */
  readHeader(bytes: Uint8Array, offset = 0): Header {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const available = bytes.length - offset;
    const version = available > 0 ? bytes[offset] : 0;
    const size = isKnown(version) ? HEADER_SIZES[version] : SMALLEST_HEADER;
    if (available < size) throw invalid(1, offset, `${available} bytes where a header of ${size} starts`);
    if (!isKnown(version) || !this.#versions.has(version)) throw unknownVersion(version, this.#versions, offset);
    const type = bytes[offset + 1];
    if (!isType(type)) throw unknownType(type, offset + 1);
    const length = view.getUint32(offset + 3);
    if (length > this.maxPayload) throw tooLong(length, this.maxPayload, offset + 3);
    return {
      version,
      type,
      flags: bytes[offset + 2],
      length,
      checksum: view.getUint32(offset + 7),
      timestamp: version >= TIMED_SINCE ? view.getBigUint64(offset + 11) : null,
      size,
    };
  }

  #message(bytes: Uint8Array, offset: number, header: Header, room: number): Message {
    const start = offset + header.size;
    if (header.length > room) {
      throw new ProtocolError(
        ErrorCode.MESSAGE_TOO_LARGE,
        `${header.length} bytes of payload, where the message has room for ${Math.max(room, 0)}`,
        { check: 10 },
      );
    }
    const travelled = bytes.subarray(start, start + header.length);
    const payload = header.flags & TRANSFORMED ? restored(travelled, header, room) : travelled;
    return {
      type: header.type,
      version: header.version,
      flags: header.flags,
      timestamp: header.timestamp,
      data: new Reader(payload).onlyValue(),
      frameBytes: header.size + header.length,
      payloadBytes: payload.length,
    };
  }
}

/** The payload, decrypted and inflated. */
function restored(payload: Uint8Array, header: Header, room: number): Uint8Array {
  if (header.flags & Flag.ENCRYPTED) {
    const why = "the payload is encrypted, and this receiver has no key";
    throw new ProtocolError(ErrorCode.AUTHENTICATION_FAILED, why, { check: 8 });
  }
  return inflate(payload, room, header.size);
}

/** Checks 5 to 7: all there, no flag that the version lacks, and the sum right. */
function checkPayload(bytes: Uint8Array, offset: number, header: Header): void {
  const start = offset + header.size;
  const there = bytes.length - start;
  if (header.length > there) throw invalid(5, start, `the payload is cut short: ${there} of ${header.length} bytes`);
  for (const flag of [Flag.COMPRESSED, Flag.ENCRYPTED]) {
    if (header.flags & flag && header.version < FLAG_SINCE[flag]) {
      throw invalid(6, offset + 2, `V${header.version} has no flag ${nameOf(flag)}`);
    }
  }
  const sum = crc32(bytes, start, start + header.length);
  if (sum !== header.checksum) {
    const said = `the payload's CRC-32 is ${hex(sum)}, the header says ${hex(header.checksum)}`;
    throw new ProtocolError(ErrorCode.CHECKSUM_MISMATCH, at(offset + 7, said), { check: 7, offset: offset + 7 });
  }
}

function writeHeader(frame: Uint8Array, version: Version, type: MessageType, flags: number, timestamp: bigint): void {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const size = HEADER_SIZES[version];
  frame.set([version, type, flags]);
  view.setUint32(3, frame.length - size);
  view.setUint32(7, crc32(frame, size));
  if (version >= TIMED_SINCE) view.setBigUint64(11, timestamp);
}

/** What a caller may set is what the version defines, without the flags that follow from what the handler does. */
function checkSendable(type: MessageType, version: Version, flags: number): void {
  if (!NUMBERS_OF_TYPES.has(type)) throw new RangeError(`message type ${type} is none of the thirteen`);
  let settable = 0;
  for (const flag of Object.values(Flag)) if (FLAG_SINCE[flag] <= version) settable |= flag & ~TRANSFORMED;
  const wrong = flags & ~settable;
  if (wrong & Flag.COMPRESSED) throw new RangeError("COMPRESSED is set where deflating made the payload smaller");
  if (wrong & Flag.ENCRYPTED) throw new RangeError("ENCRYPTED needs a key, and there is none");
  if (wrong) throw new RangeError(`V${version} has no flag 0x${wrong.toString(16)}`);
}

function isKnown(version: number): version is Version {
  return version >= VERSIONS[0] && version <= LATEST_VERSION;
}

function isType(type: number): type is MessageType {
  return NUMBERS_OF_TYPES.has(type);
}

function knownVersion(version: number): Version {
  if (!Number.isInteger(version) || !isKnown(version)) throw new RangeError(`there is no protocol version ${version}`);
  return version;
}

function unknownVersion(version: number, known: ReadonlySet<number>, offset: number): ProtocolError {
  const why = at(offset, `version ${version}; this receiver knows ${[...known].join(", ")}`);
  return new ProtocolError(ErrorCode.INVALID_PROTOCOL_VERSION, why, { check: 2, offset });
}

function unknownType(type: number, offset: number): ProtocolError {
  const why = at(offset, `message type ${hex(type, 2)} is none of the thirteen`);
  return new ProtocolError(ErrorCode.INVALID_MESSAGE_TYPE, why, { check: 3, offset });
}

function tooLong(length: number, limit: number, offset: number): ProtocolError {
  const why = at(offset, `the header announces ${length} bytes of payload; the limit is ${limit}`);
  return new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, why, { check: 4, offset });
}

function invalid(check: number, offset: number, why: string): ProtocolError {
  return new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, at(offset, why), { check, offset });
}

function at(offset: number, why: string): string {
  return `${why} (byte ${offset})`;
}

function hex(value: number, digits = 8): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}

function nameOf(flag: number): string {
  return Object.entries(Flag).find(([, value]) => value === flag)?.[0] ?? hex(flag, 2);
}
