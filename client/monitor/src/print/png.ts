/** The resolution in a PNG file, which a browser's canvas leaves out: without it, no program knows its size on paper. */

import { crc32 } from "../../../src/codec/crc32.js";

/** Bytes of the signature and of the first chunk, IHDR. */
const SIGNATURE = 8;
const HEADER = 25;

/** The file with a pHYs chunk: so many dots a millimetre. */
export function withResolution(png: Uint8Array, perMillimetre: number): Uint8Array {
  const chunk = new Uint8Array(21);
  const view = new DataView(chunk.buffer);
  const perMetre = Math.round(perMillimetre * 1000);
  view.setUint32(0, 9);
  chunk.set(new TextEncoder().encode("pHYs"), 4);
  view.setUint32(8, perMetre);
  view.setUint32(12, perMetre);
  chunk[16] = 1; // the unit is the metre
  view.setUint32(17, crc32(chunk, 4, 17));
  const after = SIGNATURE + HEADER;
  const made = new Uint8Array(png.length + chunk.length);
  made.set(png.subarray(0, after));
  made.set(chunk, after);
  made.set(png.subarray(after), after + chunk.length);
  return made;
}
