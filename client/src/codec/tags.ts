/** The tags of MessagePack, and the places of its texts. */
import { MAX_DEPTH } from "../protocol.js";

const TRUE = 0xc3;
/** Bytes of a text that is read without `TextDecoder`. */
export const SHORT_TEXT = 24;
export const TOO_DEEP = `more than ${MAX_DEPTH} arrays and maps inside one another`;
/** Character codes of a short text; one array for each length, so that decoding it allocates the string only. */
const CODES: readonly number[][] = /* @__PURE__ */ Array.from({ length: SHORT_TEXT + 1 }, (_, length) =>
  new Array<number>(length).fill(0),
);

/** Offsets of some bytes of the payload. */
export interface Span {
  readonly start: number;
  readonly stop: number;
}

/** Size of a number or bool in bytes, by its tag; 0 for tags of other types. */
export const WIDTH: Uint8Array = /* @__PURE__ */ makeWidths();

function makeWidths(): Uint8Array {
  const widths = new Uint8Array(256);
  widths.fill(1, 0x00, 0x80);
  widths.fill(1, 0xe0, 0x100);
  widths.set([1, 1], 0xc2); // false, true
  widths.set([5, 9, 2, 3, 5, 9, 2, 3, 5, 9], 0xca); // float 32 and 64, uint 8 to 64, int 8 to 64
  return widths;
}

export function isTrue(tag: number): boolean {
  return tag === TRUE;
}

export function isBinTag(tag: number): boolean {
  return tag >= 0xc4 && tag <= 0xc6;
}

/** Returns the text of those bytes if it is short and ASCII, as most are: faster than `TextDecoder`. Otherwise "". */
export function asciiAt(bytes: Uint8Array, { start, stop }: Span): string {
  const length = stop - start;
  if (length > SHORT_TEXT) return "";
  const codes = CODES[length];
  for (let i = 0; i < length; i++) {
    const byte = bytes[start + i];
    if (byte >= 0x80) return "";
    codes[i] = byte;
  }
  return String.fromCharCode.apply(null, codes);
}

/** Returns where the bytes of the text at `at` are; undefined if there is no complete text. */
export function textAt(bytes: Uint8Array, view: DataView, at: number): Span | undefined {
  const tag = at < bytes.length ? bytes[at] : 0;
  if ((tag & 0xe0) !== 0xa0) return sizedAt(bytes, view, at, 0xd9);
  const stop = at + 1 + (tag & 0x1f);
  return stop <= bytes.length ? { start: at + 1, stop } : undefined;
}

/** Returns where the bytes after the tag at `at` and a length of 8, 16 or 32 bits are; undefined if incomplete. */
export function sizedAt(bytes: Uint8Array, view: DataView, at: number, tag8: number): Span | undefined {
  const kind = at < bytes.length ? bytes[at] - tag8 : -1;
  if (kind < 0 || kind > 2) return undefined;
  const width = 1 << kind;
  const start = at + 1 + width;
  if (start > bytes.length) return undefined;
  const length = kind === 0 ? bytes[at + 1] : kind === 1 ? view.getUint16(at + 1) : view.getUint32(at + 1);
  return start + length <= bytes.length ? { start, stop: start + length } : undefined;
}
