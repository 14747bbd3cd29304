/** Finds the end of arrays of numbers without decoding them. */
import { WIDTH } from "./tags.js";

const ARRAY16 = 0xdc;
const ARRAY32 = 0xdd;
/** Size of the shortest float, in bytes. */
const FLOAT_WIDTH = 5;

/**
 * Reads the header of the array at `at`: its length, and the offset of its first element; undefined if it is no array.
 */
export function arrayHeader(view: DataView, at: number): { length: number; start: number } | undefined {
  const left = view.byteLength - at;
  const tag = left > 0 ? view.getUint8(at) : 0;
  if ((tag & 0xf0) === 0x90) return { length: tag & 0x0f, start: at + 1 };
  if (tag === ARRAY16 && left >= 3) return { length: view.getUint16(at + 1), start: at + 3 };
  if (tag === ARRAY32 && left >= 5) return { length: view.getUint32(at + 1), start: at + 5 };
  return undefined;
}

/** Returns the end of one number, or of arrays of numbers with at most `depth` levels; -1 for anything else. */
export function pastNumbers(bytes: Uint8Array, view: DataView, at: number, depth: number): number {
  if (at >= bytes.length) return -1;
  const width = WIDTH[bytes[at]];
  if (width) return at + width <= bytes.length ? at + width : -1;
  const header = arrayHeader(view, at);
  return header && depth > 0 ? pastElements(bytes, view, header, depth - 1) : -1;
}

function pastElements(bytes: Uint8Array, view: DataView, header: { length: number; start: number }, depth: number) {
  let at = header.start;
  let left = header.length;
  while (left > 0) {
    const width = at < bytes.length ? WIDTH[bytes[at]] : 0;
    if (width) {
      // Most numbers are as wide as the one before. Comparing with it lets the processor go on without waiting for it. Most
      // floats have the same tag, too, for which the table is not needed.
      const start = at;
      const stop = Math.min(bytes.length, start + left * width);
      if (width < FLOAT_WIDTH) {
        do at += width;
        while (at < stop && WIDTH[bytes[at]] === width);
      } else {
        const tag = bytes[at];
        do at += width;
        while (at < stop && bytes[at] === tag);
      }
      left -= (at - start) / width;
    } else {
      at = pastNumbers(bytes, view, at, depth);
      if (at < 0) return -1;
      left--;
    }
  }
  return at <= bytes.length ? at : -1;
}
