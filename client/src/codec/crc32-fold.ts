/**
 * The CRC-32 of many bytes, six times as fast as by tables: in WebAssembly, 16 bytes at a time.
 *
 * A sum does not change when its message does by a multiple of the polynomial. There are multiples of few terms, all of
 * them at distances of whole units of 16 bytes: a unit may be taken out of the message if it is added (without carry) to
 * the units at the distances behind it. So it is done with one unit after the other, until but a short rest is left,
 * first by a multiple of five terms, then by a shorter one of eight. Tables sum up the rest.
 */

const UNIT = 16;
/** The distances, in units, of the multiples that take out nearly all, and most of what is left then. */
const FAR: readonly number[] = [145, 183, 211, 300];
const NEAR: readonly number[] = [14, 22, 30, 52, 75, 98, 105];

/** Bytes behind a unit that it may be added to: as many are left in the end. */
const reach = (distances: readonly number[]) => UNIT * distances[distances.length - 1];

const PAGE = 1 << 16;
const PAGES = 5;
/** Where the bytes go: before them stand as many zeros as the first unit looks back, and nothing is written there. */
const START = reach(FAR);
const CHUNK = PAGES * PAGE - START;

/** Fewer bytes are summed up as fast by tables. */
export const WORTH_FOLDING = 2 * START;

/** Sums up bytes by tables: what is left of the folding. */
export type Summing = (sum: number, view: DataView, start: number, stop: number) => number;

interface Exports {
  readonly memory: WebAssembly.Memory;
  /** Takes units out by the multiple of that name, from `start` to `end`; given are the addresses less its reach. */
  readonly far: (start: number, end: number) => void;
  readonly near: (start: number, end: number) => void;
  /** Adds the units `distance` bytes before to those from `start` to `end`. */
  readonly add: (start: number, end: number, distance: number) => void;
}

export class Folder {
  readonly #code: Exports;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #sumUp: Summing;

  /** @throws WebAssembly.CompileError where a page's policy does not allow it, or the engine does not know `v128` */
  constructor(sumUp: Summing) {
    const module = new WebAssembly.Module(program());
    this.#code = new WebAssembly.Instance(module).exports as unknown as Exports;
    this.#bytes = new Uint8Array(this.#code.memory.buffer);
    this.#view = new DataView(this.#code.memory.buffer);
    this.#sumUp = sumUp;
  }

  /** The sum of what it was and of many bytes behind. */
  sum(before: number, bytes: Uint8Array, start: number, stop: number): number {
    let sum = before;
    let at = start;
    for (; stop - at >= WORTH_FOLDING; at += CHUNK)
      sum = this.#chunk(sum, bytes.subarray(at, Math.min(stop, at + CHUNK)));
    if (at >= stop) return sum;
    return this.#sumUp(sum, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at, stop);
  }

  #chunk(sum: number, chunk: Uint8Array): number {
    this.#bytes.set(chunk, START);
    this.#view.setInt32(START, this.#view.getInt32(START, true) ^ sum, true);
    const end = START + chunk.length;
    const left = this.#fold(this.#code.far, FAR, START, end);
    this.#bytes.fill(0, left - reach(NEAR), left);
    return this.#sumUp(0, this.#view, this.#fold(this.#code.near, NEAR, left, end), end);
  }

  /** Takes out what can be, and says where the rest starts. */
  #fold(by: Exports["far"], distances: readonly number[], start: number, end: number): number {
    const rest = start + UNIT * Math.floor((end - start - reach(distances)) / UNIT);
    by(start - reach(distances), rest - reach(distances));
    // Of the units that stay, those get what they owe to units that were taken out.
    for (const distance of distances) this.#code.add(rest, rest + UNIT * distance, UNIT * distance);
    return rest;
  }
}

// --- the program, in WebAssembly's binary format ---

const I32 = 0x7f;
const [LOCAL_GET, LOCAL_TEE, I32_CONST, I32_ADD, I32_SUB, I32_LT_U] = [0x20, 0x22, 0x41, 0x6a, 0x6b, 0x49];
const [LOOP, END, BR_IF, NOTHING] = [0x03, 0x0b, 0x0d, 0x40];
const [V128_LOAD, V128_STORE, V128_XOR] = [
  [0xfd, 0x00, 0x04],
  [0xfd, 0x0b, 0x04],
  [0xfd, 0x51],
];
/** The locals: where it is, where it ends, and how far back to look. */
const [AT, STOP, BACK] = [0, 1, 2];

function program(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([
    ...[0x00, ...text("asm"), 0x01, 0x00, 0x00, 0x00],
    ...section(1, [2, 0x60, 2, I32, I32, 0, 0x60, 3, I32, I32, I32, 0]), // two kinds of functions
    ...section(3, [3, 0, 0, 1]),
    ...section(5, [1, 0, PAGES]),
    ...section(7, [4, ...named("memory", 2, 0), ...named("far", 0, 0), ...named("near", 0, 1), ...named("add", 0, 2)]),
    ...section(10, [3, ...body(foldBy(FAR)), ...body(foldBy(NEAR)), ...body(addBack())]),
  ]);
}

/** memory[AT + reach] ^= memory[AT + reach - distance] for each distance. */
function foldBy(distances: readonly number[]): number[] {
  const here = reach(distances);
  const added = distances.flatMap((distance) => [...load(here - UNIT * distance), ...V128_XOR]);
  return eachUnit([LOCAL_GET, AT, ...load(here), ...added, ...V128_STORE, ...number(here)]);
}

/** memory[AT] ^= memory[AT - BACK]. */
function addBack(): number[] {
  const back = [LOCAL_GET, AT, LOCAL_GET, BACK, I32_SUB, ...V128_LOAD, 0];
  return eachUnit([LOCAL_GET, AT, ...load(0), ...back, ...V128_XOR, ...V128_STORE, 0]);
}

/** do { work; AT += UNIT } while (AT < STOP) */
function eachUnit(work: readonly number[]): number[] {
  const next = [LOCAL_GET, AT, I32_CONST, UNIT, I32_ADD, LOCAL_TEE, AT];
  return [LOOP, NOTHING, ...work, ...next, LOCAL_GET, STOP, I32_LT_U, BR_IF, 0, END];
}

function load(offset: number): number[] {
  return [LOCAL_GET, AT, ...V128_LOAD, ...number(offset)];
}

function body(code: readonly number[]): number[] {
  return sized([0, ...code, END]); // no locals but the arguments
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...sized(content)];
}

function sized(content: readonly number[]): number[] {
  return [...number(content.length), ...content];
}

function named(name: string, kind: number, index: number): number[] {
  return [...sized(text(name)), kind, index];
}

function text(name: string): number[] {
  return Array.from(name, (letter) => letter.charCodeAt(0));
}

/** LEB128: seven bits a byte, the lowest first. */
function number(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...number(value >>> 7)];
}
