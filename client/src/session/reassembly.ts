/**
 * Puts fragments together to whole messages.
 *
 * A sender cuts large messages, so that an alert does not wait for all of one. The fragments of a message come in order;
 * those of other classes of service may come in between. So a receiver has at most one unfinished message of each class,
 * and keeps no more of it than has arrived.
 */
import { crc32 } from "../codec/crc32.js";
import type { Header } from "../codec/protocol-handler.js";
import { ProtocolError } from "../errors.js";
import {
  ErrorCode,
  Flag,
  Form,
  FRAGMENT_HEADER,
  HEADER_SIZES,
  LEAST_FRAGMENT,
  MessageType,
  STREAM_TYPES,
} from "../protocol.js";

const VERSION = 4;
const HEADER = HEADER_SIZES[VERSION];
const FRAGMENT_CHECK = 13;
const FLAGS_AT = 2;
const LENGTH_AT = 3;
const CHECKSUM_AT = 7;
const REASON = { check: FRAGMENT_CHECK, reason: "fragment" };

/** A message of which fragments are missing. */
export interface Unfinished {
  /** Of its first fragment. */
  readonly header: Header;
  /** The bytes of that header. */
  readonly head: Uint8Array;
  /** Bytes of the whole payload. */
  readonly total: number;
  readonly pieces: Uint8Array[];
  /** Bytes of the payload that have arrived. */
  arrived: number;
  /** When the latest fragment arrived, in seconds. */
  lastAt: number;
}

/** The result of adding a fragment. */
export interface Added {
  /** The whole frame, if this was the last fragment. */
  readonly frame: Uint8Array<ArrayBuffer> | null;
  /** The unfinished message of the same class that was dropped because this fragment begins another one. */
  readonly lost: Unfinished | null;
}

const NOTHING: Added = { frame: null, lost: null };

/** The unfinished messages of one peer. */
export class Reassembly {
  readonly #maxPayload: number;
  readonly #least: number;
  /** By class of service. */
  readonly #unfinished = new Map<number, Unfinished>();
  /** By class: the key of the latest message that was refused or forgotten. */
  readonly #ignored = new Map<number, string>();

  /**
   * @param maxPayload bytes of the largest payload of a message
   * @param least bytes of a piece that is not the last one
   */
  constructor(maxPayload: number, least = LEAST_FRAGMENT) {
    this.#maxPayload = maxPayload;
    this.#least = least;
  }

  /** Bytes of unfinished messages that have arrived. */
  get bytes(): number {
    return [...this.#unfinished.values()].reduce((sum, { arrived }) => sum + arrived, 0);
  }

  /** Returns true if a WebSocket message begins with the header of a fragment. */
  takes(bytes: Uint8Array): boolean {
    return bytes.length >= HEADER && bytes[0] === VERSION && (bytes[FLAGS_AT] & Flag.FRAGMENT) !== 0;
  }

  /** Returns the error for a message that is dropped although its fragments were valid. */
  incomplete({ arrived, total }: Unfinished, why: string): ProtocolError {
    return fault(`${arrived} of ${total} bytes of a message arrived: ${why}`);
  }

  /**
   * Adds a fragment, whose header and checksum were checked.
   *
   * @param head the bytes of its header
   * @param payload total, offset, piece
   * @param now the time, in seconds
   * @throws ProtocolError check 13: it does not continue its message. The message is dropped; its later fragments are ignored.
   */
  add(header: Header, head: Uint8Array, payload: Uint8Array, now: number): Added {
    const group = classOf(header);
    const key = keyOf(header);
    if (this.#ignored.get(group) === key && payload.subarray(4, FRAGMENT_HEADER).some((byte) => byte !== 0))
      return NOTHING;
    let current = this.#unfinished.get(group);
    let lost: Unfinished | null = null;
    try {
      const { total, offset } = this.#read(header, payload);
      if (offset === 0) {
        lost = current && keyOf(current.header) !== key ? current : null;
        current = { header, head: head.slice(), total, pieces: [], arrived: 0, lastAt: now };
      } else {
        current = continuedBy(current, header, total, offset);
      }
    } catch (error) {
      this.refuse(header);
      throw error;
    }
    this.#ignored.delete(group);
    this.#unfinished.set(group, current);
    const piece = payload.slice(FRAGMENT_HEADER); // a copy: a view would keep the whole received message in memory
    current.pieces.push(piece);
    current.arrived += piece.length;
    current.lastAt = now;
    if (current.arrived < current.total) return { frame: null, lost };
    this.#unfinished.delete(group);
    return { frame: finish(current), lost };
  }

  /** Drops the message of a fragment that was refused, and ignores its later fragments. */
  refuse(header: Header): void {
    const group = classOf(header);
    const current = this.#unfinished.get(group);
    if (current && keyOf(current.header) === keyOf(header)) this.#unfinished.delete(group);
    this.#ignored.set(group, keyOf(header));
  }

  /** Drops unfinished messages by the ids of their streams, and ignores their later fragments. */
  forget(isForgotten: (streamId: number) => boolean): void {
    for (const { header } of [...this.#unfinished.values()]) if (isForgotten(header.streamId ?? 0)) this.refuse(header);
  }

  /** Returns when an unfinished message is dropped if no further fragment of it arrives within so many seconds. */
  deadline(timeout: number): number {
    return Math.min(...[...this.#unfinished.values()].map(({ lastAt }) => lastAt), Number.POSITIVE_INFINITY) + timeout;
  }

  /** Drops and returns the messages of which no fragment has arrived for so long. */
  expire(timeout: number, now: number): Unfinished[] {
    const expired = [...this.#unfinished.values()].filter(({ lastAt }) => lastAt + timeout <= now);
    for (const { header } of expired) this.refuse(header);
    return expired;
  }

  /** Returns total and offset of a fragment, after the checks that need no other fragment. */
  #read({ type }: Header, payload: Uint8Array): { total: number; offset: number } {
    if (!STREAM_TYPES.has(type))
      throw fault(
        `type 0x${type.toString(16)} is never cut: fragments are of data messages, templates and attestations`,
      );
    if (payload.length < FRAGMENT_HEADER)
      throw fault(`a fragment has at least ${FRAGMENT_HEADER} bytes of payload, not ${payload.length}`);
    const view = new DataView(payload.buffer, payload.byteOffset);
    const [total, offset] = [view.getUint32(0), view.getUint32(4)];
    const length = payload.length - FRAGMENT_HEADER;
    if (total > this.#maxPayload) {
      const why = `the fragment announces a payload of ${total} bytes; the limit is ${this.#maxPayload}`;
      throw new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, why, REASON);
    }
    if (length === 0 || offset + length > total)
      throw fault(`a fragment with ${length} bytes at byte ${offset} of ${total}`);
    if (length < this.#least && offset + length < total)
      throw fault(`a fragment that is not the last has at least ${this.#least} bytes, not ${length}`);
    return { total, offset };
  }
}

/** Returns the unfinished message that a fragment continues. */
function continuedBy(current: Unfinished | undefined, header: Header, total: number, offset: number): Unfinished {
  if (!current || keyOf(current.header) !== keyOf(header))
    throw fault(`a fragment at byte ${offset} of a message whose first fragments did not arrive`);
  if (fixedOf(current.header) !== fixedOf(header) || current.total !== total)
    throw fault("type, flags, form, sequence and total must be the same in all fragments of a message");
  if (offset !== current.arrived)
    throw fault(`a fragment at byte ${offset}, where byte ${current.arrived} of the message follows`);
  return current;
}

/** Returns the frame as if it had arrived at once. */
function finish({ head, total, pieces }: Unfinished): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(HEADER + total);
  frame.set(head);
  let at = HEADER;
  for (const piece of pieces) {
    frame.set(piece, at);
    at += piece.length;
  }
  frame[FLAGS_AT] &= ~Flag.FRAGMENT;
  const view = new DataView(frame.buffer);
  view.setUint32(LENGTH_AT, total);
  view.setUint32(CHECKSUM_AT, crc32(frame, HEADER));
  return frame;
}

/** Returns the class of service of a message, as far as it tells unfinished ones apart. */
function classOf({ type, flags, form = 0 }: Header): number {
  if (type === MessageType.ANOMALY_ALERT || flags & Flag.PRIORITY) return 0;
  return form & Form.BULK ? 2 : 1;
}

/** Stream and timestamp, which identify the message of a fragment. */
function keyOf({ streamId = 0, timestamp }: Header): string {
  return `${streamId} ${timestamp}`;
}

/** What is the same in all fragments of a message. */
function fixedOf({ type, flags, form, sequence }: Header): string {
  return `${type} ${flags} ${form} ${sequence}`;
}

function fault(text: string): ProtocolError {
  return new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, text, REASON);
}
