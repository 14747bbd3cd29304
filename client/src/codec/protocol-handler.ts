import { ProtocolError } from "../errors.js";
import {
  COMPRESSION_LEVEL,
  COMPRESSION_THRESHOLD,
  DEFAULT_VERSION,
  ErrorCode,
  FLAG_SINCE,
  Flag,
  HEADER_SIZES,
  LARGEST_SEQUENCE,
  LARGEST_STREAM_ID,
  LARGEST_TIMESTAMP,
  MAX_BATCH_PAYLOAD,
  type MessageType,
  RECORD_HEADER,
  type Version,
} from "../protocol.js";
import { inflate } from "./compression.js";
import { deflate } from "./deflate.js";
import {
  addedBytes,
  checkPayload,
  FILTER_AT,
  FORM_AT,
  FORMED_SINCE,
  FrameReader,
  type FrameReaderOptions,
  formFault,
  invalid,
  isKnown,
  isRecord,
  isType,
  type Message,
  SEQUENCE_AT,
  STREAM_AT,
  type TemplateBook,
  TIMED_SINCE,
  TRANSFORMED_IN_V4,
  typesOf,
  writeHeader,
} from "./frame-reader.js";
import { type NdArrayForm, Writer } from "./messagepack-writer.js";
import { RARE_VALUES } from "./rare-values.js";
import { SendClock } from "./send-clock.js";
import { sha256 } from "./sha256.js";
import { isOfStream, readOfStream } from "./stream-messages.js";

export type * from "./frame-reader.js";

/** What a handler encodes, and what it accepts. */
export interface ProtocolHandlerOptions extends FrameReaderOptions {
  /** Version of the frames that it encodes. */
  readonly version?: Version;
  /** Compression of payloads, from version 2 on; null for none. */
  readonly compression?: Compression | null;
  /**
   * Form in which arrays are sent: `"list"`, or `"binary"` for peers that announced `ndarray-bin`. Both are decoded.
   */
  readonly ndarray?: NdArrayForm;
}

/** How one message is encoded. */
export interface EncodeOptions {
  readonly version?: Version;
  /** PRIORITY, BROADCAST and ACK_REQUIRED, from version 3 on. */
  readonly flags?: number;
  /**
   * Microseconds since 1970, from version 3 on. By default the current time, but always later than in the frame before.
   */
  readonly timestamp?: bigint;
  /** RECORD and BULK, version 4 only. The data of a RECORD is the payload that `Template.write` returns. */
  readonly form?: number;
  /** Number of the stream on the connection, version 4 only; 0 for none, as in all control messages. */
  readonly streamId?: number;
  /** Number of the message in its stream, from 1 on, version 4 only; 0 without a stream, and in its opening template. */
  readonly sequence?: number;
}

/** When payloads are compressed, and how. */
export interface Compression {
  /** Payloads up to this size in bytes are sent uncompressed; larger ones compressed, if that makes them smaller. */
  readonly threshold?: number;
  /** 1 (fastest) to 9 (smallest). */
  readonly level?: number;
}

/**
 * Encodes messages to frames, and decodes frames, without I/O.
 *
 * To encode: pack, compress, compute the checksum. To decode: the same in reverse order.
 */
export class ProtocolHandler extends FrameReader {
  readonly version: Version;
  readonly #compression: Required<Compression> | null;
  readonly #form: NdArrayForm;
  readonly #clock = new SendClock();

  constructor(options: ProtocolHandlerOptions = {}) {
    const { version = DEFAULT_VERSION, compression = {}, ndarray = "list" } = options;
    super(options, { inflate, rare: RARE_VALUES, sha256 });
    this.version = knownVersion(version);
    this.#form = ndarray;
    this.#compression = compression && { threshold: COMPRESSION_THRESHOLD, level: COMPRESSION_LEVEL, ...compression };
  }

  /**
   * Decodes exactly one frame. Arrays in binary form are views of `bytes` if they are aligned.
   *
   * @param templates templates for records; without them, records are rejected (check 11)
   * @throws ProtocolError for the first check that fails
   */
  decode(bytes: Uint8Array, templates?: TemplateBook): Message {
    const header = this.readHeader(bytes, 0);
    const left = bytes.length - header.size - header.length;
    if (left > 0) {
      const size = header.size + header.length;
      throw invalid(5, size, `${left} bytes left over behind the frame's ${size}`);
    }
    checkPayload(bytes, 0, header);
    return this.message(bytes.subarray(header.size), header, this.maxPayload, templates);
  }

  /**
   * Decodes consecutive frames. Yields the messages before an invalid frame, then throws its error.
   *
   * Each frame is decoded when the caller asks for it. A template that the caller adds after one message therefore
   * applies to the records that follow.
   */
  *decodeAll(bytes: Uint8Array, templates?: TemplateBook): Generator<Message, void> {
    for (const { item } of this.framesIn(bytes, Number.POSITIVE_INFINITY, this.maxPayload, templates)) {
      if (item instanceof ProtocolError) throw item;
      if (item) yield item;
    }
  }

  /**
   * Decodes consecutive frames like `decodeAll`, but yields the error of an invalid frame and continues after it.
   *
   * After an error of the checks 1 to 6 it ends, as the start of the next frame is unknown. The decompressed payloads
   * of all frames but the first are limited to 4 MiB together; a frame beyond that is too large. A record counts as 8
   * bytes for each sample if that is more than its payload, since a byte of it can stand for 32 samples.
   *
   * @param mostControl largest size of the decompressed payload of a control message, in bytes
   * @param templates templates for records
   */
  *decodeEach(
    bytes: Uint8Array,
    mostControl = this.maxPayload,
    templates?: TemplateBook,
  ): Generator<Message | ProtocolError, void> {
    for (const { item } of this.framesIn(bytes, MAX_BATCH_PAYLOAD, mostControl, templates)) if (item) yield item;
  }

  /**
   * Encodes one frame.
   *
   * @throws TypeError | RangeError the message cannot be sent: for example, the version lacks the flag, or a value
   *   cannot be packed
   * @throws ProtocolError 0x102: the payload is too large
   */
  encode(type: MessageType, data: unknown, options: EncodeOptions = {}): Uint8Array<ArrayBuffer> {
    const version = options.version === undefined ? this.version : knownVersion(options.version);
    checkSendable(type, version, options);
    if (isRecord(options.form)) return this.frame(type, recordOf(data), options);
    const plain = new Writer(HEADER_SIZES[version], this.maxPayload, this.#form).frameOf(data);
    if (isOfStream(type)) readOfStream(type, plain.subarray(HEADER_SIZES[version]), RARE_VALUES); // validates it, as a receiver will
    return this.#sealed(plain, version, type, options);
  }

  /** Encodes one frame from a packed payload. Throws like `encode`. */
  frame(type: MessageType, payload: Uint8Array, options: EncodeOptions = {}): Uint8Array<ArrayBuffer> {
    const version = options.version === undefined ? this.version : knownVersion(options.version);
    checkSendable(type, version, options);
    if (isRecord(options.form)) recordOf(payload);
    if (payload.length > this.maxPayload) {
      throw new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, `${payload.length} bytes; the limit is ${this.maxPayload}`);
    }
    const headerSize = HEADER_SIZES[version];
    const plain = new Uint8Array(headerSize + payload.length);
    plain.set(payload, headerSize);
    return this.#sealed(plain, version, type, options);
  }

  /**
   * Packs the payload of a message, without a frame. Throws like `encode`.
   *
   * @param form RECORD if the data is the payload of a record
   */
  payload(type: MessageType, data: unknown, form = 0): Uint8Array {
    if (isRecord(form)) return recordOf(data);
    const payload = new Writer(0, this.maxPayload, this.#form).frameOf(data);
    if (isOfStream(type)) readOfStream(type, payload, RARE_VALUES);
    return payload;
  }

  /** Returns the payload compressed; undefined if this handler does not compress it, or it would not be smaller. */
  deflate(payload: Uint8Array): Uint8Array | undefined {
    return this.#deflated(payload, 0, this.version);
  }

  /**
   * Encodes one frame from a payload that was signed, compressed or sealed before. Throws like `encode`.
   *
   * @param transformed what was done with it: COMPRESSED, ENCRYPTED, SIGNED
   */
  frameOf(type: MessageType, payload: Uint8Array, transformed: number, options: EncodeOptions = {}) {
    const version = options.version === undefined ? this.version : knownVersion(options.version);
    checkSendable(type, version, options);
    const limit = this.maxPayload + addedBytes(version, transformed);
    if (payload.length > limit)
      throw new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, `${payload.length} bytes; the limit is ${limit}`);
    const size = HEADER_SIZES[version];
    const frame = new Uint8Array(size + payload.length);
    frame.set(payload, size);
    const flags = (options.flags ?? 0) | transformed;
    writeHeader(frame, version, type, flags, this.#timestamp(version, options.timestamp));
    if (version >= FORMED_SINCE) writeNumbering(frame, options);
    return frame;
  }

  #sealed(plain: Uint8Array<ArrayBuffer>, version: Version, type: MessageType, options: EncodeOptions) {
    const flags = options.flags ?? 0;
    const timestamp = this.#timestamp(version, options.timestamp);
    const headerSize = HEADER_SIZES[version];
    // The filter of a record has compressed it already.
    const isFiltered = isRecord(options.form) && plain[headerSize + FILTER_AT] !== 0;
    const deflated = isFiltered ? undefined : this.#deflated(plain, headerSize, version);
    const frame = deflated ?? plain;
    writeHeader(frame, version, type, deflated ? flags | Flag.COMPRESSED : flags, timestamp);
    if (version >= FORMED_SINCE) writeNumbering(frame, options);
    return frame;
  }

  /** Returns the frame with a compressed payload; undefined if it is not to be compressed, or would not be smaller. */
  #deflated(plain: Uint8Array, headerSize: number, version: Version): Uint8Array<ArrayBuffer> | undefined {
    const size = plain.length - headerSize;
    if (!this.#compression || version < FLAG_SINCE[Flag.COMPRESSED] || size <= this.#compression.threshold) {
      return undefined;
    }
    const payload = deflate(plain.subarray(headerSize), this.#compression.level);
    if (payload.length >= size) return undefined;
    const frame = new Uint8Array(headerSize + payload.length);
    frame.set(payload, headerSize);
    return frame;
  }

  #timestamp(version: Version, given: bigint | undefined): bigint {
    if (version < TIMED_SINCE) {
      if (given !== undefined) throw new RangeError(`a V${version} frame has no timestamp`);
      return 0n;
    }
    if (given === undefined) return this.#clock.next();
    if (given < 0n || given > LARGEST_TIMESTAMP) {
      throw new RangeError(`a timestamp must be from 0 to 2^64 - 1, not ${given}`);
    }
    return given;
  }
}

function writeNumbering(frame: Uint8Array, { form = 0, streamId = 0, sequence = 0 }: EncodeOptions): void {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  frame[FORM_AT] = form;
  view.setUint32(STREAM_AT, streamId);
  view.setUint32(SEQUENCE_AT, Math.floor(sequence / 2 ** 32));
  view.setUint32(SEQUENCE_AT + 4, sequence % 2 ** 32);
}

/** Checks that the version has the type, flags and other fields, and that the flags are not those of the handler. */
function checkSendable(type: MessageType, version: Version, options: EncodeOptions): void {
  const { flags = 0, form = 0, streamId = 0, sequence = 0 } = options;
  if (!isType(type, version)) throw new RangeError(`message type ${type} is none of the ${typesOf(version)}`);
  let settable = 0;
  for (const flag of Object.values(Flag)) if (FLAG_SINCE[flag] <= version) settable |= flag & ~TRANSFORMED_IN_V4;
  const wrong = flags & ~settable;
  if (wrong & Flag.COMPRESSED) throw new RangeError("COMPRESSED is set by the handler, if it compressed the payload");
  if (wrong & Flag.ENCRYPTED) throw new RangeError("ENCRYPTED needs a key, and this handler has none");
  if (wrong) throw new RangeError(`V${version} has no flag 0x${wrong.toString(16)} that can be set here`);
  if (version < FORMED_SINCE) {
    if (form || streamId || sequence)
      throw new RangeError(`a V${version} frame has no form, stream or sequence; V4 has`);
    return;
  }
  checkInteger("form", form, 0xff);
  checkInteger("a stream id", streamId, LARGEST_STREAM_ID);
  checkInteger("a sequence", sequence, LARGEST_SEQUENCE);
  const fault = formFault({ type, flags, form, streamId, sequence });
  if (fault) throw new RangeError(fault.why);
}

function checkInteger(name: string, value: number, most: number): void {
  if (!(Number.isInteger(value) && value >= 0 && value <= most)) {
    throw new RangeError(`${name} must be an integer from 0 to ${most}, not ${value}`);
  }
}

function recordOf(data: unknown): Uint8Array {
  if (!(data instanceof Uint8Array)) throw new TypeError("the data of a RECORD must be its payload, a Uint8Array");
  if (data.length < RECORD_HEADER)
    throw new RangeError(`a record must have at least ${RECORD_HEADER} bytes, not ${data.length}`);
  return data;
}

function knownVersion(version: number): Version {
  if (!Number.isInteger(version) || !isKnown(version)) throw new RangeError(`there is no protocol version ${version}`);
  return version;
}
