/**
 * The streams of one direction of a connection, in version 4: the id of each stream in headers, and the templates of its
 * records.
 *
 * An answer to SUBSCRIBE binds a number, the id, to a stream and an epoch of it; the answer to UNSUBSCRIBE unbinds it.
 * When a stream begins another epoch, it gets another id. The previous id stays bound until the next epoch begins, for
 * frames that are still in transit.
 */
import { fieldOf } from "../codec/fields.js";
import { pathText, quoted } from "../codec/path.js";
import type { FrameBook, Header, RecordTemplate, Unpacking } from "../codec/protocol-handler.js";
import { RecordReader } from "../codec/record-reader.js";
import { ProtocolError } from "../errors.js";
import {
  ErrorCode,
  Flag,
  MAX_STREAM_IDS,
  MAX_STREAM_NAME,
  MAX_TEMPLATES_PAYLOAD,
  MessageType,
  TEMPLATES_KEPT,
} from "../protocol.js";

/** Number of epochs of a stream whose frames may arrive: the current one, and the one before it. */
const EPOCHS_BOUND = 2;
/** Number of templates that are kept unpacked. An unpacked template takes up to 70 times its packed size. */
const MOST_UNPACKED = 64;

/** The number of a message within its stream. */
export interface StreamPosition {
  readonly stream: string;
  readonly epoch: number;
  readonly number: number;
  /** True if the message may arrive before others that have lower numbers. */
  readonly overtakes: boolean;
  /** The request for a history to which the message belongs; absent for what is live. */
  readonly history?: number;
}

/** The positions in streams over all connections, as far as a session needs them. */
export interface StreamPositions {
  /** Returns whether the message was received before. */
  wasReceived(position: StreamPosition): boolean;
  /** Returns whether the message was refused over an earlier connection. */
  wasRefused(position: StreamPosition): boolean;
}

/** Used if no positions are known. */
export const NO_POSITIONS: StreamPositions = { wasReceived: () => false, wasRefused: () => false };

interface Bound {
  readonly stream: string;
  readonly epoch: number;
  /** The request for a history whose messages have the id; null for what is live. */
  readonly history: number | null;
  /** Payloads of the templates by number, in the order of arrival. */
  readonly templates: Map<number, Uint8Array>;
  /** Total size of these payloads. */
  bytes: number;
}

export class StreamBook implements FrameBook {
  readonly #positions: StreamPositions;
  readonly #unpacking: Pick<Unpacking, "rare" | "sha256">;
  readonly #bound = new Map<number, Bound>();
  /** The ids of each stream and of each history, the oldest first. */
  readonly #ids = new Map<string, number[]>();
  /** The largest id so far. */
  #largest = 0;
  /** Bytes of all templates. */
  #bytes = 0;
  /** The last templates that were used, by payload; the latest one is at the end. */
  readonly #unpacked = new Map<Uint8Array, RecordReader>();

  constructor(positions: StreamPositions, unpacking: Pick<Unpacking, "rare" | "sha256">) {
    this.#unpacking = unpacking;
    this.#positions = positions;
  }

  /** Number of ids that are bound. */
  get size(): number {
    return this.#bound.size;
  }

  // --- what the answers say ---

  /**
   * Binds an id to a stream and an epoch.
   *
   * @throws ProtocolError check 12: the id is bound to another stream or epoch, or too many ids are bound
   */
  bind(id: number, stream: string, epoch: number, history: number | null = null): void {
    const bound = this.#bound.get(id);
    if (bound?.stream === stream && bound.epoch === epoch && bound.history === history) return;
    if (bound) {
      throw wrong("id", `the stream id ${id} is bound to epoch ${bound.epoch} of ${quoted(bound.stream)} already`);
    }
    if (!stream || [...stream].length > MAX_STREAM_NAME) {
      throw wrong("stream", `the name of a stream has 1 to ${MAX_STREAM_NAME} characters`);
    }
    const key = keyOf(stream, history);
    const ids = this.#ids.get(key) ?? [];
    if (ids.length === (history === null ? EPOCHS_BOUND : 1)) this.#unbindId(ids.shift() as number);
    if (this.#bound.size >= MAX_STREAM_IDS)
      throw wrong("id", `${MAX_STREAM_IDS} stream ids are bound, which is the maximum`);
    this.#ids.set(key, [...ids, id]);
    this.#bound.set(id, { stream, epoch, history, templates: new Map(), bytes: 0 });
    this.note(id);
  }

  /** Notes an id that is not bound: its frames are skipped without an error. */
  note(id: number): void {
    this.#largest = Math.max(this.#largest, id);
  }

  /** Unbinds all ids of a stream, or that of a history, and forgets the templates. */
  unbind(stream: string, history: number | null = null): void {
    const key = keyOf(stream, history);
    for (const id of this.#ids.get(key) ?? []) this.#unbindId(id);
    this.#ids.delete(key);
  }

  /**
   * Adds a template; nothing happens if it is known. If a stream has too many templates, its oldest is forgotten. If all
   * templates together have too many bytes, the oldest of the stream with the most bytes is forgotten.
   *
   * @param data the valid fields of the STREAM_TEMPLATE
   * @param payload the same, packed
   * @throws ProtocolError check 12: the template opens a stream, names another stream, or its number has another content
   */
  learn(id: number, data: unknown, payload: Uint8Array): void {
    const bound = this.#bound.get(id);
    const number = fieldOf(data, "template") as number;
    if (!bound) throw wrong("stream", "the header of a template has to name its stream");
    if (number === 0) throw wrong("template", "a server does not open streams (template 0)");
    const stream = fieldOf(data, "stream");
    if (stream !== bound.stream) {
      const named = quoted(String(stream));
      throw wrong("stream", `a template of ${named} with the id ${id}, which is bound to ${quoted(bound.stream)}`);
    }
    const known = bound.templates.get(number);
    if (known && isSame(known, payload)) return;
    if (known) throw wrong("template", `template ${number} of ${quoted(bound.stream)} has another content`);
    bound.templates.set(number, payload.slice()); // a copy: a view would keep the whole received message in memory
    bound.bytes += payload.length;
    this.#bytes += payload.length;
    if (bound.templates.size > TEMPLATES_KEPT) this.#forget(bound, firstOf(bound.templates));
    while (this.#bytes > MAX_TEMPLATES_PAYLOAD) {
      const largest = [...this.#bound.values()].reduce((most, each) => (each.bytes > most.bytes ? each : most));
      this.#forget(largest, firstOf(largest.templates));
    }
  }

  // --- what frames ask ---

  /** Returns the id of the current epoch of a stream, or of a history; undefined if it has none. */
  idOf(stream: string, history: number | null = null): number | undefined {
    return this.#ids.get(keyOf(stream, history))?.at(-1);
  }

  /** Returns true if an id is bound to that stream, and not to a history of it. */
  isLive(id: number, stream: string): boolean {
    return this.#ids.get(keyOf(stream, null))?.includes(id) ?? false;
  }

  /** Returns the name of the stream of an id; undefined if it is not bound. */
  nameOf(id: number): string | undefined {
    return this.#bound.get(id)?.stream;
  }

  /** Returns the position of a message by its header; null if its stream is not bound. */
  positionOf(header: Pick<Header, "type" | "flags" | "streamId" | "sequence">): StreamPosition | null {
    const bound = this.#bound.get(header.streamId ?? 0);
    if (!bound) return null;
    const overtakes = (header.flags & Flag.PRIORITY) !== 0 || header.type === MessageType.ANOMALY_ALERT;
    const { stream, epoch, history } = bound;
    return { stream, epoch, number: header.sequence ?? 0, overtakes, ...(history !== null && { history }) };
  }

  /**
   * Returns whether to read a frame. A frame is skipped if its id is no longer bound, or its message was received before.
   *
   * @throws ProtocolError check 11: the id was never bound
   */
  admits(header: Header): boolean {
    const position = this.positionOf(header);
    if (position?.history !== undefined) return true; // it is asked for because it was, or because it was not
    if (position) return position.number === 0 || !this.#positions.wasReceived(position);
    const { streamId = 0 } = header;
    if (streamId <= this.#largest) return false;
    const text = `the stream id ${streamId} was never bound: a SUBSCRIPTION_ACK names it before its messages`;
    throw new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, text, { check: 11 });
  }

  get(streamId: number, number: number): RecordTemplate | undefined {
    const payload = this.#bound.get(streamId)?.templates.get(number);
    if (!payload) return undefined;
    const template = this.#unpacked.get(payload) ?? new RecordReader(payload, this.#unpacking);
    this.#unpacked.delete(payload); // move it to the end, as the one that was used last
    this.#unpacked.set(payload, template);
    if (this.#unpacked.size > MOST_UNPACKED) this.#unpacked.delete(firstOf(this.#unpacked));
    return template;
  }

  // --- inside ---

  #unbindId(id: number): void {
    const bound = this.#bound.get(id) as Bound;
    for (const number of bound.templates.keys()) this.#forget(bound, number);
    this.#bound.delete(id);
  }

  #forget(bound: Bound, number: number): void {
    const payload = bound.templates.get(number) as Uint8Array;
    bound.templates.delete(number);
    this.#unpacked.delete(payload);
    bound.bytes -= payload.length;
    this.#bytes -= payload.length;
  }
}

/** The key of a stream, or of a history, among the ids. */
function keyOf(stream: string, history: number | null): string {
  return `${history ?? ""} ${stream}`;
}

function firstOf<Key>(map: ReadonlyMap<Key, unknown>): Key {
  return map.keys().next().value as Key;
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, i) => byte === other[i]);
}

function wrong(field: string, why: string): ProtocolError {
  return new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, why, { check: 12, path: pathText([field]) });
}
