/**
 * Sealed payloads: AES-256-GCM with a key for one stream, by WebCrypto, so all of it is asynchronous.
 * `docs/protocol.md` specifies them under "Sealed payloads".
 */
import { ProtocolError } from "../errors.js";
import {
  ErrorCode,
  Flag,
  Form,
  LARGEST_KEY_ID,
  MAX_SENDERS,
  MAX_STREAM_KEYS,
  MAX_STREAM_NAME,
  type MessageType,
  REPLAY_WINDOW,
  SEAL_OVERHEAD,
  SEAL_PREFIX,
  SENDER_BYTES,
  SENDER_MESSAGES,
  SENDER_SIZE,
  SENDERS_KEPT,
  STREAM_KEY_SIZE,
  STREAM_TYPES,
} from "../protocol.js";
import { fieldOf } from "./fields.js";
import { areEqual, hexOf, joined, owned, subtle } from "./webcrypto.js";

const ENCRYPTION_CHECK = 8;
const INFO = /* @__PURE__ */ new TextEncoder().encode("ecgframe seal 1\0");
const DERIVED_BITS = 44 * 8;
const TAG_BITS = 128;
/** The bits of the form that name the algorithm of COMPRESSED. */
const ALGORITHM = 0x03;
/** Maximum number of derived keys that an opener keeps. */
const MAX_DERIVED = 256;
/** Counters of a block of the replay window, one bit each. */
const BLOCK = 32;

let secretOf: (key: Key) => Uint8Array<ArrayBuffer>;

/** A stream key: 32 secret bytes that seal the messages of one stream. Nothing that prints or clones it has the secret. */
export class Key {
  /** The number that names it in sealed payloads. */
  readonly id: number;
  /** Name of the stream; empty for messages of no stream. */
  readonly stream: string;
  /** Unix seconds from which on it is used, or null. */
  readonly begins: number | null;
  /** Unix seconds from which on it is not used any more, or null. */
  readonly ends: number | null;
  readonly #secret: Uint8Array<ArrayBuffer>;

  static {
    secretOf = (key) => key.#secret;
  }

  /** @throws RangeError for what is not of this form; the text never has the secret */
  constructor(
    id: number,
    stream: string,
    secret: Uint8Array,
    times: { readonly begins?: number | null; readonly ends?: number | null } = {},
  ) {
    const { begins = null, ends = null } = times;
    const fault = faultOfKey(id, stream, secret, begins, ends);
    if (fault !== null) throw new RangeError(`a stream key: ${fault}`);
    this.id = id;
    this.stream = stream;
    this.begins = begins;
    this.ends = ends;
    this.#secret = owned(secret);
  }

  /** Returns true if the other key has the same id, stream and secret. */
  isSame(other: Key): boolean {
    return this.id === other.id && this.stream === other.stream && areEqual(this.#secret, other.#secret);
  }
}

function faultOfKey(id: unknown, stream: unknown, secret: unknown, begins: unknown, ends: unknown): string | null {
  if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id > LARGEST_KEY_ID)
    return `id must be an integer from 0 to ${LARGEST_KEY_ID}`;
  if (typeof stream !== "string" || [...stream].length > MAX_STREAM_NAME)
    return `stream must be text of at most ${MAX_STREAM_NAME} characters`;
  if (!stream.isWellFormed()) return "stream has no UTF-8 form";
  if (!(secret instanceof Uint8Array) || secret.length !== STREAM_KEY_SIZE)
    return `the secret must have ${STREAM_KEY_SIZE} bytes`;
  if (begins !== null && !Number.isFinite(begins)) return "begins must be Unix seconds, or left out";
  if (ends !== null && !Number.isFinite(ends)) return "ends must be Unix seconds, or left out";
  if (begins !== null && ends !== null && (ends as number) <= (begins as number)) return "it ends before it begins";
  return null;
}

/** Where the keys come from. */
export interface Keyring {
  /**
   * Returns the key to seal a stream with now; null if the stream is not sealed.
   *
   * @throws RangeError if it is sealed, but none of its keys is valid now
   */
  current(stream: string): Key | null;
  /** Returns the key to open a payload with; null if it is not known, or not any more. */
  find(keyId: number): Key | null;
}

/** For how long the keys of a file open messages. */
export interface StoredKeysOptions {
  /** Seconds after its end in which a key still opens messages; by default for ever. */
  readonly opensAfter?: number;
  /** Returns Unix seconds. */
  readonly now?: () => number;
}

/** A keyring of keys in memory. */
export class StoredKeys implements Keyring {
  #keys = new Map<number, Key>();
  readonly #opensAfter: number;
  readonly #now: () => number;

  /** @throws RangeError if an id is given twice, or there are more than 4,096 keys */
  constructor(
    keys: Iterable<Key> = [],
    { opensAfter = Infinity, now = () => Date.now() / 1000 }: StoredKeysOptions = {},
  ) {
    this.#opensAfter = opensAfter;
    this.#now = now;
    this.replace(keys);
  }

  /** Uses these keys instead. Throws as the constructor, or if a known id has another secret or stream now. */
  replace(keys: Iterable<Key>): void {
    const taken = new Map<number, Key>();
    for (const key of keys) {
      this.#checkSame(key);
      if (taken.has(key.id)) throw new RangeError(`two stream keys have the id ${key.id}`);
      if (taken.size === MAX_STREAM_KEYS) throw new RangeError(`more than ${MAX_STREAM_KEYS} stream keys`);
      taken.set(key.id, key);
    }
    this.#keys = taken;
  }

  /** Adds a key, or gives a known one other times. Throws if its id has another secret or stream, or there are 4,096. */
  add(key: Key): void {
    this.#checkSame(key);
    if (!this.#keys.has(key.id) && this.#keys.size >= MAX_STREAM_KEYS)
      throw new RangeError(`more than ${MAX_STREAM_KEYS} stream keys`);
    this.#keys.set(key.id, key);
  }

  /** Forgets a key. */
  remove(keyId: number): void {
    this.#keys.delete(keyId);
  }

  current(stream: string): Key | null {
    const keys = this.#keysOf(stream);
    if (keys.length === 0) return null;
    const now = this.#now();
    const valid = keys.find(({ begins, ends }) => (begins === null || begins <= now) && (ends === null || now < ends));
    if (valid === undefined)
      throw new RangeError(`none of the ${keys.length} keys of stream ${JSON.stringify(stream)} is valid now`);
    return valid;
  }

  /** Returns the key of a stream that begins next, or null. */
  upcoming(stream: string): Key | null {
    const now = this.#now();
    return this.#keysOf(stream).findLast(({ begins }) => begins !== null && begins > now) ?? null;
  }

  find(keyId: number): Key | null {
    const key = this.#keys.get(keyId) ?? null;
    return key === null || key.ends === null || this.#now() < key.ends + this.#opensAfter ? key : null;
  }

  /** The keys of a stream, the one that begins last first. */
  #keysOf(stream: string): Key[] {
    const beginning = (key: Key) => key.begins ?? -Infinity;
    const keys = [...this.#keys.values()].filter((key) => key.stream === stream);
    return keys.sort((a, b) => (beginning(a) === beginning(b) ? b.id - a.id : beginning(b) - beginning(a)));
  }

  #checkSame(key: Key): void {
    const known = this.#keys.get(key.id);
    if (known !== undefined && !known.isSame(key))
      throw new RangeError(`the id ${key.id} is that of another stream key already`);
  }
}

/**
 * Reads keys from a JSON list of maps `{"stream": "ecg/1", "id": 9, "key": "<64 hexadecimal digits>"}`, with `begins` and
 * `ends` in Unix seconds if keys change.
 *
 * @throws RangeError if the text is not of this form. The error has no secret.
 */
export function keysFromJson(text: string): Key[] {
  const fault = (words: string) => new RangeError(`stream keys: ${words}`);
  let entries: unknown = null;
  let isJson = true;
  try {
    entries = JSON.parse(text);
  } catch {
    isJson = false; // the error of JSON.parse has parts of the text
  }
  if (!isJson) throw fault("not JSON");
  if (!Array.isArray(entries)) throw fault("not a JSON list");
  return entries.map((entry: unknown, index) => {
    const place = `entry ${index}`;
    if (typeof entry !== "object" || entry === null || Array.isArray(entry)) throw fault(`${place}: not a map`);
    const fields = new Map<string, unknown>(Object.entries(entry));
    for (const name of ["stream", "id", "key"]) if (!fields.has(name)) throw fault(`${place}: '${name}' is missing`);
    for (const name of fields.keys())
      if (!["stream", "id", "key", "begins", "ends"].includes(name))
        throw fault(`${place}: unknown field '${name.slice(0, 32)}'`);
    const digits = fields.get("key");
    if (typeof digits !== "string" || !/^[0-9a-fA-F]{64}$/.test(digits))
      throw fault(`${place}: 'key' must be ${2 * STREAM_KEY_SIZE} hexadecimal digits`);
    const secret = Uint8Array.from(digits.match(/../g) as string[], (pair) => Number.parseInt(pair, 16));
    const [id, stream, begins, ends] = ["id", "stream", "begins", "ends"].map((name) => fields.get(name) ?? null);
    const wrong = faultOfKey(id, stream, secret, begins, ends);
    if (wrong !== null) throw fault(`${place}: ${wrong}`);
    return new Key(id as number, stream as string, secret, { begins: begins as null, ends: ends as null });
  });
}

/** Derives bytes with HKDF-SHA-256 (RFC 5869). */
export async function hkdf(
  secret: Uint8Array,
  salt: Uint8Array,
  info: Uint8Array,
  bits: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const key = await subtle().importKey("raw", owned(secret), "HKDF", false, ["deriveBits"]);
  const how = { name: "HKDF", hash: "SHA-256", salt: owned(salt), info: owned(info) };
  return new Uint8Array(await subtle().deriveBits(how, key, bits));
}

/** Returns the cipher of a key of 32 bytes. */
export function cipher(key: Uint8Array): Promise<CryptoKey> {
  return subtle().importKey("raw", owned(key), "AES-GCM", false, ["encrypt", "decrypt"]);
}

export async function encrypt(key: CryptoKey, nonce: Uint8Array, plain: Uint8Array, associated: Uint8Array) {
  return new Uint8Array(await subtle().encrypt(gcm(nonce, associated), key, plain as Uint8Array<ArrayBuffer>));
}

/** Decrypts ciphertext and tag; null if the tag does not verify. */
export async function decrypt(key: CryptoKey, nonce: Uint8Array, sealed: Uint8Array, associated: Uint8Array) {
  try {
    const plain = await subtle().decrypt(gcm(nonce, associated), key, sealed as Uint8Array<ArrayBuffer>);
    return new Uint8Array(plain);
  } catch (error) {
    if ((error as Error)?.name === "OperationError") return null;
    throw error;
  }
}

function gcm(nonce: Uint8Array, associated: Uint8Array): AesGcmParams {
  return { name: "AES-GCM", iv: owned(nonce), additionalData: owned(associated), tagLength: TAG_BITS };
}

interface Derived {
  readonly cipher: CryptoKey;
  readonly iv: Uint8Array;
}

async function derive(key: Key, sender: Uint8Array): Promise<Derived> {
  const okm = await hkdf(secretOf(key), sender, joined(INFO, new TextEncoder().encode(key.stream)), DERIVED_BITS);
  const derived = { cipher: await cipher(okm.subarray(0, STREAM_KEY_SIZE)), iv: okm.slice(STREAM_KEY_SIZE) };
  okm.fill(0, 0, STREAM_KEY_SIZE);
  return derived;
}

function nonceOf(iv: Uint8Array, counter: number): Uint8Array {
  const nonce = iv.slice();
  const view = new DataView(nonce.buffer);
  view.setUint32(8, (view.getUint32(8) ^ counter) >>> 0);
  return nonce;
}

/** The fields of a frame that sealing protects, as far as it does. */
export interface SealedHeader {
  readonly version: 3 | 4;
  readonly type: MessageType;
  readonly flags?: number;
  /** 0 in version 3. */
  readonly form?: number;
}

function associatedData({ version, type, flags = 0, form = 0 }: SealedHeader, prefix: Uint8Array) {
  const protectedFlags = version === 4 ? Flag.COMPRESSED | Flag.SIGNED : Flag.COMPRESSED;
  return joined(Uint8Array.of(type, flags & protectedFlags, form & (ALGORITHM | Form.RECORD)), prefix);
}

interface Sender {
  readonly drawn: Uint8Array;
  readonly derived: Promise<Derived>;
  counter: number;
  bytes: number;
}

/**
 * Seals the payloads of one stream key. The nonce of a message never repeats: each sealer draws a random sender, from which
 * its own key is derived, and counts its messages.
 */
export class Sealer {
  readonly key: Key;
  readonly #messages: number;
  readonly #bytes: number;
  #sender: Sender;

  /**
   * @param limits messages and bytes after which it draws another sender
   * @throws Error without WebCrypto
   */
  constructor(key: Key, { messages = SENDER_MESSAGES, bytes = SENDER_BYTES } = {}) {
    if (!(messages >= 1 && messages <= SENDER_MESSAGES && bytes >= 1 && bytes <= SENDER_BYTES))
      throw new RangeError(`a sender has 1 to ${SENDER_MESSAGES} messages and 1 to ${SENDER_BYTES} bytes`);
    subtle();
    this.key = key;
    this.#messages = messages;
    this.#bytes = bytes;
    this.#sender = this.#newSender();
  }

  /**
   * Seals a payload, which must not be changed before the promise resolves.
   *
   * @returns key id (4 bytes), sender (8), counter (4), ciphertext and tag (16)
   * @throws RangeError for another version, type or form, or more bytes than one sender may seal
   */
  async seal(payload: Uint8Array, header: SealedHeader): Promise<Uint8Array<ArrayBuffer>> {
    const { version, type, form = 0 } = header;
    if (version !== 3 && version !== 4) throw new RangeError(`version ${version} has no sealed payloads`);
    if (!STREAM_TYPES.has(type))
      throw new RangeError(
        `type 0x${(type as number).toString(16)} is not sealed: only data messages, templates and attestations are`,
      );
    if (version === 3 && form !== 0) throw new RangeError("version 3 has no form");
    if (payload.length > this.#bytes)
      throw new RangeError(`a payload of ${payload.length} bytes; one sender seals ${this.#bytes} bytes at most`);
    // The counter is taken before the first await: nothing else runs between reading and writing it.
    let sender = this.#sender;
    if (sender.counter >= this.#messages || payload.length > sender.bytes) sender = this.#sender = this.#newSender();
    const counter = sender.counter++;
    sender.bytes -= payload.length;
    const prefix = new Uint8Array(SEAL_PREFIX);
    const view = new DataView(prefix.buffer);
    view.setUint32(0, this.key.id);
    prefix.set(sender.drawn, 4);
    view.setUint32(4 + SENDER_SIZE, counter);
    const derived = await sender.derived;
    const text = await encrypt(derived.cipher, nonceOf(derived.iv, counter), payload, associatedData(header, prefix));
    return joined(prefix, text);
  }

  /** Draws another sender, as is necessary after a snapshot of the process was restored. */
  renew(): void {
    this.#sender = this.#newSender();
  }

  /** Draws the number of a sender. */
  protected draw(): Uint8Array {
    return crypto.getRandomValues(new Uint8Array(SENDER_SIZE));
  }

  #newSender(): Sender {
    const drawn = this.draw();
    const derived = derive(this.key, drawn);
    derived.catch(() => {}); // who seals gets the error
    return { drawn, derived, counter: 0, bytes: this.#bytes };
  }
}

/** Why a payload was not opened, if that is no error of the peer. */
export const NotOpened = {
  UNKNOWN_KEY: "unknown key",
  REPEATED: "repeated",
  TOO_MANY_SENDERS: "too many senders",
} as const;
export type NotOpened = (typeof NotOpened)[keyof typeof NotOpened];

/** An opened payload. */
export interface Opened {
  readonly payload: Uint8Array<ArrayBuffer>;
  readonly key: Key;
  /** The random number of the sealer, 8 bytes. */
  readonly sender: Uint8Array;
  /** Number of the message with this sender, from 0. */
  readonly counter: number;
}

/** Counters of one sender that were had. */
class Seen {
  highest: number;
  readonly #blocks = new Map<number, number>();

  constructor(floor = -1, window = 0) {
    this.highest = floor; // everything up to it counts as had
    for (let counter = Math.max(0, floor - window + 1); counter <= floor; counter++) this.#set(counter);
  }

  had(counter: number, window: number): boolean {
    if (counter <= this.highest - window) return true;
    return (((this.#blocks.get(Math.floor(counter / BLOCK)) ?? 0) >>> (counter % BLOCK)) & 1) === 1;
  }

  enter(counter: number, window: number): void {
    if (counter > this.highest) {
      const oldest = Math.floor((counter - window) / BLOCK);
      if (Math.floor(counter / BLOCK) !== Math.floor(this.highest / BLOCK))
        for (const block of this.#blocks.keys()) if (block < oldest) this.#blocks.delete(block);
      this.highest = counter;
    }
    this.#set(counter);
  }

  #set(counter: number): void {
    const block = Math.floor(counter / BLOCK);
    this.#blocks.set(block, (this.#blocks.get(block) ?? 0) | (1 << (counter % BLOCK)));
  }
}

/**
 * The counters that a viewer has received. It exists as long as the viewer's position in its stream.
 *
 * For each of the 64 latest senders of a key, it remembers the latest 2^16 counters, and refuses older ones. For earlier
 * senders, it remembers the highest counter, and refuses all up to it. A key may have 4,096 senders.
 */
export class ReplayWindow {
  readonly #keys = new Map<number, { kept: Map<string, Seen>; evicted: Map<string, number> }>();
  readonly #window: number;
  readonly #mostKept: number;
  readonly #most: number;

  constructor({ window = REPLAY_WINDOW, senders = SENDERS_KEPT, allSenders = MAX_SENDERS } = {}) {
    this.#window = window;
    this.#mostKept = senders;
    this.#most = allSenders;
  }

  /** Returns why a counter would be refused; null if it would not. */
  fault(keyId: number, sender: Uint8Array, counter: number): NotOpened | null {
    const senders = this.#keys.get(keyId);
    if (senders === undefined) return null;
    const name = hexOf(sender);
    const seen = senders.kept.get(name);
    if (seen !== undefined) return seen.had(counter, this.#window) ? NotOpened.REPEATED : null;
    const highest = senders.evicted.get(name);
    if (highest !== undefined) return counter <= highest ? NotOpened.REPEATED : null;
    return senders.kept.size + senders.evicted.size >= this.#most ? NotOpened.TOO_MANY_SENDERS : null;
  }

  /** Enters a counter whose message was verified. Returns null, or why it is not taken. */
  take(keyId: number, sender: Uint8Array, counter: number): NotOpened | null {
    const fault = this.fault(keyId, sender, counter);
    if (fault !== null) return fault;
    let senders = this.#keys.get(keyId);
    if (senders === undefined) {
      senders = { kept: new Map(), evicted: new Map() };
      this.#keys.set(keyId, senders);
    }
    const name = hexOf(sender);
    const seen = senders.kept.get(name) ?? new Seen(senders.evicted.get(name) ?? -1, this.#window);
    senders.evicted.delete(name);
    senders.kept.delete(name); // the latest is the last of the map
    senders.kept.set(name, seen);
    if (senders.kept.size > this.#mostKept) {
      const [oldest, left] = senders.kept.entries().next().value as [string, Seen];
      senders.kept.delete(oldest);
      senders.evicted.set(oldest, left.highest);
    }
    seen.enter(counter, this.#window);
    return null;
  }

  /** Forgets the counters of a key, which must never open anything again. */
  forget(keyId: number): void {
    this.#keys.delete(keyId);
  }
}

export interface OpenOptions extends SealedHeader {
  /** Name of the stream of the frame; null if the header names none, as in version 3: `checkStream` compares the map then. */
  readonly stream: string | null;
  /** True if a counter that was received before is opened again, as templates in an answer are. */
  readonly again?: boolean;
}

/** Opens sealed payloads with the keys of a keyring. */
export class Opener {
  /** The counters that were had. Hand it to the opener of the next connection. */
  readonly window: ReplayWindow;
  readonly #keyring: Keyring;
  readonly #derived = new Map<string, { key: Key; derived: Derived }>();

  constructor(keyring: Keyring, window = new ReplayWindow()) {
    subtle();
    this.#keyring = keyring;
    this.window = window;
  }

  /**
   * Opens a payload. Nothing is entered in the window: that does `take`.
   *
   * @returns the payload, or why it was not opened if that is not the fault of the peer
   * @throws ProtocolError check 8: 0x200 for less than 32 bytes; 0x202, with the reason, if the tag does not verify ("tag"),
   *   the key is that of another stream ("stream"), the counter is 2^24 or more ("counter"), or messages of the type are
   *   never sealed ("type")
   */
  async open(payload: Uint8Array, options: OpenOptions): Promise<Opened | NotOpened> {
    const { version, type, stream, again = false } = options;
    if (version !== 3 && version !== 4) throw new RangeError("sealed payloads are of version 3 or 4");
    if (payload.length < SEAL_OVERHEAD)
      throw new ProtocolError(
        ErrorCode.INVALID_DATA_FORMAT,
        `a sealed payload of ${payload.length} bytes; it has ${SEAL_OVERHEAD} at least`,
        { check: ENCRYPTION_CHECK },
      );
    if (!STREAM_TYPES.has(type))
      throw refused(`a sealed message of type 0x${(type as number).toString(16)}, which is never sealed`, "type");
    const prefix = payload.slice(0, SEAL_PREFIX);
    const view = new DataView(prefix.buffer);
    const keyId = view.getUint32(0);
    const sender = prefix.slice(4, 4 + SENDER_SIZE);
    const counter = view.getUint32(4 + SENDER_SIZE);
    const key = this.#keyring.find(keyId);
    if (key === null) return NotOpened.UNKNOWN_KEY;
    if (stream !== null && key.stream !== stream)
      throw refused(`the stream key ${keyId} is not that of the stream`, "stream");
    if (counter >= SENDER_MESSAGES)
      throw refused(`the counter ${counter} of a sender; it is below ${SENDER_MESSAGES}`, "counter");
    const fault = again ? null : this.window.fault(keyId, sender, counter);
    if (fault !== null) return fault;
    const name = `${keyId} ${hexOf(sender)}`;
    const kept = this.#derived.get(name);
    const derived = kept?.key.isSame(key) ? kept.derived : await derive(key, sender);
    const text = payload.subarray(SEAL_PREFIX);
    const plain = await decrypt(derived.cipher, nonceOf(derived.iv, counter), text, associatedData(options, prefix));
    if (plain === null) throw refused("the tag of a sealed payload does not verify", "tag");
    this.#keep(name, key, derived);
    return { payload: plain, key, sender, counter };
  }

  /** Enters the counter of an opened payload when its message is taken from the queue. Returns null, or why it is ignored. */
  take(opened: Opened): NotOpened | null {
    return this.window.take(opened.key.id, opened.sender, opened.counter);
  }

  /** Keeps what was derived for a sender that has verified; invented senders would evict the real ones. */
  #keep(name: string, key: Key, derived: Derived): void {
    this.#derived.delete(name);
    this.#derived.set(name, { key, derived });
    if (this.#derived.size > MAX_DERIVED) this.#derived.delete(this.#derived.keys().next().value as string);
  }
}

/**
 * Compares `stream` of an opened map with the stream of its key. If the header names no stream, as in version 3, a map without
 * it is refused as well.
 *
 * @param version of its frame; 3 as well for a frame of version 4 without a stream
 * @throws ProtocolError 0x202, check 8, reason "stream"
 */
export function checkStream(opened: Opened, data: unknown, version: 3 | 4): void {
  const named = fieldOf(data, "stream") ?? null;
  if (named === null && (version >= 4 || opened.key.stream === "")) return;
  if (named !== opened.key.stream)
    throw refused(`the message is of another stream than its key ${opened.key.id}`, "stream");
}

function refused(message: string, reason: string): ProtocolError {
  return new ProtocolError(ErrorCode.AUTHENTICATION_FAILED, message, { check: ENCRYPTION_CHECK, reason });
}
