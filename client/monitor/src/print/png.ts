/** Writes the resolution to a PNG file, so that programs know its size on paper; a canvas leaves it out. */

import { crc32 } from "../../../src/codec/crc32.js";

/** Bytes of the signature and of the first chunk, IHDR. */
const SIGNATURE = 8;
const HEADER = 25;

/** Insert a pHYs chunk with the resolution in dots per millimetre. */
export function withResolution(png: Uint8Array, perMillimetre: number): Uint8Array {
  const chunk = new Uint8Array(21); // length, type, 9 bytes of data, CRC-32
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
