import type { Folder } from "./crc32-fold.js";

const POLYNOMIAL = 0xedb88320;
const SLICE = 8;
/** Least number of bytes for which folding is faster than tables. */
export const WORTH_FOLDING = 9600;

/** Eight tables of 256 entries: the effect of a byte on the CRC, for each position in a slice, the last one first. */
const TABLES = /* @__PURE__ */ makeTables();

function makeTables(): Int32Array {
  const tables = new Int32Array(SLICE * 256);
  for (let byte = 0; byte < 256; byte++) {
    let sum = byte;
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ POLYNOMIAL : sum >>> 1;
    tables[byte] = sum;
  }
  for (let i = 256; i < tables.length; i++) {
    const before = tables[i - 256];
    tables[i] = (before >>> 8) ^ tables[before & 0xff];
  }
  return tables;
}

/** Returns the CRC-32 (as in zlib, gzip and PNG) of the bytes from `start` to `stop`. */
export function crc32(bytes: Uint8Array, start = 0, stop = bytes.length): number {
  if (stop - start >= WORTH_FOLDING) {
    if (folder) return ~folder.sum(-1, bytes, start, stop) >>> 0;
    void loadFolding(); // this payload is summed with tables
  }
  return ~sumUp(-1, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), start, stop) >>> 0;
}

/** Continues a CRC, `before`, with tables, eight bytes at a time. */
export function sumUp(before: number, view: DataView, start: number, stop: number): number {
  let sum = before;
  let at = start;
  for (; at <= stop - SLICE; at += SLICE) {
    const low = sum ^ view.getInt32(at, true);
    const high = view.getInt32(at + 4, true);
    sum =
      TABLES[1792 + (low & 0xff)] ^
      TABLES[1536 + ((low >>> 8) & 0xff)] ^
      TABLES[1280 + ((low >>> 16) & 0xff)] ^
      TABLES[1024 + (low >>> 24)] ^
      TABLES[768 + (high & 0xff)] ^
      TABLES[512 + ((high >>> 8) & 0xff)] ^
      TABLES[256 + ((high >>> 16) & 0xff)] ^
      TABLES[high >>> 24];
  }
  for (; at < stop; at++) sum = (sum >>> 8) ^ TABLES[(sum ^ view.getUint8(at)) & 0xff];
  return sum;
}

let folder: Folder | null = null;
let loading: Promise<boolean> | undefined;

/**
 * Loads what sums large payloads with WebAssembly, once. Returns false if the policy of the page forbids it, or it cannot be
 * loaded: tables give the same sums.
 */
export function loadFolding(): Promise<boolean> {
  loading ??= import("./crc32-fold.js").then(
    (fold) => {
      try {
        folder = new fold.Folder(sumUp);
      } catch {} // the policy forbids WebAssembly
      return folder !== null;
    },
    () => false,
  );
  return loading;
}
