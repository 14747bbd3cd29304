import { zlibSync } from "fflate";

/** Compresses a payload to one zlib stream. */
export function deflate(payload: Uint8Array, level: number): Uint8Array {
  return zlibSync(payload, { level: level as 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 });
}
