/**
 * Inflates zlib streams (RFC 1950 and 1951). It accepts and refuses exactly what zlib does, and never writes more than it is
 * allowed. It is a sixth of the size of a library that also does what this protocol has no use for.
 */

/** Codes of at most this many bits are looked up; longer ones, which are rare, are searched. */
const FAST = 9;
const FAST_BITS = (1 << FAST) - 1;
/** Bytes that a repetition reads at most when its codes are looked up. */
const MOST_READ = 6;
/** Bytes that are copied at once. */
const WORD = 4;
const LONGEST = 15;
const END = 256;
/** For the symbols 257 to 285: the shortest length, and the number of bits that are added to it. */
const LENGTHS = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
];
const LENGTH_BITS = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
/** The same for the distances 0 to 29. */
const DISTANCES = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
  8193, 12_289, 16_385, 24_577,
];
const DISTANCE_BITS = [
  0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
];
/** The order in which the lengths of the codes for code lengths are sent. */
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const ADLER = 65_521;
/** Bytes after which the sums of Adler-32 are reduced, so that they stay below 2^31: engines add such numbers fastest. */
const ADLER_BLOCK = 3800;

/** What became of a stream: its bytes, or why it has none. */
export interface Inflated {
  /** Room before `offset`, then the inflated bytes, up to `end`. */
  readonly output: Uint8Array<ArrayBuffer>;
  readonly end: number;
  /** Number of bytes of the input that the stream has. */
  readonly used: number;
  /** What is wrong with the stream, in the words of zlib; "cut" if it is cut short, null if it is whole. */
  readonly fault: string | null;
}

/** A fault of the stream. It never leaves this module. */
class Fault {
  constructor(readonly text: string) {}
}

/** A canonical Huffman code. */
class Code {
  /** For the next `FAST` bits: `symbol << 4 | length`; 0 for a longer code, or for none. */
  readonly fast = new Uint16Array(1 << FAST);
  /** The number of codes of each length, and the symbols in the order of their codes. */
  readonly #counts = new Uint16Array(LONGEST + 1);
  readonly #symbols = new Uint16Array(288);
  readonly #next = new Uint16Array(LONGEST + 2);
  readonly #place = new Uint16Array(LONGEST + 2);

  /** Set the code by the lengths of its symbols. Returns false for a set of lengths that zlib refuses. */
  set(lengths: Uint8Array, from: number, to: number, mayBeSingle: boolean): boolean {
    const counts = this.#counts.fill(0);
    for (let at = from; at < to; at++) counts[lengths[at]]++;
    counts[0] = 0;
    let left = 1;
    let longest = 0;
    let code = 0;
    let place = 0;
    for (let length = 1; length <= LONGEST; length++) {
      left = 2 * left - counts[length];
      if (left < 0) return false;
      if (counts[length] > 0) longest = length;
      this.#next[length] = code;
      this.#place[length] = place;
      code = (code + counts[length]) << 1;
      place += counts[length];
    }
    if (left > 0 && longest > 0 && !(mayBeSingle && longest === 1)) return false;
    this.fast.fill(0);
    for (let at = from; at < to; at++) if (lengths[at] > 0) this.#add(at - from, lengths[at]);
    return true;
  }

  #add(symbol: number, length: number): void {
    this.#symbols[this.#place[length]++] = symbol;
    const code = this.#next[length]++;
    if (length > FAST) return;
    let reversed = 0;
    for (let bit = 0; bit < length; bit++) reversed |= ((code >> bit) & 1) << (length - 1 - bit);
    for (let at = reversed; at <= FAST_BITS; at += 1 << length) this.fast[at] = (symbol << 4) | length;
  }

  /** Returns `symbol << 4 | length` of the code that these 15 bits begin with; -1 if there is none. */
  find(bits: number): number {
    const found = this.fast[bits & FAST_BITS];
    if (found > 0) return found;
    let code = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length <= LONGEST; length++) {
      code |= (bits >> (length - 1)) & 1;
      const count = this.#counts[length];
      if (code < first + count) return (this.#symbols[index + code - first] << 4) | length;
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    return -1;
  }
}

/** The codes in use. Inflating is not interrupted, so one of each is enough. */
const LITERALS = /* @__PURE__ */ new Code();
const OFFSETS = /* @__PURE__ */ new Code();
const lengths = /* @__PURE__ */ new Uint8Array(320);

class Inflater {
  output: Uint8Array<ArrayBuffer>;
  end: number;
  at = 0;
  #view: DataView;
  #bits = 0;
  #count = 0;

  constructor(
    readonly input: Uint8Array,
    readonly most: number,
    readonly offset: number,
    size: number,
  ) {
    this.output = new Uint8Array(Math.min(most, size));
    this.#view = new DataView(this.output.buffer);
    this.end = offset;
  }

  /** Inflate to the end of the stream, or until the output is full. */
  run(): void {
    this.#readHeader();
    let isLast = false;
    while (!isLast) {
      isLast = this.#take(1) === 1;
      const kind = this.#take(2);
      if (kind === 0) this.#copyStored();
      else if (kind === 3) throw new Fault("invalid block type");
      else {
        if (kind === 1) setFixed();
        else this.#readCodes();
        this.#inflateBlock();
      }
      if (this.end === this.most) return;
    }
    this.#toByte();
    const { input, at } = this;
    if (input.length - at < 4) throw new Fault("cut");
    this.at += 4;
    const sum = ((input[at] << 24) | (input[at + 1] << 16) | (input[at + 2] << 8) | input[at + 3]) >>> 0;
    if (sum !== adler32(this.output, this.offset, this.end)) throw new Fault("incorrect data check");
  }

  #readHeader(): void {
    const { input } = this;
    if (input.length < 2) throw new Fault("cut");
    if (((input[0] << 8) | input[1]) % 31 !== 0) throw new Fault("incorrect header check");
    if ((input[0] & 15) !== 8) throw new Fault("unknown compression method");
    if (input[0] >> 4 > 7) throw new Fault("invalid window size");
    if (input[1] & 32) throw new Fault("it needs a preset dictionary");
    this.at = 2;
  }

  /** Have the next bits at hand, as many as there are up to 24. */
  #fill(): void {
    while (this.#count <= 16 && this.at < this.input.length) {
      this.#bits |= this.input[this.at++] << this.#count;
      this.#count += 8;
    }
  }

  #drop(count: number): void {
    if (count > this.#count) throw new Fault("cut");
    this.#bits >>>= count;
    this.#count -= count;
  }

  #take(count: number): number {
    if (count > this.#count) this.#fill();
    const value = this.#bits & ((1 << count) - 1);
    this.#drop(count);
    return value;
  }

  #symbol(code: Code, fault: string): number {
    if (this.#count < LONGEST) this.#fill();
    const found = code.find(this.#bits);
    if (found < 0) throw new Fault(this.#count < LONGEST && this.at === this.input.length ? "cut" : fault);
    this.#drop(found & 15);
    return found >> 4;
  }

  /** Leave the rest of a byte, and give back the bytes that were not used. */
  #toByte(): void {
    this.at -= this.#count >> 3;
    this.#bits = this.#count = 0;
  }

  #copyStored(): void {
    this.#toByte();
    const { input, at } = this;
    if (input.length - at < 4) throw new Fault("cut");
    const length = input[at] | (input[at + 1] << 8);
    if ((length ^ 0xffff) !== (input[at + 2] | (input[at + 3] << 8))) throw new Fault("invalid stored block lengths");
    this.at += 4;
    const there = Math.min(length, input.length - this.at, this.most - this.end);
    this.#makeRoom(there);
    this.output.set(input.subarray(this.at, this.at + there), this.end);
    this.end += there;
    this.at += there;
    if (there < length && this.end < this.most) throw new Fault("cut");
  }

  #readCodes(): void {
    const literals = this.#take(5) + 257;
    const offsets = this.#take(5) + 1;
    const sent = this.#take(4) + 4;
    if (literals > 286 || offsets > 30) throw new Fault("too many length or distance symbols");
    lengths.fill(0);
    for (let i = 0; i < sent; i++) lengths[ORDER[i]] = this.#take(3);
    if (!LITERALS.set(lengths, 0, 19, false)) throw new Fault("invalid code lengths set");
    const all = literals + offsets;
    const read = new Uint8Array(all);
    for (let at = 0; at < all; ) {
      const symbol = this.#symbol(LITERALS, "invalid code lengths set");
      if (symbol < 16) {
        read[at++] = symbol;
        continue;
      }
      if (symbol === 16 && at === 0) throw new Fault("invalid bit length repeat");
      const repeated = symbol === 16 ? read[at - 1] : 0;
      const times = symbol === 16 ? 3 + this.#take(2) : symbol === 17 ? 3 + this.#take(3) : 11 + this.#take(7);
      if (at + times > all) throw new Fault("invalid bit length repeat");
      read.fill(repeated, at, at + times);
      at += times;
    }
    if (read[END] === 0) throw new Fault("invalid code -- missing end-of-block");
    if (!LITERALS.set(read, 0, literals, true)) throw new Fault("invalid literal/lengths set");
    if (!OFFSETS.set(read, literals, all, true)) throw new Fault("invalid distances set");
  }

  #inflateBlock(): void {
    while (this.#inflateQuickly()) {
      const symbol = this.#symbol(LITERALS, "invalid literal/length code");
      if (symbol < END) {
        this.#makeRoom(1);
        this.output[this.end++] = symbol;
      } else if (symbol === END) return;
      else this.#copy(symbol - END - 1);
    }
  }

  /**
   * Write what the next symbols stand for, while their codes are short and neither the input nor the room can end within
   * one. What stops it is left to the caller, and so is every fault. Returns false if the output is full.
   */
  #inflateQuickly(): boolean {
    const { input, output, offset } = this;
    const view = this.#view;
    const literals = LITERALS.fast;
    const offsets = OFFSETS.fast;
    const lastInput = input.length - MOST_READ;
    const lastEnd = output.length - LENGTHS[LENGTHS.length - 1] - WORD;
    let { at, end } = this;
    let bits = this.#bits;
    let count = this.#count;
    while (at <= lastInput && end <= lastEnd) {
      if (count < 16) {
        bits |= (input[at] | (input[at + 1] << 8)) << count;
        at += 2;
        count += 16;
      }
      const found = literals[bits & FAST_BITS];
      const index = (found >> 4) - END - 1;
      if (index < -1) {
        if (found === 0) break;
        bits >>>= found & 15;
        count -= found & 15;
        output[end++] = found >> 4;
        continue;
      }
      if (index < 0 || index >= LENGTHS.length) break;
      // A repetition. Its bits are dropped when all of it is known.
      let left = bits >>> (found & 15);
      let have = count - (found & 15);
      let next = at;
      const length = LENGTHS[index] + (left & ((1 << LENGTH_BITS[index]) - 1));
      left >>>= LENGTH_BITS[index];
      have -= LENGTH_BITS[index];
      if (have < 16) {
        left |= (input[next] | (input[next + 1] << 8)) << have;
        next += 2;
        have += 16;
      }
      const far = offsets[left & FAST_BITS];
      if (far === 0 || far >> 4 >= DISTANCES.length) break;
      left >>>= far & 15;
      have -= far & 15;
      if (have < 16) {
        left |= (input[next] | (input[next + 1] << 8)) << have;
        next += 2;
        have += 16;
      }
      const farBits = DISTANCE_BITS[far >> 4];
      const distance = DISTANCES[far >> 4] + (left & ((1 << farBits) - 1));
      if (distance > end - offset) break;
      const to = end + length;
      if (distance < WORD) for (; end < to; end++) output[end] = output[end - distance];
      else for (; end < to; end += WORD) view.setInt32(end, view.getInt32(end - distance)); // up to 3 bytes too many
      end = to;
      at = next;
      bits = left >>> farBits;
      count = have - farBits;
    }
    this.at = at;
    this.end = end;
    this.#bits = bits;
    this.#count = count;
    return this.end < this.most;
  }

  /** Repeat earlier output. */
  #copy(index: number): void {
    if (index >= LENGTHS.length) throw new Fault("invalid literal/length code");
    const length = LENGTHS[index] + this.#take(LENGTH_BITS[index]);
    const far = this.#symbol(OFFSETS, "invalid distance code");
    if (far >= DISTANCES.length) throw new Fault("invalid distance code");
    const distance = DISTANCES[far] + this.#take(DISTANCE_BITS[far]);
    if (distance > this.end - this.offset) throw new Fault("invalid distance too far back");
    const to = Math.min(this.end + length, this.most);
    if (to > this.output.length) this.#makeRoom(to - this.end);
    const { output } = this;
    for (let at = this.end; at < to; at++) output[at] = output[at - distance];
    this.end = to;
  }

  #makeRoom(more: number): void {
    if (this.end + more <= this.output.length) return;
    const larger = new Uint8Array(Math.min(this.most, Math.max(2 * this.output.length, this.end + more)));
    larger.set(this.output);
    this.output = larger;
    this.#view = new DataView(larger.buffer);
  }
}

function setFixed(): void {
  lengths.fill(8, 0, 144).fill(9, 144, 256).fill(7, 256, 280).fill(8, 280, 288);
  LITERALS.set(lengths, 0, 288, true);
  lengths.fill(5, 288, 320);
  OFFSETS.set(lengths, 288, 320, true);
}

function adler32(bytes: Uint8Array, from: number, to: number): number {
  let low = 1;
  let high = 0;
  for (let at = from; at < to; ) {
    const end = Math.min(to, at + ADLER_BLOCK);
    for (; at < end; at++) {
      low = (low + bytes[at]) | 0;
      high = (high + low) | 0;
    }
    low %= ADLER;
    high %= ADLER;
  }
  return ((high << 16) | low) >>> 0;
}

/**
 * Inflates the zlib stream that the input begins with.
 *
 * @param most end of the output at most: inflating stops there
 * @param offset where the inflated bytes begin in the output
 * @param size bytes of the output that are allocated at first
 */
export function inflateZlib(input: Uint8Array, most: number, offset: number, size: number): Inflated {
  const inflater = new Inflater(input, most, offset, size);
  let fault: string | null = null;
  try {
    inflater.run();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    fault = error.text;
  }
  const { output, end, at } = inflater;
  return { output, end, used: at, fault };
}
