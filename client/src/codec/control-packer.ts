import { DATETIME_KEY } from "../protocol.js";
import { isoText } from "./exact-date.js";

const utf8 = new TextEncoder();

/**
 * Packs the payload of a control message that a receiver sends, to the same bytes as `pack`: maps with text as keys, lists,
 * texts, numbers, booleans, null and dates. `pack` takes every type, and is many times as large.
 *
 * @throws TypeError another type
 */
export function packControl(value: unknown): Uint8Array<ArrayBuffer> {
  const bytes: number[] = [];
  put(bytes, value);
  return Uint8Array.from(bytes);
}

function put(bytes: number[], value: unknown): void {
  if (value === null || typeof value === "boolean") bytes.push(value === null ? 0xc0 : value ? 0xc3 : 0xc2);
  else if (typeof value === "string") putText(bytes, value);
  else if (typeof value === "number" || typeof value === "bigint") putNumber(bytes, value);
  else if (Array.isArray(value)) {
    putLength(bytes, value.length, 0x90, 16, 0xdc);
    for (const item of value) put(bytes, item);
  } else if (value instanceof Date) put(bytes, { [DATETIME_KEY]: isoText(value) });
  else if (value && Object.getPrototypeOf(value) === Object.prototype) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    putLength(bytes, entries.length, 0x80, 16, 0xde);
    for (const [key, item] of entries) {
      putText(bytes, key);
      put(bytes, item);
    }
  } else throw new TypeError(`no control message of a receiver has a value such as ${value}`);
}

function putText(bytes: number[], text: string): void {
  const encoded = utf8.encode(text);
  if (encoded.length >= 32 && encoded.length < 256) bytes.push(0xd9, encoded.length);
  else putLength(bytes, encoded.length, 0xa0, 32, 0xda);
  for (const byte of encoded) bytes.push(byte);
}

/** Appends a length: in the tag if it is below `fixEnd`, otherwise in 16 or 32 bits after it. */
function putLength(bytes: number[], length: number, fix: number, fixEnd: number, tag16: number): void {
  if (length < fixEnd) bytes.push(fix | length);
  else if (length < 2 ** 16) putBytes(bytes, tag16, 2, BigInt(length));
  else putBytes(bytes, tag16 + 1, 4, BigInt(length));
}

/** Appends an integer in the shortest form, or a float of 64 bits. */
function putNumber(bytes: number[], value: number | bigint): void {
  if (typeof value === "number" && (!Number.isSafeInteger(value) || Object.is(value, -0))) {
    const words = new DataView(new ArrayBuffer(8));
    words.setFloat64(0, value);
    putBytes(bytes, 0xcb, 8, words.getBigUint64(0));
    return;
  }
  const integer = BigInt(value);
  const isNegative = integer < 0n;
  if (integer >= -32n && integer < 128n) bytes.push(Number(integer) & 0xff);
  else {
    const room = isNegative ? -integer - 1n : integer;
    const power = [0, 1, 2].find((each) => room < 1n << BigInt((8 << each) - Number(isNegative))) ?? 3;
    putBytes(bytes, (isNegative ? 0xd0 : 0xcc) + power, 1 << power, integer);
  }
}

/** Appends a tag and an integer of that size in bytes. @throws RangeError it does not fit in 64 bits */
function putBytes(bytes: number[], tag: number, size: number, value: bigint): void {
  if (value < -(2n ** 63n) || value >= 2n ** 64n) throw new RangeError("the integer does not fit in 64 bits");
  bytes.push(tag);
  for (let byte = size - 1; byte >= 0; byte--) bytes.push(Number((value >> BigInt(8 * byte)) & 0xffn));
}
