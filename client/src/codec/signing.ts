/**
 * Signatures of messages and of streams with Ed25519, by WebCrypto, so all of it is asynchronous.
 * `docs/protocol.md` specifies them under "Signatures".
 */
import { ProtocolError } from "../errors.js";
import {
  DIGEST_SIZE,
  ErrorCode,
  Form,
  KEY_NAME_SIZE,
  LARGEST_SEQUENCE,
  MAX_DIGESTS,
  MessageType,
  STREAM_TYPES,
  TRAILER_SIZE,
} from "../protocol.js";
import { fieldOf } from "./fields.js";
import { pack } from "./messagepack-utils.js";
import { RARE_VALUES } from "./rare-values.js";
import { readOfStream } from "./stream-messages.js";
import { areEqual, hexOf, joined, owned, subtle } from "./webcrypto.js";

const PAYLOAD_CHECK = 11;
const SIGNATURE_CHECK = 14;
const SECRET_SIZE = 32;
const PUBLIC_SIZE = 32;
/** Seconds after which a message that no attestation has named counts as unattested. */
const PATIENCE = 10;
/** Attestations of a key after which a message that they have not named counts as unattested. */
const LATER_ATTESTATIONS = 2;

const DIGEST = /* @__PURE__ */ new TextEncoder().encode("ecgframe digest 1\0");
const SIGN = /* @__PURE__ */ new TextEncoder().encode("ecgframe sign 1\0");
const LIST = /* @__PURE__ */ new TextEncoder().encode("ecgframe list 1\0");
/** The PKCS #8 form of an Ed25519 secret, before its 32 bytes (RFC 8410). */
const PKCS8 = /* @__PURE__ */ Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20);

async function sha256(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await subtle().digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
}

/**
 * Returns the digest of a message, which its signature or an attestation signs: 32 bytes.
 *
 * @param payload without a trailer, before it was deflated and sealed. `Template.withoutFilter` removes the filter of records
 * @throws RangeError for a record with a filter
 */
export async function digest(stream: string, type: MessageType, form: number, payload: Uint8Array) {
  if (form & Form.RECORD && payload.length > 2 && payload[2] !== 0)
    throw new RangeError("the digest of a record is that of the record without filter");
  return sha256(joined(DIGEST, named(stream), Uint8Array.of(type, form & Form.RECORD), payload));
}

/** Returns the name of a public key: the first 8 bytes of its SHA-256. */
export async function keyName(publicKey: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  return (await sha256(publicKey)).slice(0, KEY_NAME_SIZE);
}

function named(stream: string): Uint8Array {
  const name = new TextEncoder().encode(stream);
  if (name.length > 0xffff) throw new RangeError(`a name of ${name.length} bytes; 65535 at most`);
  return joined(Uint8Array.of(name.length >> 8, name.length & 0xff), name);
}

interface List {
  readonly stream: string;
  readonly epoch: number;
  readonly number: number;
  readonly last: boolean;
  readonly previous: Uint8Array;
  readonly digests: Uint8Array;
}

function toSign({ stream, epoch, number, last, previous, digests }: List): Uint8Array {
  const numbers = new DataView(new ArrayBuffer(17));
  numbers.setBigUint64(0, BigInt(epoch));
  numbers.setBigUint64(8, BigInt(number));
  numbers.setUint8(16, last ? 1 : 0);
  return joined(LIST, named(stream), new Uint8Array(numbers.buffer), previous, digests);
}

/** An Ed25519 key with which a publisher signs. Nothing that prints or clones it has the secret. */
export class SigningKey {
  /** The public key, 32 bytes, which viewers need to verify. */
  readonly public: Uint8Array;
  /** Its name, 8 bytes. */
  readonly name: Uint8Array;
  readonly #private: CryptoKey;

  private constructor(key: CryptoKey, publicKey: Uint8Array, name: Uint8Array) {
    this.#private = key;
    this.public = publicKey;
    this.name = name;
  }

  /** Makes a key of its 32 secret bytes. Throws a RangeError for another number of bytes. */
  static async create(secret: Uint8Array): Promise<SigningKey> {
    if (secret.length !== SECRET_SIZE) throw new RangeError(`the secret of a signing key has ${SECRET_SIZE} bytes`);
    const pkcs8 = joined(PKCS8, secret);
    const readable = await subtle().importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
    const { x = "" } = await subtle().exportKey("jwk", readable);
    const base64 = x.replaceAll("-", "+").replaceAll("_", "/");
    const publicKey = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const key = await subtle().importKey("pkcs8", pkcs8, "Ed25519", false, ["sign"]);
    return new SigningKey(key, publicKey, await keyName(publicKey));
  }

  /** Returns the Ed25519 signature of bytes, 64 bytes. */
  async signBytes(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await subtle().sign("Ed25519", this.#private, owned(bytes)));
  }

  /**
   * Returns the trailer of a signed payload, 72 bytes. The arguments are those of `digest`.
   *
   * @throws RangeError as `digest`; or for a control message or an attestation
   */
  async trailer(
    stream: string,
    type: MessageType,
    form: number,
    payload: Uint8Array,
  ): Promise<Uint8Array<ArrayBuffer>> {
    if (!STREAM_TYPES.has(type) || type === MessageType.STREAM_ATTESTATION)
      throw new RangeError(`a message of type 0x${(type as number).toString(16)} does not get a trailer`);
    return joined(this.name, await this.signBytes(joined(SIGN, await digest(stream, type, form, payload))));
  }
}

/** Attests the messages of one stream that a signer publishes. */
export class Attester {
  readonly key: SigningKey;
  readonly stream: string;
  readonly epoch: number;
  #waiting: Promise<Uint8Array>[] = [];
  #number = 0;
  #isOver = false;
  #previous: Promise<Uint8Array> = Promise.resolve(new Uint8Array(DIGEST_SIZE));

  /** @throws RangeError for an epoch that is not an integer from 1 to 2^53 - 1 */
  constructor(key: SigningKey, stream: string, epoch: number) {
    if (!Number.isInteger(epoch) || epoch < 1 || epoch > LARGEST_SEQUENCE)
      throw new RangeError(`an epoch is an integer from 1 to ${LARGEST_SEQUENCE}`);
    this.key = key;
    this.stream = stream;
    this.epoch = epoch;
  }

  /** Number of digests for the next attestation. At 4,096, one has to be made. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /**
   * Adds a message that was published without a trailer. The arguments are those of `digest`; the payload must not be changed
   * before the next attestation is made.
   *
   * @throws RangeError as `digest`; for an attestation or a control message; if 4,096 are waiting, or the last one was made
   */
  add(type: MessageType, form: number, payload: Uint8Array): void {
    if (!STREAM_TYPES.has(type) || type === MessageType.STREAM_ATTESTATION)
      throw new RangeError(`a message of type 0x${(type as number).toString(16)} is not attested`);
    if (this.#waiting.length >= MAX_DIGESTS)
      throw new RangeError(`${MAX_DIGESTS} digests are waiting for an attestation`);
    this.#checkGoesOn();
    if (form & Form.RECORD && payload.length > 2 && payload[2] !== 0)
      throw new RangeError("the digest of a record is that of the record without filter");
    this.#waiting.push(digest(this.stream, type, form, payload));
  }

  /**
   * Makes the payload of the next STREAM_ATTESTATION, packed; null if nothing is waiting. The last one, with which the signer
   * stops, is made in any case.
   *
   * @throws RangeError if the last one was made
   */
  async attest({ last = false } = {}): Promise<Uint8Array<ArrayBuffer> | null> {
    this.#checkGoesOn();
    if (this.#waiting.length === 0 && !last) return null;
    // All of this is taken before the first await, so that two calls do not take the same.
    const [waiting, number, before] = [this.#waiting, ++this.#number, this.#previous];
    this.#waiting = [];
    this.#isOver = last;
    const made = this.#make(waiting, number, last, before);
    this.#previous = made.then(sha256);
    this.#previous.catch(() => {}); // who attests gets the error
    return made;
  }

  async #make(waiting: Promise<Uint8Array>[], number: number, last: boolean, before: Promise<Uint8Array>) {
    const { stream, epoch, key } = this;
    const [previous, digests] = [await before, joined(...(await Promise.all(waiting)))];
    const signature = await key.signBytes(toSign({ stream, epoch, number, last, previous, digests }));
    return pack({
      stream,
      key: key.name,
      epoch,
      number,
      last,
      previous,
      digests,
      signature,
    }) as Uint8Array<ArrayBuffer>;
  }

  #checkGoesOn(): void {
    if (this.#isOver) throw new RangeError("the last attestation of this epoch was made");
  }
}

/** What is known of a signature. One that is not right is an error instead. */
export const Signature = { VALID: "valid", UNKNOWN_SIGNER: "unknown signer" } as const;
export type Signature = (typeof Signature)[keyof typeof Signature];

/** A payload with a trailer, divided and verified. */
export interface Signed {
  readonly payload: Uint8Array;
  readonly signature: Signature;
  /** Name of the key, 8 bytes. */
  readonly signer: Uint8Array;
}

/** A STREAM_ATTESTATION, verified. */
export interface Attestation {
  readonly signature: Signature;
  readonly signer: Uint8Array;
  readonly stream: string;
  readonly epoch: number;
  readonly number: number;
  readonly last: boolean;
  readonly previous: Uint8Array;
  readonly digests: readonly Uint8Array[];
  /** SHA-256 of its own payload, which the next one has as `previous`. */
  readonly own: Uint8Array;
}

/** Verifies signatures of the signers that are allowed. */
export class Verifier {
  readonly #keys: ReadonlyMap<string, CryptoKey>;

  private constructor(keys: ReadonlyMap<string, CryptoKey>) {
    this.#keys = keys;
  }

  /**
   * @param signers public keys, 32 bytes each
   * @throws RangeError for another number of bytes, or two keys of the same name
   */
  static async create(signers: Iterable<Uint8Array>): Promise<Verifier> {
    const keys = new Map<string, CryptoKey>();
    const different = new Map([...signers].map((key) => [hexOf(key), key]));
    for (const key of different.values()) {
      if (key.length !== PUBLIC_SIZE)
        throw new RangeError(`a public key of ${key.length} bytes; it has ${PUBLIC_SIZE}`);
      const name = hexOf(await keyName(key));
      if (keys.has(name)) throw new RangeError(`two signers have the name ${name}`);
      keys.set(name, await subtle().importKey("raw", owned(key), "Ed25519", false, ["verify"]));
    }
    return new Verifier(keys);
  }

  /** Verifies the signature of bytes; null if the signer is not known. */
  async verifyBytes(name: Uint8Array, signature: Uint8Array, bytes: Uint8Array): Promise<boolean | null> {
    const key = this.#keys.get(hexOf(name));
    return key === undefined ? null : subtle().verify("Ed25519", key, owned(signature), owned(bytes));
  }

  /**
   * Verifies a payload with a trailer.
   *
   * @param options `unfiltered`: the record without filter, where the payload is a record with one; `required`: whether an
   *   unknown signer is refused
   * @throws ProtocolError 0x200, check 11, for less than 72 bytes; 0x202, check 14, reason "signature" or "signer"
   */
  async verify(
    stream: string,
    type: MessageType,
    form: number,
    payload: Uint8Array,
    { unfiltered, required = false }: { readonly unfiltered?: Uint8Array; readonly required?: boolean } = {},
  ): Promise<Signed> {
    const end = payload.length - TRAILER_SIZE;
    if (end < 0)
      throw new ProtocolError(
        ErrorCode.INVALID_DATA_FORMAT,
        `a signed payload of ${payload.length} bytes; it has ${TRAILER_SIZE} at least`,
        { check: PAYLOAD_CHECK },
      );
    const signer = payload.slice(end, end + KEY_NAME_SIZE);
    const body = payload.subarray(0, end);
    const hashed = await digest(stream, type, form, unfiltered ?? body);
    const signature = payload.subarray(end + KEY_NAME_SIZE);
    return { payload: body, signature: await this.#judge(signer, signature, joined(SIGN, hashed), required), signer };
  }

  /**
   * Verifies the payload of a STREAM_ATTESTATION.
   *
   * @param where the stream of its frame, and the epoch if it is known
   * @throws ProtocolError check 11 or 12 for its form; 0x202, check 14, reason "signature", "signer", "stream" or "epoch"
   */
  async attestation(
    payload: Uint8Array,
    where: { readonly stream: string; readonly epoch?: number; readonly required?: boolean },
  ): Promise<Attestation> {
    const told = readOfStream(MessageType.STREAM_ATTESTATION, payload, RARE_VALUES);
    const bytes = (name: string) => owned(fieldOf(told, name) as Uint8Array);
    const [epoch, number] = [Number(fieldOf(told, "epoch")), Number(fieldOf(told, "number"))];
    const [last, stream] = [fieldOf(told, "last") as boolean, fieldOf(told, "stream") as string];
    if (stream !== where.stream) throw refused("an attestation of another stream", "stream");
    if (where.epoch !== undefined && epoch !== where.epoch)
      throw refused(`an attestation of the epoch ${epoch}; the stream has ${where.epoch}`, "epoch");
    const [signer, previous, all] = [bytes("key"), bytes("previous"), bytes("digests")];
    const signed = toSign({ stream, epoch, number, last, previous, digests: all });
    const signature = await this.#judge(signer, bytes("signature"), signed, where.required ?? false);
    const digests = Array.from({ length: all.length / DIGEST_SIZE }, (_, i) =>
      all.subarray(DIGEST_SIZE * i, DIGEST_SIZE * (i + 1)),
    );
    return { signature, signer, stream, epoch, number, last, previous, digests, own: await sha256(payload) };
  }

  async #judge(signer: Uint8Array, signature: Uint8Array, bytes: Uint8Array, required: boolean): Promise<Signature> {
    const isRight = await this.verifyBytes(signer, signature, bytes);
    if (isRight) return Signature.VALID;
    if (isRight === false) throw refused(`the signature of ${hexOf(signer)} is not right`, "signature");
    if (required) throw refused(`the signer ${hexOf(signer)} is not known`, "signer");
    return Signature.UNKNOWN_SIGNER;
  }
}

function refused(message: string, reason: string): ProtocolError {
  return new ProtocolError(ErrorCode.AUTHENTICATION_FAILED, message, { check: SIGNATURE_CHECK, reason });
}

/** An attestation has named messages that were delivered before. */
export interface Attested {
  readonly kind: "attested";
  /** Sequences of the messages, in their order. */
  readonly numbers: readonly number[];
  readonly signer: Uint8Array;
  /** Number of digests of messages that this viewer has not had. */
  readonly unseen: number;
  /** Number of attestations of the signer that did not come since the one before. */
  readonly missing: number;
  /** True if the signer stops. */
  readonly last: boolean;
}

/** No attestation has named these messages in time. */
export interface Unattested {
  readonly kind: "unattested";
  readonly numbers: readonly number[];
}

interface Chain {
  number: number;
  own: Uint8Array;
  arrivals: number[];
}

/** The messages of one stream that wait for an attestation, at most 4,096. It has no clock: times are arguments. */
export class AttestationBook {
  readonly #verifier: Verifier;
  readonly #stream: string;
  #epoch: number;
  readonly #chains = new Map<string, Chain>();
  readonly #over = new Set<string>();
  #arrivals = 0;
  readonly #waiting = new Map<number, { digest: string; arrivals: number; since: number }>();
  readonly #byDigest = new Map<string, number[]>();
  #queue: Promise<unknown> = Promise.resolve();

  constructor(verifier: Verifier, stream: string, epoch: number) {
    this.#verifier = verifier;
    this.#stream = stream;
    this.#epoch = epoch;
  }

  /** Number of messages that wait for an attestation. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Begins another epoch. What is waiting is not attested any more. */
  begin(epoch: number): Unattested | null {
    this.#epoch = epoch;
    this.#chains.clear();
    this.#over.clear();
    return this.#letGo([...this.#waiting.keys()]);
  }

  /**
   * Adds a message without a trailer that was delivered.
   *
   * @param number its sequence in the epoch
   * @param now time in seconds, of any clock that does not step
   * @returns what is unattested now
   */
  add(number: number, digest: Uint8Array, now: number): Unattested | null {
    if (!this.#waiting.has(number)) {
      const name = hexOf(digest);
      this.#waiting.set(number, { digest: name, arrivals: this.#arrivals, since: now });
      const numbers = this.#byDigest.get(name);
      if (numbers === undefined) this.#byDigest.set(name, [number]);
      else numbers.push(number);
    }
    return this.expire(now);
  }

  /**
   * Takes the payload of a STREAM_ATTESTATION, one after the other. One of an unknown signer changes nothing.
   *
   * @returns what is attested, then what is unattested now
   * @throws ProtocolError as `Verifier.attestation`; and 0x202, check 14, reason "attestation", if its number was received before or
   *   `previous` is not the attestation before
   */
  attest(payload: Uint8Array, now: number, { required = false } = {}): Promise<(Attested | Unattested)[]> {
    const taken = this.#queue.then(async () => {
      const where = { stream: this.#stream, epoch: this.#epoch, required };
      const told = await this.#verifier.attestation(payload, where);
      return told.signature === Signature.VALID && told.epoch === this.#epoch ? this.#take(told, now) : [];
    });
    this.#queue = taken.catch(() => {});
    return taken;
  }

  /** Lets each message wait as if it had come now, as after a connection was lost. */
  waitAnew(now: number): void {
    for (const waiting of this.#waiting.values()) waiting.since = now;
  }

  /** Returns what is unattested now: what every signer passed over twice, what waited 10 s, and what is too many. */
  expire(now: number): Unattested | null {
    const passed = [...this.#chains.values()].map(({ arrivals }) =>
      arrivals.length === LATER_ATTESTATIONS ? arrivals[0] : -1,
    );
    const twice = passed.length === 0 ? -1 : Math.min(...passed);
    const excess = this.#waiting.size - MAX_DIGESTS;
    const late: number[] = [];
    for (const [number, { arrivals, since }] of this.#waiting) {
      if (late.length >= excess && arrivals > twice && now - since < PATIENCE) break;
      late.push(number);
    }
    return this.#letGo(late);
  }

  #take(told: Attestation, now: number): (Attested | Unattested)[] {
    const missing = this.#follow(told);
    const found: number[] = [];
    for (const one of told.digests) {
      const number = this.#byDigest.get(hexOf(one))?.[0];
      if (number === undefined) continue;
      found.push(number);
      this.#forget(number);
    }
    this.#arrivals++;
    const numbers = found.sort((a, b) => a - b);
    const unseen = told.digests.length - numbers.length;
    const attested: Attested = { kind: "attested", numbers, signer: told.signer, unseen, missing, last: told.last };
    const late = this.expire(now);
    return late === null ? [attested] : [attested, late];
  }

  /** Compares an attestation with the one before. Returns how many are missing between them. */
  #follow(told: Attestation): number {
    const name = hexOf(told.signer);
    let chain = this.#chains.get(name);
    let missing = 0; // a viewer may come at any time
    if (chain === undefined) {
      if (this.#over.has(name)) throw refused("an attestation after the last one of its signer", "attestation");
      if (told.number === 1 && told.previous.some((byte) => byte !== 0))
        throw refused("the first attestation names one before it", "attestation");
      chain = { number: 0, own: new Uint8Array(0), arrivals: [] };
      this.#chains.set(name, chain);
    } else {
      if (told.number <= chain.number)
        throw refused(`attestation ${told.number}; ${chain.number} was received before`, "attestation");
      missing = told.number - chain.number - 1;
      if (missing === 0 && !areEqual(told.previous, chain.own))
        throw refused(`attestation ${told.number} does not follow the one before`, "attestation");
    }
    chain.number = told.number;
    chain.own = told.own;
    chain.arrivals = [...chain.arrivals, this.#arrivals].slice(-LATER_ATTESTATIONS);
    if (told.last) {
      this.#chains.delete(name);
      this.#over.add(name);
    }
    return missing;
  }

  #letGo(numbers: number[]): Unattested | null {
    for (const number of numbers) this.#forget(number);
    return numbers.length === 0 ? null : { kind: "unattested", numbers: numbers.sort((a, b) => a - b) };
  }

  #forget(number: number): void {
    const name = this.#waiting.get(number)?.digest as string;
    this.#waiting.delete(number);
    const numbers = (this.#byDigest.get(name) ?? []).filter((one) => one !== number);
    if (numbers.length === 0) this.#byDigest.delete(name);
    else this.#byDigest.set(name, numbers);
  }
}
