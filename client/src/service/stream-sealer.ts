/** Seals what a publisher sends on one stream, from end to end. */
import { fieldOf } from "../codec/fields.js";
import { NdArray } from "../codec/messagepack-utils.js";
import type { RecordFields } from "../codec/record.js";
import { type Keyring, Sealer } from "../codec/seal.js";
import { Flag } from "../protocol.js";
import type { Outgoing } from "../session/outgoing.js";
import type { Prepared, StreamWriter } from "../session/stream-writer.js";

const VERSION = 4;
/** Number of messages that may wait to be sealed. */
const MOST_WAITING = 1024;

/** Seals messages in their order, and gives them to the writer of the stream. */
export class StreamSealer {
  readonly isConstant: boolean;
  readonly #stream: string;
  readonly #keyring: Keyring;
  #sealer: Sealer | null = null;
  #latest: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** @param compress whether sizes may depend on the samples */
  constructor(stream: string, keys: Keyring, compress: boolean) {
    this.#stream = stream;
    this.#keyring = keys;
    this.isConstant = !compress;
  }

  /**
   * Checks a message that is to be sealed. Lists of numbers in `signal` become arrays, whose size does not depend on the
   * numbers.
   *
   * @throws RangeError if it has no timestamp, by which viewers recognize what comes late
   */
  checked(fields: RecordFields): RecordFields {
    if ((fieldOf(fields, "timestamp") ?? null) === null)
      throw new RangeError(
        "a message of a sealed stream needs a timestamp, by which viewers see that it is not an old one",
      );
    const signal = fieldOf(fields, "signal");
    const array = this.isConstant && Array.isArray(signal) ? arrayOf(signal) : undefined;
    if (!array) return fields;
    return fields instanceof Map ? new Map([...fields, ["signal", array]]) : { ...fields, signal: array };
  }

  /**
   * Seals prepared messages, and keeps them in the writer.
   *
   * @returns the last of them
   * @throws RangeError if too many wait, or no key is valid now
   */
  put(prepared: readonly Prepared[], writer: StreamWriter): Promise<Outgoing> {
    if (this.#waiting >= MOST_WAITING) throw new RangeError(`${this.#waiting} messages wait to be sealed`);
    const sealer = this.#current();
    this.#waiting++;
    const kept = this.#latest.then(() => this.#seal(prepared, sealer, writer));
    this.#latest = kept.catch(() => {}); // whoever sends gets the error
    return kept.finally(() => {
      this.#waiting--;
    });
  }

  /** Waits until everything is sealed that was put so far. */
  async settled(): Promise<void> {
    await this.#latest;
  }

  async #seal(prepared: readonly Prepared[], sealer: Sealer, writer: StreamWriter): Promise<Outgoing> {
    let latest: Outgoing | undefined;
    for (const one of prepared) {
      const deflated = this.isConstant ? undefined : writer.deflate(one.payload);
      const flags = deflated ? Flag.COMPRESSED : 0;
      const { type, form } = one;
      const payload = await sealer.seal(deflated ?? one.payload, { version: VERSION, type, flags, form });
      latest = writer.keepTransformed(one, payload, flags | Flag.ENCRYPTED);
    }
    return latest as Outgoing;
  }

  /** Returns the sealer of the key that is valid now. */
  #current(): Sealer {
    const key = this.#keyring.current(this.#stream);
    if (!key) throw new RangeError(`the keyring has no key of the stream ${JSON.stringify(this.#stream)}`);
    if (!this.#sealer?.key.isSame(key)) this.#sealer = new Sealer(key);
    return this.#sealer;
  }
}

/** Returns a list of numbers, or of lists of numbers of the same length, as an array; undefined for other lists. */
function arrayOf(signal: readonly unknown[]): NdArray | undefined {
  const rows = Array.isArray(signal[0]) ? (signal as unknown[][]) : [signal];
  const count = rows[0].length;
  if (!rows.every((row) => Array.isArray(row) && row.length === count)) return undefined;
  const numbers = rows.flat();
  if (!numbers.every((value) => typeof value === "number")) return undefined;
  return new NdArray(Float64Array.from(numbers as number[]), rows[0] === signal ? [count] : [rows.length, count]);
}
