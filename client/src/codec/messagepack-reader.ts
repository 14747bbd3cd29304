import { ProtocolError } from "../errors.js";
import {
  BINARY_VALUES,
  DATETIME_KEY,
  DTYPE_KEY,
  ErrorCode,
  MAX_DEPTH,
  MAX_VALUES,
  NDARRAY_KEY,
  SHAPE_KEY,
  UUID_KEY,
} from "../protocol.js";
import { ArrayReader, type ArraySource } from "./array-reader.js";
import { exact, isIndex, type Key, mapFor, sparseObject } from "./map-keys.js";
import { type PathStep, pathText, quoted } from "./path.js";
import type { RareValues } from "./rare-values.js";
import { asciiAt, isTrue, TOO_DEEP, textAt, WIDTH } from "./tags.js";

/** A decoded map: an object if all keys are text, otherwise a `Map`. */
type Entries = Record<string, unknown> | Map<Key, unknown>;

const MARKERS: ReadonlySet<string> = new Set([NDARRAY_KEY, DTYPE_KEY, SHAPE_KEY, DATETIME_KEY, UUID_KEY]);

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads one payload. Checks each length against the remaining bytes before it allocates memory.
 *
 * The known libraries are not sufficient: they convert lists of numbers to JavaScript arrays, accept duplicate keys and
 * invalid UTF-8, and do not limit the number of values.
 */
export class Reader implements ArraySource {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** One step for each open array or map. */
  readonly path: PathStep[] = [];
  readonly #end: number;
  #at = 0;
  /** Values that the open arrays and maps still need. Each has at least one byte. */
  #outstanding = 0;
  /** Values read so far, counted as for MAX_VALUES. */
  #values = 0;
  readonly #floats: Set<Key> | undefined;
  readonly rare: RareValues;
  #arrayReader: ArrayReader | undefined;

  /**
   * @param rare what reads arrays in list form, dates and UUIDs
   * @param floats receives the keys of the outermost map whose values are floats, as JavaScript cannot tell 1.0 from 1
   */
  constructor(bytes: Uint8Array, rare: RareValues, floats?: Set<Key>) {
    this.rare = rare;
    this.#floats = floats;
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#end = bytes.length;
  }

  /** Reads the only value of the payload; null if the payload is empty. */
  onlyValue(): unknown {
    if (this.#end === 0) return null;
    const value = this.#value();
    if (this.#at !== this.#end) this.refuse(this.#at, `${this.#end - this.#at} bytes left over behind the value`);
    return value;
  }

  /** Number of values read so far, counted as for MAX_VALUES. */
  get values(): number {
    return this.#values;
  }

  // --- errors ---

  refuse(offset: number, why: string): never {
    throw this.error(ErrorCode.INVALID_DATA_FORMAT, offset, why);
  }

  error(code: ErrorCode, offset: number, why: string, path = pathText(this.path)): ProtocolError {
    return new ProtocolError(code, `${path}: ${why} (payload byte ${offset})`, { check: 11, path, offset });
  }

  /** Counts a value as MAX_VALUES defines it, before it is allocated. `start` is its offset. */
  count(start: number, values: number): void {
    this.#values += values;
    if (this.#values > MAX_VALUES) {
      throw this.error(ErrorCode.MESSAGE_TOO_LARGE, start, `more than ${MAX_VALUES} values in one payload`);
    }
  }

  #need(bytes: number): void {
    const missing = bytes - (this.#end - this.#at);
    if (missing > 0) this.refuse(this.#at, `the payload ends ${missing} bytes early`);
  }

  // --- values ---

  #value(): unknown {
    this.#need(1);
    const start = this.#at;
    const tag = this.bytes[start];
    if (tag < 0x80 || tag >= 0xe0) {
      this.#at++;
      return tag < 0x80 ? tag : tag - 0x100;
    }
    if (WIDTH[tag]) return this.#wideNumber(tag);
    if (tag <= 0xc0) {
      this.#at++;
      if (tag < 0x90) return this.#map(start, tag & 0x0f);
      if (tag < 0xa0) return this.#array(start, tag & 0x0f);
      return tag < 0xc0 ? this.#text(start, tag & 0x1f) : null;
    }
    switch (tag) {
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#octets(start, this.#length(1 << (tag - 0xc4)));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(start, this.#length(1 << (tag - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#array(start, this.#length(2 << (tag - 0xdc)));
      case 0xde:
      case 0xdf:
        return this.#map(start, this.#length(2 << (tag - 0xde)));
      default:
        return this.refuse(start, `MessagePack tag 0x${tag.toString(16)} is none of the specification's types`);
    }
  }

  #wideNumber(tag: number): number | bigint | boolean {
    const at = this.#at + 1;
    if (WIDTH[tag] > this.#end - this.#at) this.refuse(this.#at, "the payload ends within this number");
    this.#at += WIDTH[tag];
    switch (tag) {
      case 0xca:
        return this.view.getFloat32(at);
      case 0xcb:
        return this.view.getFloat64(at);
      case 0xcc:
        return this.bytes[at];
      case 0xcd:
        return this.view.getUint16(at);
      case 0xce:
        return this.view.getUint32(at);
      case 0xcf:
        return exact(this.view.getBigUint64(at));
      case 0xd0:
        return this.view.getInt8(at);
      case 0xd1:
        return this.view.getInt16(at);
      case 0xd2:
        return this.view.getInt32(at);
      case 0xd3:
        return exact(this.view.getBigInt64(at));
      default:
        return isTrue(tag);
    }
  }

  /** Reads a tag and the length after it, which has `width` bytes. Returns the length. */
  #length(width: number): number {
    this.#need(1 + width);
    const at = this.#at + 1;
    this.#at = at + width;
    return width === 1 ? this.bytes[at] : width === 2 ? this.view.getUint16(at) : this.view.getUint32(at);
  }

  #text(start: number, length: number): string {
    this.#need(length);
    this.count(start, 1);
    const from = this.#at;
    this.#at += length;
    return asciiAt(this.bytes, { start: from, stop: this.#at }) || this.#utf8(start, from);
  }

  #utf8(start: number, from: number): string {
    try {
      return utf8.decode(this.bytes.subarray(from, this.#at));
    } catch {
      return this.refuse(start, "text that is not UTF-8");
    }
  }

  #octets(start: number, length: number): Uint8Array {
    this.#need(length);
    this.count(start, BINARY_VALUES);
    this.#at += length;
    return this.bytes.slice(this.#at - length, this.#at);
  }

  // --- containers ---

  /** Enters an array or map of so many values. Rejects it at once if the payload is too short for them. */
  #enter(start: number, values: number): void {
    const left = this.#end - this.#at;
    if (values + this.#outstanding > left) this.refuse(start, `${values} values announced, and ${left} bytes are left`);
    if (this.path.length === MAX_DEPTH) this.refuse(start, TOO_DEEP);
    this.count(start, 1);
    this.#outstanding += values;
  }

  #array(start: number, length: number): unknown[] {
    this.#enter(start, length);
    const items: unknown[] = [];
    const depth = this.path.push(0) - 1;
    for (let i = 0; i < length; i++) {
      this.path[depth] = i;
      this.#outstanding--;
      items.push(this.#value());
    }
    this.path.pop();
    return items;
  }

  #map(start: number, length: number): unknown {
    const key = length > 0 ? textAt(this.bytes, this.view, this.#at) : undefined;
    if (key && mayBeWrapper(length, asciiAt(this.bytes, key))) return this.#markedMap(start, length);
    return this.#entries(start, length);
  }

  #entries(start: number, length: number): Entries {
    this.#enter(start, 2 * length);
    let entries: Entries = {};
    let isSparse = false;
    for (let i = 0; i < length; i++) {
      this.#outstanding--;
      const key = this.#key(); // an error in the key has the path of the map
      this.path.push(key);
      this.#outstanding--;
      if (this.#floats && this.path.length === 1 && isFloatTag(this.bytes[this.#at])) this.#floats.add(key);
      const value = this.#value();
      this.path.pop();
      if (typeof key !== "string" && !(entries instanceof Map)) entries = mapFor(length, Object.entries(entries));
      else if (!(entries instanceof Map) && isIndex(key as string) && !isSparse) {
        entries = sparseObject(entries);
        isSparse = true;
      }
      if (!put(entries, key, value)) this.refuse(start, "a map names the same key twice");
    }
    return entries;
  }

  #key(): Key {
    this.#need(1);
    const start = this.#at;
    const tag = this.bytes[start];
    if (!isKeyTag(tag)) {
      this.refuse(start, `a map key that is neither text nor an integer (MessagePack tag 0x${tag.toString(16)})`);
    }
    if (WIDTH[tag]) this.count(start, 1); // text is counted when it is read
    return this.#value() as Key;
  }

  // --- wrappers ---

  /** Reads a map whose first key is a key of a wrapper. Returns the wrapped value, or the map if it is no wrapper. */
  #markedMap(start: number, length: number): unknown {
    const array = length === 3 ? this.#arrays().read(this.#at) : undefined;
    if (array) return array;
    const entries = this.#entries(start, length);
    if (entries instanceof Map) return entries;
    const keys = Object.keys(entries);
    if (keys.includes(NDARRAY_KEY)) this.#arrays().refuseWrapper(start, entries);
    if (length === 1 && keys[0] === DATETIME_KEY) return this.#wrapped(start, "DateTime", entries[DATETIME_KEY]);
    if (length === 1 && keys[0] === UUID_KEY) return this.#wrapped(start, "Uuid", entries[UUID_KEY]);
    return entries;
  }

  #arrays(): ArrayReader {
    this.#arrayReader ??= new ArrayReader(this);
    return this.#arrayReader;
  }

  /** Continues at that offset, after an array. */
  goTo(at: number): void {
    this.#at = at;
  }

  /** Reads the number at that offset, within an array. */
  numberAt(at: number): unknown {
    const here = this.#at;
    this.#at = at;
    const value = this.#value();
    this.#at = here;
    return value;
  }

  #wrapped(start: number, name: "DateTime" | "Uuid", text: unknown): unknown {
    if (typeof text !== "string") this.refuse(start, `a ${name} that wraps no text`);
    if (!this.rare) throw new Error("what reads dates and UUIDs is not loaded");
    try {
      return new this.rare[name](text);
    } catch (error) {
      return this.refuse(start, `${(error as Error).message}: ${quoted(text)}`);
    }
  }
}

/** Adds an entry; returns false if the key exists already. */
function put(entries: Entries, key: Key, value: unknown): boolean {
  if (entries instanceof Map) {
    if (entries.has(key)) return false;
    entries.set(key, value);
    return true;
  }
  const name = key as string;
  if (Object.hasOwn(entries, name)) return false;
  if (name === "__proto__") {
    Object.defineProperty(entries, name, { value, enumerable: true, configurable: true, writable: true });
  } else {
    entries[name] = value;
  }
  return true;
}

function isKeyTag(tag: number): boolean {
  const isInteger = tag < 0x80 || tag >= 0xe0 || (tag >= 0xcc && tag <= 0xd3);
  return isInteger || (tag & 0xe0) === 0xa0 || (tag >= 0xd9 && tag <= 0xdb);
}

function isFloatTag(tag: number): boolean {
  return tag === 0xca || tag === 0xcb;
}

/** Returns true if a map of so many entries, with this first key, may be a wrapper. */
export function mayBeWrapper(length: number, firstKey: unknown): boolean {
  return length <= 3 && MARKERS.has(firstKey as string);
}
