import { ProtocolError } from "../errors.js";
import {
  DATA_TYPES,
  DEFAULT_MAX_PAYLOAD,
  ErrorCode,
  FLAG_SINCE,
  Flag,
  Form,
  HEADER_SIZES,
  LARGEST_LENGTH,
  LARGEST_SEQUENCE,
  LAST_FATAL_CHECK,
  MAX_ANSWER_PAYLOAD,
  MAX_BATCH_PAYLOAD,
  MAX_CONTROL_PAYLOAD,
  MessageType,
  RECORD_HEADER,
  SEAL_OVERHEAD,
  STREAM_TYPES,
  TRAILER_SIZE,
  TYPE_SINCE,
  VERSIONS,
  type Version,
} from "../protocol.js";
import type { Inflate } from "./compression.js";
import { crc32 } from "./crc32.js";
import type { Decompressor } from "./decompressor.js";
import { Reader } from "./messagepack-reader.js";
import type { RareValues } from "./rare-values.js";
import type { sha256 } from "./sha256.js";
import type { Signature } from "./signing.js";
import { isOfStream, readOfStream } from "./stream-messages.js";

const SMALLEST_HEADER = HEADER_SIZES[1];
export const TIMED_SINCE = 3;
/** First version whose header has form, stream and sequence; then their offsets in the header. */
export const FORMED_SINCE = 4;
export const FORM_AT = 19;
export const STREAM_AT = 20;
export const SEQUENCE_AT = 24;
/** Bits of the form for the compression algorithm; 0 for zlib, or without compression. */
const ALGORITHM = 0x03;
const ALGORITHMS = ["ZLIB", "ZSTD", "LZ4"];
/** Offsets in a record: its filter, its options, and its number of samples in each lead. */
export const FILTER_AT = 2;
const OPTIONS_AT = 3;
const COUNT_AT = 4;
/** The option of a record that binds it to its template. */
const BOUND = 2;
/** Bytes that each sample of a record uses of the limit for batches, for any dtype. */
const SAMPLE_SIZE = 8;
/** Flags for transformations of the payload. Callers cannot set them. */
const TRANSFORMED = Flag.COMPRESSED | Flag.ENCRYPTED;
export const TRANSFORMED_IN_V4 = TRANSFORMED | Flag.FRAGMENT | Flag.SIGNED;

/** The header of a frame. */
export interface Header {
  readonly version: Version;
  readonly type: MessageType;
  /** The bits as received, including undefined ones. */
  readonly flags: number;
  /** Size of the payload in the frame, in bytes. */
  readonly length: number;
  /** CRC-32 of the payload. */
  readonly checksum: number;
  /** Microseconds since 1970 by the sender's clock; null before version 3. */
  readonly timestamp: bigint | null;
  /** Size of the header, in bytes. */
  readonly size: number;
  /** Encoding of the payload: the bits of `Form` and of the compression algorithm; undefined before version 4. */
  readonly form?: number | undefined;
  /** Number of the stream on its connection, 0 for none; undefined before version 4. */
  readonly streamId?: number | undefined;
  /** Number of the message in its stream, 0 for none; undefined before version 4. */
  readonly sequence?: number | undefined;
}

/** One decoded frame. */
export interface Message<Data = unknown> {
  readonly type: MessageType;
  readonly version: Version;
  /** The bits as received, including undefined ones. */
  readonly flags: number;
  /** Microseconds since 1970 by the sender's clock; null before version 3. */
  readonly timestamp: bigint | null;
  /** Encoding of the payload, as in the header; undefined before version 4. */
  readonly form?: number | undefined;
  /** Number of the stream on its connection, 0 for none; undefined before version 4. */
  readonly streamId?: number | undefined;
  /** Number of the message in its stream, 0 for none; undefined before version 4. Not the `sequence` of the data. */
  readonly sequence?: number | undefined;
  /** The decoded payload; null if it is empty. */
  readonly data: Data;
  /** Size of the frame, in bytes. */
  readonly frameBytes: number;
  /** Size of the payload after decompression, in bytes. */
  readonly payloadBytes: number;
  /** True if it was sealed, and its `timestamp` is older than it may be by the local clock. */
  readonly stale?: boolean;
  /** What is known of its signature, if it was signed and the session verifies; one that is not right is an error instead. */
  readonly signature?: Signature;
  /** Name of the key that signed it, 8 bytes: the first of the SHA-256 of the public key. */
  readonly signer?: Uint8Array;
}

/** The result of decoding a record. `Template` returns more. */
export interface RecordContent {
  /** The data of the ECG_DATA message. */
  readonly data: unknown;
}

/** The part of `Template` that the handler needs. */
export interface RecordTemplate {
  /** Number of leads; 0 if the signal has one dimension. */
  readonly rows: number;
  /**
   * Decodes the payload of a record.
   *
   * @param payload at least the 16 bytes before the samples, with the number of this template
   * @param maxPayload largest size of the samples in memory, in bytes
   * @throws ProtocolError check 11
   */
  decode(payload: Uint8Array, maxPayload: number): RecordContent;
  /** Returns the payload of the same record without filter, of which signatures are made. Throws as `decode`. */
  unfiltered?(payload: Uint8Array, maxPayload: number): Uint8Array;
}

/** The templates for decoding records of version 4. The caller keeps them, not the handler. */
export interface TemplateBook {
  /** Returns the template with this number of a stream; undefined if there is none. */
  get(streamId: number, template: number): RecordTemplate | undefined;
}

/** The streams of one direction of a connection: their templates, and which of their frames are read. */
export interface FrameBook extends TemplateBook {
  /**
   * Returns true if a frame is to be read, after its checks 1 to 7; false if it is ignored.
   *
   * @throws ProtocolError check 11: the number of its stream never stood for a stream
   */
  admits(header: Header): boolean;
}

/** One frame of a buffer that was read. */
export interface Frame {
  /** Null if one of the checks 1 to 4 failed. */
  readonly header: Header | null;
  /** The message, or the error of the frame; null if the book ignores the frame, or it is deferred. */
  readonly item: Message | ProtocolError | null;
  /** The payload of the message, inflated and without a trailer; null without a message. */
  readonly payload: Uint8Array | null;
  /** The trailer of a signed payload, which is not verified; null without one. */
  readonly trailer: Uint8Array | null;
  /** What decodes the frame later, if the caller has deferred it. */
  readonly deferred: DeferredFrame | null;
}

/** A frame that passed the checks 1 to 7, and that is decoded later. */
export interface DeferredFrame {
  readonly header: Header;
  /** The payload as received. */
  readonly payload: Uint8Array;
  /**
   * Decodes the frame. Errors are the item of the result.
   *
   * @param opened the payload, if the received one was sealed
   */
  decode(opened: Uint8Array | null): Frame;
}

/** How the frames of a buffer are read by a session that opens sealed payloads and verifies signatures. */
export interface Reading {
  /** Returns true if a frame is to be decoded later. It is called after check 7 and the check of the stream id. */
  defers(header: Header): boolean;
}

/** What is known while the frames of a buffer are read. */
interface Batch {
  /** Bytes that the payloads of all frames except the first may still have together. */
  left: number;
}

/** What is known while one frame is decoded. */
interface Decoding {
  readonly batch: Batch;
  /** True if the frame is not the first of its buffer. */
  readonly isCounted: boolean;
  /** True if the payload was sealed, or has a trailer: a record has to be bound to its template then. */
  isProtected: boolean;
  /** Size of the samples in bytes, if the frame is a record. */
  spent: number;
  /** The inflated payload, and its trailer. */
  payload: Uint8Array | null;
  trailer: Uint8Array | null;
}

export interface FrameReaderOptions {
  /**
   * Versions that it decodes, by default all. Frames of other versions are rejected, like those of unknown versions.
   */
  readonly versions?: Iterable<Version>;
  /** Largest size of a payload in bytes, sent or received, before and after decompression. */
  readonly maxPayload?: number;
  /**
   * True for sessions that open and verify: a received payload may be larger by what sealing and signing add, and its
   * trailer is cut off.
   */
  readonly opens?: boolean;
  /** What decompresses payloads of version 4 that are compressed with another algorithm than zlib; by default nothing. */
  readonly decompressors?: Iterable<Decompressor>;
}

/** What reads payloads that are compressed, or have rare values, and records that are bound to their template; null where it is not there (yet). */
export interface Unpacking {
  readonly inflate: Inflate | null;
  readonly rare: RareValues;
  readonly sha256: typeof sha256 | null;
}

/** Decodes frames, without I/O. */
export class FrameReader {
  readonly maxPayload: number;
  readonly #versions: ReadonlySet<number>;
  readonly #opens: boolean;
  readonly #decompressors: readonly Decompressor[];
  readonly #unpacking: Unpacking;

  constructor(options: FrameReaderOptions, unpacking: Unpacking) {
    const { maxPayload = DEFAULT_MAX_PAYLOAD } = options;
    if (!(maxPayload >= 0 && maxPayload <= LARGEST_LENGTH)) throw new RangeError(`maxPayload cannot be ${maxPayload}`);
    this.maxPayload = maxPayload;
    this.#versions = new Set<number>(options.versions ?? VERSIONS);
    this.#opens = options.opens ?? false;
    this.#decompressors = [...(options.decompressors ?? [])];
    this.#unpacking = unpacking;
  }

  /**
   * Decodes consecutive frames for a session, whose book tells which ones are read. See `ProtocolHandler.decodeEach`.
   *
   * @param reading which frames are decoded later; by default none
   */
  frames(
    bytes: Uint8Array,
    mostControl = this.maxPayload,
    book?: TemplateBook | FrameBook,
    reading?: Reading,
  ): Generator<Frame, void> {
    return this.framesIn(bytes, MAX_BATCH_PAYLOAD, mostControl, book, reading);
  }

  protected *framesIn(
    bytes: Uint8Array,
    batchPayload: number,
    mostControl: number,
    book: TemplateBook | FrameBook | undefined,
    reading?: Reading,
  ): Generator<Frame, void> {
    const batch: Batch = { left: batchPayload };
    for (let offset = 0; offset < bytes.length; ) {
      const frame = this.#frameAt(bytes, offset, batch, mostControl, book, reading);
      yield frame;
      const { header, item } = frame;
      if (item instanceof ProtocolError && (item.check === null || item.check <= LAST_FATAL_CHECK)) return;
      if (!header) return;
      offset += header.size + header.length;
    }
  }

  #frameAt(
    bytes: Uint8Array,
    offset: number,
    batch: Batch,
    mostControl: number,
    book: TemplateBook | FrameBook | undefined,
    reading: Reading | undefined,
  ): Frame {
    let header: Header | null = null;
    try {
      header = this.readHeader(bytes, offset);
      checkPayload(bytes, offset, header);
      if (header.streamId && book && "admits" in book && !book.admits(header)) return frameOf(header, null);
      const deferred = this.#deferred(bytes, offset, header, batch, mostControl, book);
      return reading?.defers(header) ? { ...frameOf(header, null), deferred } : deferred.decode(null);
    } catch (error) {
      return frameOf(header, error instanceof ProtocolError ? error : unreadable(error));
    }
  }

  #deferred(
    bytes: Uint8Array,
    offset: number,
    header: Header,
    batch: Batch,
    mostControl: number,
    book: TemplateBook | FrameBook | undefined,
  ): DeferredFrame {
    const start = offset + header.size;
    const payload = bytes.subarray(start, start + header.length);
    const isCounted = offset > 0;
    const decode = (opened: Uint8Array | null): Frame => {
      const decoding: Decoding = {
        batch,
        isCounted,
        isProtected: opened !== null,
        spent: 0,
        payload: null,
        trailer: null,
      };
      const limit = Math.min(isCounted ? batch.left : this.maxPayload, this.maxPayload, mostOf(header, mostControl));
      try {
        const item = this.message(payload, header, limit, book, decoding, opened);
        if (isCounted) batch.left -= Math.max(item.payloadBytes, decoding.spent);
        return { header, item, payload: decoding.payload, trailer: decoding.trailer, deferred: null };
      } catch (error) {
        return frameOf(header, error instanceof ProtocolError ? error : unreadable(error));
      }
    };
    return { header, payload, decode };
  }

  /**
   * Decodes the header of the frame that starts at `offset`. The payload may still be incomplete.
   *
   * @throws ProtocolError checks 1 to 4
   */
  readHeader(bytes: Uint8Array, offset = 0): Header {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const available = bytes.length - offset;
    const version = available > 0 ? bytes[offset] : 0;
    // A receiver without version 4 does not know its longer header either.
    const isSized = isKnown(version) && (version < FORMED_SINCE || this.#versions.has(version));
    const size = isSized ? HEADER_SIZES[version] : SMALLEST_HEADER;
    if (available < size) throw invalid(1, offset, `${available} bytes where a header of ${size} starts`);
    if (!isKnown(version) || !this.#versions.has(version)) throw unknownVersion(version, this.#versions, offset);
    const type = bytes[offset + 1];
    if (!isType(type, version)) throw unknownType(type, version, offset + 1);
    const length = view.getUint32(offset + 3);
    const limit = this.maxPayload + (this.#opens ? addedBytes(version, bytes[offset + 2]) : 0);
    if (length > limit) throw tooLong(length, limit, offset + 3);
    const isFormed = version >= FORMED_SINCE;
    return {
      version,
      type,
      flags: bytes[offset + 2],
      length,
      checksum: view.getUint32(offset + 7),
      timestamp: version >= TIMED_SINCE ? view.getBigUint64(offset + 11) : null,
      size,
      form: isFormed ? bytes[offset + FORM_AT] : undefined,
      streamId: isFormed ? view.getUint32(offset + STREAM_AT) : undefined,
      sequence: isFormed
        ? view.getUint32(offset + SEQUENCE_AT) * 2 ** 32 + view.getUint32(offset + SEQUENCE_AT + 4)
        : undefined,
    };
  }

  /** Decodes the payload of a frame. @throws ProtocolError checks 8 to 14 */
  protected message(
    received: Uint8Array,
    header: Header,
    limit: number,
    templates: TemplateBook | undefined,
    decoding?: Decoding,
    opened: Uint8Array | null = null,
  ): Message {
    const added = this.#opens ? addedBytes(header.version, header.flags) : 0;
    if (header.length > limit + added) {
      throw new ProtocolError(
        ErrorCode.MESSAGE_TOO_LARGE,
        `${header.length} bytes of payload, where the message has room for ${Math.max(limit, 0)}`,
        { check: 10 },
      );
    }
    const isTransformed = header.flags & (header.version < FORMED_SINCE ? TRANSFORMED : TRANSFORMED_IN_V4);
    let payload = isTransformed
      ? restored(received, header, limit, opened, this.#opens, this.#decompressors, this.#unpacking)
      : received;
    if (this.#opens && header.version >= FORMED_SINCE && header.flags & Flag.SIGNED) {
      const end = payload.length - TRAILER_SIZE;
      if (end < 0) throw invalid(11, 0, `a signed payload of ${payload.length} bytes; it has ${TRAILER_SIZE} at least`);
      if (decoding) Object.assign(decoding, { isProtected: true, trailer: payload.subarray(end) });
      payload = payload.subarray(0, end);
    }
    if (decoding) decoding.payload = payload;
    return {
      type: header.type,
      version: header.version,
      flags: header.flags,
      timestamp: header.timestamp,
      form: header.form,
      streamId: header.streamId,
      sequence: header.sequence,
      data: isRecord(header.form)
        ? readRecord(payload, header, limit, templates, decoding)
        : readValue(payload, header.type, this.#unpacking.rare),
      frameBytes: header.size + header.length,
      payloadBytes: payload.length,
    };
  }
}

function frameOf(header: Header | null, item: Message | ProtocolError | null): Frame {
  return { header, item, payload: null, trailer: null, deferred: null };
}

/** Returns the bytes that sealing and signing add to a payload, beyond the limit for payloads. */
export function addedBytes(version: Version, flags: number): number {
  const seal = flags & Flag.ENCRYPTED && version >= FLAG_SINCE[Flag.ENCRYPTED] ? SEAL_OVERHEAD : 0;
  return seal + (flags & Flag.SIGNED && version >= FLAG_SINCE[Flag.SIGNED] ? TRAILER_SIZE : 0);
}

/** Returns the maximum size of a payload, inflated, in bytes; less for control messages, but an answer contains templates. */
function mostOf({ type, version }: Header, mostControl: number): number {
  if (DATA_TYPES.has(type) || type === MessageType.STREAM_ATTESTATION) return Number.POSITIVE_INFINITY;
  if (type !== MessageType.SUBSCRIPTION_ACK || version < FORMED_SINCE) return mostControl;
  return mostControl + MAX_ANSWER_PAYLOAD - MAX_CONTROL_PAYLOAD;
}

/**
 * Decompresses a payload. Rejects payloads that are encrypted and not opened, or a fragment, and signed ones unless the
 * caller cuts off the trailer.
 */
function restored(
  received: Uint8Array,
  header: Header,
  limit: number,
  opened: Uint8Array | null,
  cutsTrailer: boolean,
  decompressors: readonly Decompressor[],
  { inflate }: Unpacking,
): Uint8Array {
  const { flags, form } = header;
  const isInV4 = header.version >= FORMED_SINCE;
  if (isInV4 && flags & Flag.FRAGMENT) {
    const why = "the frame is a piece of a message, and this receiver does not put pieces together";
    throw new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, why, { check: 13 });
  }
  if (flags & Flag.ENCRYPTED && !opened) {
    const why = "the payload is encrypted, and this receiver has no key";
    throw new ProtocolError(ErrorCode.AUTHENTICATION_FAILED, why, { check: 8 });
  }
  const isSigned = isInV4 && (flags & Flag.SIGNED) !== 0;
  if (isSigned && !cutsTrailer) {
    const why = "the payload is signed, and this receiver does not verify signatures";
    throw new ProtocolError(ErrorCode.AUTHENTICATION_FAILED, why, { check: 14 });
  }
  const payload = opened ?? received;
  if (!(flags & Flag.COMPRESSED)) return payload;
  const most = limit + (isSigned ? TRAILER_SIZE : 0);
  const algorithm = (form ?? 0) & ALGORITHM;
  if (algorithm === 0 && inflate) return inflate(payload, most, header.size);
  const decompressor = decompressors.find((one) => one.algorithm === algorithm);
  if (decompressor) return decompressor.decompress(payload, most, header.size);
  const why = `the payload is compressed with ${ALGORITHMS[algorithm]}, which this receiver does not have`;
  throw new ProtocolError(ErrorCode.DECOMPRESSION_FAILED, why, { check: 9 });
}

/** Decodes a record by its template, within the limit for batches if it is in one. */
function readRecord(
  payload: Uint8Array,
  header: Header,
  limit: number,
  templates: TemplateBook | undefined,
  decoding: Decoding | undefined,
): unknown {
  if (payload.length < RECORD_HEADER) {
    throw invalid(11, 0, `a record of ${payload.length} bytes; it has at least ${RECORD_HEADER}`);
  }
  const number = (payload[0] << 8) | payload[1];
  const template = templates?.get(header.streamId ?? 0, number);
  if (!template) {
    const why = at(0, `template ${number} of stream ${header.streamId} is not known: its STREAM_TEMPLATE comes before`);
    throw new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, why, { check: 11, offset: 0, reason: "template" });
  }
  if (decoding?.isProtected && !(payload[OPTIONS_AT] & BOUND)) {
    const why = at(OPTIONS_AT, "a sealed or signed record has to be bound to its template");
    throw new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, why, { check: 11, offset: OPTIONS_AT, reason: "template" });
  }
  if (decoding?.isCounted) {
    const count = new DataView(payload.buffer, payload.byteOffset).getUint32(COUNT_AT);
    decoding.spent = (template.rows || 1) * count * SAMPLE_SIZE;
    if (decoding.spent > decoding.batch.left) {
      const stood = `a record that stands for ${decoding.spent} bytes of samples (byte ${COUNT_AT})`;
      const why = `${stood}, where the frames of this batch have room for ${Math.max(decoding.batch.left, 0)}`;
      throw new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, why, { check: 11 });
    }
  }
  return template.decode(payload, limit).data;
}

function readValue(payload: Uint8Array, type: MessageType, rare: RareValues): unknown {
  return isOfStream(type) ? readOfStream(type, payload, rare) : new Reader(payload, rare).onlyValue();
}

/** Checks 5 to 7: the payload is complete, its flags are defined in the version, and its CRC-32 is correct. */
export function checkPayload(bytes: Uint8Array, offset: number, header: Header): void {
  const start = offset + header.size;
  const there = bytes.length - start;
  if (header.length > there) throw invalid(5, start, `the payload is cut short: ${there} of ${header.length} bytes`);
  for (const flag of [Flag.COMPRESSED, Flag.ENCRYPTED]) {
    if (header.flags & flag && header.version < FLAG_SINCE[flag]) {
      throw invalid(6, offset + 2, `V${header.version} has no flag ${nameOf(flag, Flag)}`);
    }
  }
  const fault = header.version < FORMED_SINCE ? undefined : formFault(header as FormedHeader);
  if (fault) throw invalid(6, offset + fault.at, fault.why);
  const sum = crc32(bytes, start, start + header.length);
  if (sum !== header.checksum) {
    const said = `the payload's CRC-32 is ${hex(sum)}, the header says ${hex(header.checksum)}`;
    throw new ProtocolError(ErrorCode.CHECKSUM_MISMATCH, at(offset + 7, said), { check: 7, offset: offset + 7 });
  }
}

export function writeHeader(
  frame: Uint8Array,
  version: Version,
  type: MessageType,
  flags: number,
  timestamp: bigint,
): void {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const size = HEADER_SIZES[version];
  frame.set([version, type, flags]);
  view.setUint32(3, frame.length - size);
  view.setUint32(7, crc32(frame, size));
  if (version >= TIMED_SINCE) view.setBigUint64(11, timestamp);
}

export function isRecord(form: number | undefined): boolean {
  return ((form ?? 0) & Form.RECORD) !== 0;
}

interface FormedHeader {
  readonly type: MessageType;
  readonly flags: number;
  readonly form: number;
  readonly streamId: number;
  readonly sequence: number;
}

/**
 * Checks form, stream and sequence of a V4 header (check 6). Returns the fault and its offset in the header, if any.
 */
export function formFault({
  type,
  flags,
  form,
  streamId,
  sequence,
}: FormedHeader): { why: string; at: number } | undefined {
  const ofStream = `${nameOf(type, MessageType)} of stream ${streamId}`;
  const isFirst = (flags & Flag.PRIORITY) !== 0;
  const cannotWait = !STREAM_TYPES.has(type) || type === MessageType.ANOMALY_ALERT || isFirst || !streamId;
  const algorithm = form & ALGORITHM;
  if (form & ~(ALGORITHM | Form.RECORD | Form.BULK))
    return { why: `the form ${hex(form, 2)} has reserved bits`, at: FORM_AT };
  if (algorithm && !(flags & Flag.COMPRESSED)) {
    return { why: `the form names compression algorithm ${algorithm}, and the payload is not compressed`, at: FORM_AT };
  }
  if (algorithm >= ALGORITHMS.length)
    return { why: `no compression algorithm has the number ${algorithm}`, at: FORM_AT };
  if (isRecord(form) && (type !== MessageType.ECG_DATA || !streamId || isFirst)) {
    return { why: `RECORD is for ECG_DATA of a stream without PRIORITY, not for ${ofStream}`, at: FORM_AT };
  }
  if (form & Form.BULK && cannotWait) {
    const which = "messages of a stream without PRIORITY, but for ANOMALY_ALERT";
    return { why: `BULK is for ${which}; not for ${ofStream}`, at: FORM_AT };
  }
  if (streamId && !STREAM_TYPES.has(type)) {
    return { why: `${ofStream}: messages of this type belong to no stream`, at: STREAM_AT };
  }
  if (sequence > LARGEST_SEQUENCE) {
    return { why: `the sequence ${sequence} is larger than ${LARGEST_SEQUENCE}`, at: SEQUENCE_AT };
  }
  if (sequence && !streamId) return { why: `the sequence ${sequence} belongs to no stream`, at: SEQUENCE_AT };
  if (streamId && !sequence && type !== MessageType.STREAM_TEMPLATE) {
    return { why: `${ofStream} has no sequence`, at: SEQUENCE_AT };
  }
  return undefined;
}

export function isKnown(version: number): version is Version {
  return version >= VERSIONS[0] && version <= VERSIONS[VERSIONS.length - 1];
}

export function isType(type: number, version: Version): type is MessageType {
  return Object.hasOwn(TYPE_SINCE, type) && TYPE_SINCE[type as MessageType] <= version;
}

/** Returns the number of types of a version, in words. */
export function typesOf(version: Version): string {
  return version < FORMED_SINCE ? "thirteen" : "fifteen";
}

function unknownVersion(version: number, known: ReadonlySet<number>, offset: number): ProtocolError {
  const why = at(offset, `version ${version}; this receiver knows ${[...known].join(", ")}`);
  return new ProtocolError(ErrorCode.INVALID_PROTOCOL_VERSION, why, { check: 2, offset });
}

function unknownType(type: number, version: Version, offset: number): ProtocolError {
  const why = at(offset, `message type ${hex(type, 2)} is none of the ${typesOf(version)}`);
  return new ProtocolError(ErrorCode.INVALID_MESSAGE_TYPE, why, { check: 3, offset });
}

function tooLong(length: number, limit: number, offset: number): ProtocolError {
  const why = at(offset, `the header announces ${length} bytes of payload; the limit is ${limit}`);
  return new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, why, { check: 4, offset });
}

export function invalid(check: number, offset: number, why: string): ProtocolError {
  return new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, at(offset, why), { check, offset });
}

function at(offset: number, why: string): string {
  return `${why} (byte ${offset})`;
}

/** Converts another error, such as a lack of memory, to an error of this frame, so that decoding can continue. */
function unreadable(cause: unknown): ProtocolError {
  const error = new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, `the payload cannot be read: ${cause}`, { check: 11 });
  error.cause = cause;
  return error;
}

function hex(value: number, digits = 8): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}

function nameOf(number: number, table: Readonly<Record<string, number>>): string {
  return Object.entries(table).find(([, value]) => value === number)?.[0] ?? hex(number, 2);
}
