/**
 * What tells one message of a stream from another one, whatever its number, its timestamp and its encoding.
 *
 * Servers that are cut off from each other deliver a message under numbers and timestamps of their own, and again under
 * others once they are joined. What its publisher said in it stays the same.
 */

import { fieldOf, isMap } from "../codec/fields.js";
import { NdArray } from "../codec/ndarray.js";
import type { Message } from "../codec/protocol-handler.js";
import type { MessageType } from "../protocol.js";

/** Seconds by which the times of one message may differ in its encodings: records round them to the microsecond. */
const ROUNDED = 1e-5;
/** Intervals of a second by which `keysOf` looks up times. */
const BUCKETS = 1000;
/** Fields that `contentOf` leaves out, or treats apart. */
const APART: ReadonlySet<string> = new Set(["signal", "timestamp", "sequence", "stream"]);

/** What a message says, in short; NaN where it has no time, no count of its publisher, or is no map. */
export interface MessageMark {
  readonly type: MessageType;
  /** Of its first sample or of what it reports, in seconds. */
  readonly time: number;
  readonly count: number;
  /** Hash of all else in its map. */
  readonly content: number;
}

export function markOf({ type, data }: Pick<Message, "type" | "data">): MessageMark {
  if (!isMap(data)) return { type, time: NaN, count: NaN, content: NaN };
  return { type, time: numberIn(data, "timestamp"), count: numberIn(data, "sequence"), content: contentOf(data) };
}

/** Tells two marks that are of two messages. */
export function differ(one: MessageMark, other: MessageMark): boolean {
  if (one.type !== other.type || !Object.is(one.content, other.content)) return true;
  return Math.abs(one.count - other.count) > 0 || Math.abs(one.time - other.time) > ROUNDED;
}

/** The keys of messages that may say the same; a message is kept under the first. None without a time. */
export function keysOf({ time, content }: MessageMark): number[] {
  if (Number.isNaN(time + content)) return [];
  const times = [time, time - ROUNDED, time + ROUNDED].map((each) => Math.floor(each * BUCKETS) % 2 ** 20);
  return [...new Set(times)].map((each) => content * 2 ** 20 + each);
}

function numberIn(data: unknown, name: string): number {
  const value = fieldOf(data, name);
  if (value instanceof Date) return value.getTime() / 1000;
  return typeof value === "number" || typeof value === "bigint" ? Number(value) : NaN;
}

/** Hashes a map. Records and MessagePack of one message have the same: their keys may be in another order. */
function contentOf(data: unknown): number {
  const hash = new Hash();
  hash.addMap(data, APART);
  hash.addNumbers(fieldOf(data, "signal"));
  return hash.sum >>> 0;
}

const float = new Float64Array(1);
const words = new Int32Array(float.buffer);

class Hash {
  sum = 0;

  addMap(map: unknown, apart?: ReadonlySet<string>): void {
    const names = map instanceof Map ? [...map.keys()] : Object.keys(map as object);
    for (const name of names.sort()) {
      if (apart?.has(name)) continue;
      this.#addText(String(name));
      this.#add(fieldOf(map, name));
    }
  }

  /** Adds the numbers in lists of lists, or in an array, whatever their type. */
  addNumbers(value: unknown): void {
    const samples = value instanceof NdArray ? value.data : value;
    if (Array.isArray(samples) || ArrayBuffer.isView(samples)) {
      for (const each of samples as unknown as Iterable<unknown>) this.addNumbers(each);
    } else this.#addNumber(Number(samples));
  }

  #add(value: unknown): void {
    if (isMap(value)) this.addMap(value);
    else if (Array.isArray(value)) {
      this.#addWord(value.length);
      for (const each of value) this.#add(each);
    } else if (value instanceof NdArray || ArrayBuffer.isView(value)) this.addNumbers(value);
    else if (typeof value === "number" || typeof value === "bigint") this.#addNumber(Number(value));
    else this.#addText(value instanceof Date ? value.toISOString() : String(value));
  }

  #addText(text: string): void {
    this.#addWord(text.length);
    for (let i = 0; i < text.length; i++) this.#addWord(text.charCodeAt(i));
  }

  #addNumber(number: number): void {
    float[0] = Number.isNaN(number) ? NaN : number + 0; // records have no negative zero
    this.#addWord(words[0]);
    this.#addWord(words[1]);
  }

  #addWord(word: number): void {
    const sum = Math.imul(this.sum ^ word, 0x9e3779b1);
    this.sum = sum ^ (sum >>> 15);
  }
}
