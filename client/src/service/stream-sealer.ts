/** Signs and seals what a publisher sends on one stream, from end to end. */
import { fieldOf } from "../codec/fields.js";
import { NdArray } from "../codec/ndarray.js";
import type { RecordFields } from "../codec/record.js";
import { type Keyring, Sealer } from "../codec/seal.js";
import { Attester, type SigningKey } from "../codec/signing.js";
import { joined } from "../codec/webcrypto.js";
import { Flag, MAX_DIGESTS, MessageType } from "../protocol.js";
import type { Outgoing } from "../session/frame-queue.js";
import type { Prepared, StreamWriter } from "../session/stream-writer.js";

const VERSION = 4;
/** Number of messages that may wait to be sealed. */
const MOST_WAITING = 1024;
/** Types of messages that are signed one by one: those that cannot wait for an attestation. */
const SIGNED_TYPES: ReadonlySet<MessageType> = /* @__PURE__ */ new Set([
  MessageType.ANOMALY_ALERT,
  MessageType.PREDICTION_RESULT,
]);

/** Signs and seals messages in their order, and gives them to the writer of the stream. */
export class StreamSealer {
  readonly isConstant: boolean;
  readonly #stream: string;
  readonly #keyring: Keyring;
  readonly #attester: Attester | null;
  #sealer: Sealer | null = null;
  #latest: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /**
   * @param compress whether sizes may depend on the samples
   * @param signer signs alerts and predictions, and attests all else; null to sign nothing
   * @param epoch of the stream
   */
  constructor(stream: string, keys: Keyring, compress: boolean, signer: SigningKey | null, epoch: number) {
    this.#stream = stream;
    this.#keyring = keys;
    this.#attester = signer && new Attester(signer, stream, epoch);
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
   * Takes the key that is valid now. With another one, templates are made anew: viewers to come may not have the old key. To
   * be called before messages are prepared.
   *
   * @throws RangeError if no key is valid now
   */
  renew(writer: StreamWriter): void {
    const before = this.#sealer;
    if (this.#current() !== before && before) writer.renewTemplates();
  }

  /**
   * Signs and seals prepared messages, and keeps them in the writer.
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

  /**
   * Attests the messages since the attestation before, if there are any, behind everything that was put so far. The last
   * attestation, with which the signer stops, is made in any case.
   *
   * @throws RangeError if no key is valid now, or the last one was made
   */
  async attest(writer: StreamWriter, last = false): Promise<void> {
    const attester = this.#attester;
    if (!attester) return;
    const sealer = this.#current();
    const done = this.#latest.then(() => this.#attest(attester, sealer, writer, last));
    this.#latest = done.catch(() => {}); // whoever attests gets the error
    await done;
  }

  /** Waits until everything is sealed that was put so far. */
  async settled(): Promise<void> {
    await this.#latest;
  }

  async #seal(prepared: readonly Prepared[], sealer: Sealer, writer: StreamWriter): Promise<Outgoing> {
    let latest: Outgoing | undefined;
    for (const one of prepared) {
      if (this.#attester && this.#attester.waiting >= MAX_DIGESTS)
        await this.#attest(this.#attester, sealer, writer, false);
      const { type, form } = one;
      const signer = this.#attester && SIGNED_TYPES.has(type) ? this.#attester.key : null;
      const hashed = one.unfiltered ?? one.payload;
      const trailer = await signer?.trailer(this.#stream, type, form, hashed);
      const payload = trailer ? joined(one.payload, trailer) : one.payload;
      const deflated = this.isConstant ? undefined : writer.deflate(payload);
      const flags = (deflated ? Flag.COMPRESSED : 0) | (trailer ? Flag.SIGNED : 0);
      const sealed = await sealer.seal(deflated ?? payload, { version: VERSION, type, flags, form });
      latest = writer.keepTransformed(one, sealed, flags | Flag.ENCRYPTED);
      if (!trailer) this.#attester?.add(type, form, hashed); // not before: what is not kept is not attested
    }
    return latest as Outgoing;
  }

  async #attest(attester: Attester, sealer: Sealer, writer: StreamWriter, last: boolean): Promise<void> {
    const payload = await attester.attest({ last });
    if (!payload) return;
    const type = MessageType.STREAM_ATTESTATION;
    const sealed = await sealer.seal(payload, { version: VERSION, type, flags: 0, form: 0 });
    writer.keepTransformed({ type, form: 0, flags: 0, payload, template: null, of: null }, sealed, Flag.ENCRYPTED);
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
