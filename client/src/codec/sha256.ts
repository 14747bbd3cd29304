/**
 * Synchronous SHA-256 for short inputs. WebCrypto is asynchronous, and missing in pages that were loaded without TLS.
 */

const BLOCK = 64;

const PRIMES: readonly number[] = /* @__PURE__ */ firstPrimes(64);
/** The constants are the first 32 bits behind the point of roots of primes (FIPS 180-4, sections 4.2.2 and 5.3.3). */
const ROUNDS = /* @__PURE__ */ Uint32Array.from(PRIMES, (prime) => fractionOf(Math.cbrt(prime)));
const BEGINNING = /* @__PURE__ */ Uint32Array.from(PRIMES.slice(0, 8), (prime) => fractionOf(Math.sqrt(prime)));

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime)) primes.push(n);
  return primes;
}

/** No root is within 200 units in the last place of a number of so many bits: any `cbrt` gives the same. */
function fractionOf(root: number): number {
  return (root % 1) * 2 ** 32;
}

/** Returns the digest, 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  // Padding to whole blocks: a 1 bit, zeros, and the length in bits as 64 bits.
  const padded = new Uint8Array(BLOCK * Math.ceil((bytes.length + 9) / BLOCK));
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(padded.length - 4, bytes.length << 3);
  const state = BEGINNING.slice();
  const words = new Uint32Array(64);
  for (let at = 0; at < padded.length; at += BLOCK) {
    for (let i = 0; i < 16; i++) words[i] = view.getUint32(at + 4 * i);
    mix(state, words);
  }
  const digest = new Uint8Array(32);
  const out = new DataView(digest.buffer);
  for (let i = 0; i < 8; i++) out.setUint32(4 * i, state[i]);
  return digest;
}

/** Updates the state with one block, the first 16 words (FIPS 180-4, section 6.2.2). */
function mix(state: Uint32Array, words: Uint32Array): void {
  for (let i = 16; i < 64; i++) {
    const [w2, w15] = [words[i - 2], words[i - 15]];
    const s0 = rotated(w15, 7) ^ rotated(w15, 18) ^ (w15 >>> 3);
    const s1 = rotated(w2, 17) ^ rotated(w2, 19) ^ (w2 >>> 10);
    words[i] = words[i - 16] + s0 + words[i - 7] + s1;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i++) {
    const s1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25);
    const one = (h + s1 + ((e & f) ^ (~e & g)) + ROUNDS[i] + words[i]) | 0;
    const s0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22);
    const two = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => {
    state[i] += word;
  });
}

/** Rotates a word right by `n` bits. */
function rotated(word: number, n: number): number {
  return (word >>> n) | (word << (32 - n));
}
