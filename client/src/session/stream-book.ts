/**
 * The streams of one direction of a connection, in version 4: which numbers in headers stand for which streams, and the
 * templates by which their records are read.
 *
 * An answer to SUBSCRIBE binds a number, the id, to a stream and an epoch of it; the answer to UNSUBSCRIBE unbinds it.
 * When a stream begins another epoch it gets another id, and the one before stays bound for the frames that are still on
 * their way, until the epoch after that.
 */
import { fieldOf } from "../codec/fields.js";
import { pathText, quoted } from "../codec/path.js";
import type { FrameBook, Header, RecordTemplate } from "../codec/protocol-handler.js";
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

/** Epochs of a stream whose frames may arrive: the present one, and the one before it. */
const EPOCHS_BOUND = 2;
/** Templates that are kept unpacked; unpacked, a template may take 70 times its bytes. */
const MOST_UNPACKED = 64;

/** The number of a message within its stream. */
export interface Place {
  readonly stream: string;
  readonly epoch: number;
  readonly number: number;
  /** Whether the message may arrive before others that have lower numbers. */
  readonly overtakes: boolean;
}

/** What a session asks whoever knows how far each stream has got, over all connections. */
export interface Places {
  /** Whether the message was received before. */
  isHad(place: Place): boolean;
  /** Whether the message was refused over an earlier connection. */
  wasRefused(place: Place): boolean;
}

/** The answers where nobody keeps places. */
export const NO_PLACES: Places = { isHad: () => false, wasRefused: () => false };

interface Bound {
  readonly stream: string;
  readonly epoch: number;
  /** Payloads of the templates, by number, in the order in which they were told. */
  readonly templates: Map<number, Uint8Array>;
  /** Of these, together. */
  bytes: number;
}

export class StreamBook implements FrameBook {
  readonly #places: Places;
  readonly #bound = new Map<number, Bound>();
  /** The ids of each stream, the oldest first. */
  readonly #ids = new Map<string, number[]>();
  /** The largest id that was ever bound. */
  #largest = 0;
  /** Bytes of all templates. */
  #bytes = 0;
  /** The templates that were used last, by their payload; the latest is the last. */
  readonly #unpacked = new Map<Uint8Array, RecordReader>();

  constructor(places: Places) {
    this.#places = places;
  }

  /** Number of ids that are bound. */
  get size(): number {
    return this.#bound.size;
  }

  // --- what the answers say ---

  /**
   * Notes that an id stands for a stream from now on.
   *
   * @throws ProtocolError check 12: the id stands for another stream or epoch, or too many are bound
   */
  bind(id: number, stream: string, epoch: number): void {
    const bound = this.#bound.get(id);
    if (bound?.stream === stream && bound.epoch === epoch) return;
    if (bound) {
      throw wrong("id", `the stream id ${id} stands for epoch ${bound.epoch} of ${quoted(bound.stream)} already`);
    }
    if (!stream || [...stream].length > MAX_STREAM_NAME) {
      throw wrong("stream", `the name of a stream has 1 to ${MAX_STREAM_NAME} characters`);
    }
    const ids = this.#ids.get(stream) ?? [];
    if (ids.length === EPOCHS_BOUND) this.#unbindId(ids.shift() as number);
    if (this.#bound.size >= MAX_STREAM_IDS)
      throw wrong("id", `${MAX_STREAM_IDS} stream ids are bound, and one more is too many`);
    this.#ids.set(stream, [...ids, id]);
    this.#bound.set(id, { stream, epoch, templates: new Map(), bytes: 0 });
    this.note(id);
  }

  /** Notes an id that is not to be bound: its frames are let go. */
  note(id: number): void {
    this.#largest = Math.max(this.#largest, id);
  }

  /** Notes that no more frames of a stream are expected. */
  unbind(stream: string): void {
    for (const id of this.#ids.get(stream) ?? []) this.#unbindId(id);
    this.#ids.delete(stream);
  }

  /**
   * Keeps a template. A template that is known already stays as it is. Where there are too many, the oldest of its stream
   * is forgotten; where there are too many bytes, the oldest of the stream whose templates have most.
   *
   * @param data the fields of the STREAM_TEMPLATE, which are valid
   * @param payload the same as packed
   * @throws ProtocolError check 12: it opens a stream, names another stream, or has the number of another template
   */
  learn(id: number, data: unknown, payload: Uint8Array): void {
    const bound = this.#bound.get(id);
    const number = fieldOf(data, "template") as number;
    if (!bound) throw wrong("stream", "a template belongs to a stream, and its header names none");
    if (number === 0) throw wrong("template", "a server does not open streams (template 0)");
    const stream = fieldOf(data, "stream");
    if (stream !== bound.stream) {
      const named = quoted(String(stream));
      throw wrong("stream", `a template of ${named} under the id ${id}, which stands for ${quoted(bound.stream)}`);
    }
    const known = bound.templates.get(number);
    if (known && isSame(known, payload)) return;
    if (known) throw wrong("template", `template ${number} of ${quoted(bound.stream)} has another content`);
    bound.templates.set(number, payload.slice()); // what it was received in may be large
    bound.bytes += payload.length;
    this.#bytes += payload.length;
    if (bound.templates.size > TEMPLATES_KEPT) this.#forget(bound, firstOf(bound.templates));
    while (this.#bytes > MAX_TEMPLATES_PAYLOAD) {
      const largest = [...this.#bound.values()].reduce((most, each) => (each.bytes > most.bytes ? each : most));
      this.#forget(largest, firstOf(largest.templates));
    }
  }

  // --- what frames ask ---

  /** Returns the id of the present epoch of a stream; undefined if it has none. */
  idOf(stream: string): number | undefined {
    return this.#ids.get(stream)?.at(-1);
  }

  /** Returns which message of which stream a header names; null if it is of no stream that is bound. */
  placeOf(header: Pick<Header, "type" | "flags" | "streamId" | "sequence">): Place | null {
    const bound = this.#bound.get(header.streamId ?? 0);
    if (!bound) return null;
    const overtakes = (header.flags & Flag.PRIORITY) !== 0 || header.type === MessageType.ANOMALY_ALERT;
    return { stream: bound.stream, epoch: bound.epoch, number: header.sequence ?? 0, overtakes };
  }

  /** Whether to read a frame: not if its id is no longer bound, nor if its message was had. */
  admits(header: Header): boolean {
    const place = this.placeOf(header);
    if (place) return place.number === 0 || !this.#places.isHad(place);
    const { streamId = 0 } = header;
    if (streamId <= this.#largest) return false;
    const text = `no answer has bound the stream id ${streamId}`;
    throw new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, text, { check: 11 });
  }

  get(streamId: number, number: number): RecordTemplate | undefined {
    const payload = this.#bound.get(streamId)?.templates.get(number);
    if (!payload) return undefined;
    const template = this.#unpacked.get(payload) ?? new RecordReader(payload);
    this.#unpacked.delete(payload); // to the end: it was used last
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

function firstOf<Key>(map: ReadonlyMap<Key, unknown>): Key {
  return map.keys().next().value as Key;
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, i) => byte === other[i]);
}

function wrong(field: string, why: string): ProtocolError {
  return new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, why, { check: 12, path: pathText([field]) });
}
