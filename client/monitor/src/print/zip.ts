/**
 * Zip archives without compression, as browsers ask before a page saves a second file. The files are small or compressed
 * already.
 */

import { crc32 } from "../../../src/codec/crc32.js";

export interface Entry {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const LOCAL = { signature: 0x04034b50, size: 30 };
const CENTRAL = { signature: 0x02014b50, size: 46 };
const END = { signature: 0x06054b50, size: 22 };
/** Version 2.0 is needed to read it. */
const VERSION = 20;
/** Flag: names are UTF-8. */
const UTF8 = 0x0800;

/** Create an archive. @param at time of the entries, in Unix seconds. */
export function zip(entries: readonly Entry[], at: number): Uint8Array {
  const files = entries.map(({ name, bytes }) => ({ name: new TextEncoder().encode(name), bytes, sum: crc32(bytes) }));
  const size = files.reduce(
    (sum, { name, bytes }) => sum + LOCAL.size + CENTRAL.size + 2 * name.length + bytes.length,
    END.size,
  );
  const made = new Uint8Array(size);
  const view = new DataView(made.buffer);
  const time = dosTime(at);
  /** Write the fields that both headers of a file have. */
  const describe = (place: number, { name, bytes, sum }: (typeof files)[number]): void => {
    view.setUint16(place, VERSION, true);
    view.setUint16(place + 2, UTF8, true);
    view.setUint32(place + 6, time, true);
    view.setUint32(place + 10, sum, true);
    view.setUint32(place + 14, bytes.length, true);
    view.setUint32(place + 18, bytes.length, true);
    view.setUint16(place + 22, name.length, true);
  };
  let place = 0;
  const places = files.map((file) => {
    const begin = place;
    view.setUint32(begin, LOCAL.signature, true);
    describe(begin + 4, file);
    made.set(file.name, begin + LOCAL.size);
    made.set(file.bytes, begin + LOCAL.size + file.name.length);
    place = begin + LOCAL.size + file.name.length + file.bytes.length;
    return begin;
  });
  const central = place;
  for (const [index, file] of files.entries()) {
    view.setUint32(place, CENTRAL.signature, true);
    view.setUint16(place + 4, VERSION, true);
    describe(place + 6, file);
    view.setUint32(place + 42, places[index], true);
    made.set(file.name, place + CENTRAL.size);
    place += CENTRAL.size + file.name.length;
  }
  view.setUint32(place, END.signature, true);
  view.setUint16(place + 8, files.length, true);
  view.setUint16(place + 10, files.length, true);
  view.setUint32(place + 12, place - central, true);
  view.setUint32(place + 16, central, true);
  return made;
}

/** Convert Unix seconds to the local date and time of zip, in steps of two seconds. */
function dosTime(at: number): number {
  const date = new Date(at * 1000);
  const day = ((date.getFullYear() - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate();
  const time = (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1);
  return ((day << 16) | time) >>> 0;
}
