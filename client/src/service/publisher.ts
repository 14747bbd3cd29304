/** One stream that a service publishes: each message once, over all connections, as far as memory reaches. */

import { type ExactCounts, ExactSamples } from "../codec/exact.js";
import { fieldOf } from "../codec/fields.js";
import type { RecordFields } from "../codec/record.js";
import type { Keyring } from "../codec/seal.js";
import type { SigningKey } from "../codec/signing.js";
import { wireFields } from "../codec/wire-fields.js";
import { ProtocolError } from "../errors.js";
import { Capability, DATA_TYPES, ErrorCode, Flag, MAX_STREAM_NAME, MessageType } from "../protocol.js";
import type { Settings } from "../session/basic-settings.js";
import type { SessionEvent } from "../session/client-session.js";
import type { Outgoing } from "../session/frame-queue.js";
import { DEFAULT_MEMORY, type Memory, StreamWriter } from "../session/stream-writer.js";
import type { AttachedPublisher, PublishedOptions, PublisherHost, PublisherOwner } from "./attached-publisher.js";
import { ConnectionLost } from "./backoff.js";
import { type Connection, now } from "./connection.js";
import { callSafely } from "./emitter.js";
import { NotAcknowledged } from "./not-acknowledged.js";
import { StreamSealer } from "./stream-sealer.js";

/** Milliseconds after which a stream is opened again that the server could not open. */
const ASK_AGAIN = 2000;
/** Milliseconds between two attestations. */
const ATTESTING = 1000;

/** Messages of a publisher that the server does not have: they were not in memory any more, or were refused. */
export interface Lost {
  readonly stream: string;
  /** How many more are lost, templates included. Viewers of version 4 are told the same number. */
  readonly messages: number;
}

/** How a stream is published. */
export interface PublishOptions {
  /**
   * "exact" looks for integer counts behind a float64 signal, so that records hold those, and viewers get the same floats in
   * a fraction of the bytes; "as given" by default.
   */
  readonly samples?: "as given" | "exact";
  /** How many messages, and bytes of them as encoded, are kept to be sent again; 4,096 and 8 MiB by default. */
  readonly memory?: Partial<Memory>;
  /**
   * If the stream is sealed: true to let the size of sealed messages depend on the samples, which tells the heart rate to whoever sees the sizes; by
   * default, they are neither filtered nor compressed.
   */
  readonly compress?: boolean;
  /**
   * True if the messages may wait behind others, such as a history on a stream of its own, except for alerts and messages with
   * `priority`. Viewers of version 4 get them as the server's `publish(..., bulk=True)` sends them.
   */
  readonly bulk?: boolean;
  /**
   * Signs alerts and predictions, and attests all other messages once a second, so that viewers with its public key know that
   * they are from here and unchanged. Only for a stream that is sealed: a server packs plain messages again.
   */
  readonly signer?: SigningKey;
  /** Called with each loss. */
  readonly onLost?: (lost: Lost) => unknown;
}

/** "open" if the server takes messages now, "waiting" if it may later, "over" if it never will again. */
export type PublisherStatus = "open" | "waiting" | "over";

/** Numbers of a publisher; templates count as messages. */
export interface PublisherStatistics {
  readonly written: number;
  readonly confirmed: number;
  readonly unsent: number;
  readonly kept: number;
  readonly keptBytes: number;
  readonly lost: number;
}

interface Receipt {
  readonly number: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** What a client publishes on one stream. `publisher` makes it. */
export class Publisher implements AttachedPublisher {
  readonly stream: string;
  readonly #writer: StreamWriter;
  readonly #settings: Settings;
  readonly #exact: ExactSamples | null;
  readonly #sealer: StreamSealer | null;
  readonly #onLost: PublishOptions["onLost"];
  readonly #owner: PublisherOwner;
  #connection: Connection | null = null;
  /** Timestamp of the opening that is not answered, and the number that was next then. */
  #asked: bigint | null = null;
  #askedAt = 1;
  #told = 0;
  readonly #receipts = new Map<bigint, Receipt>();
  #flushes: Receipt[] = [];
  #failure: Error | null = null;
  #attesting: ReturnType<typeof setInterval> | undefined;

  /** Use `publisher`. */
  constructor(stream: string, options: PublishOptions, owner: PublisherOwner) {
    const { samples = "as given", memory = {}, compress = false, bulk = false, signer = null, onLost } = options;
    const { id, settings, clock } = owner;
    const { messages, bytes } = { ...DEFAULT_MEMORY, ...memory };
    if (!(messages >= 1 && bytes >= 1))
      throw new RangeError("the memory of a publisher is at least 1 message and 1 byte");
    const keys = owner.keys && isSealed(owner.keys, stream) ? owner.keys : null;
    if (signer && !keys)
      throw new RangeError("a publisher signs only streams that it seals: servers pack plain messages again");
    this.stream = stream;
    this.#writer = new StreamWriter(stream, id, settings, clock, { messages, bytes }, undefined, bulk);
    this.#sealer = keys && new StreamSealer(stream, keys, compress, signer, this.#writer.epoch);
    if (signer) this.#attesting = setInterval(() => void this.#attest(false), ATTESTING);
    this.#settings = settings;
    this.#exact = samples === "exact" ? new ExactSamples() : null;
    this.#onLost = onLost;
    this.#owner = owner;
  }

  /** The state of the publisher. */
  get status(): PublisherStatus {
    if (this.#failure) return "over";
    return this.#writer.isOpen ? "open" : "waiting";
  }

  /** The epoch of the numbers, a random integer. */
  get epoch(): number {
    return this.#writer.epoch;
  }

  /** Numbers of the messages so far. */
  get statistics(): PublisherStatistics {
    const { next, confirmed, unsent, kept, keptBytes, lost } = this.#writer;
    return { written: next - 1, confirmed: confirmed - 1, unsent, kept, keptBytes, lost };
  }

  /**
   * Publishes a message on the stream. It is kept in memory, and sent as soon as the server takes it. An alert, and a message
   * with `priority`, overtakes the messages that wait.
   *
   * @param type ECG_DATA, ANOMALY_ALERT, PREDICTION_RESULT or FEATURE_DATA
   * @param data its fields, as for `sendMessage`; it needs no stream
   * @returns the timestamp of the message, in microseconds since 1970, once it is in memory, or with `acknowledged` once the
   *   server has it. It is rejected with a ProtocolError (0x203) if this client may not publish on the stream, or another
   *   client has opened it; with ConnectionLost; or with NotAcknowledged.
   * @throws TypeError | RangeError | ProtocolError at once, if the message cannot be encoded, is no data message, or names
   *   another stream; if it is to be sealed and has no timestamp, no key is valid now, or too many wait to be sealed
   */
  send(type: MessageType, data: Readonly<Record<string, unknown>>, options: PublishedOptions = {}): Promise<bigint> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (!DATA_TYPES.has(type)) throw new RangeError(`message type ${type} is not a data message`);
    const fields = wireFields(data) as RecordFields;
    const named = fieldOf(fields, "stream");
    if (named !== undefined && named !== this.stream)
      throw new RangeError(`the publisher of "${this.stream}" sends nothing on another stream`);
    if (this.#sealer) return this.#sendSealed(type, this.#sealer.checked(fields), options, this.#sealer);
    if (this.#connection && !this.#connection.session.numbered)
      return this.#owner.sendMessage(type, { ...data, stream: this.stream }, options);
    const { timestamp } = this.#writer.write(type, fields, flagsOf(options), now(), this.#countsOf(type, fields));
    return this.#written(timestamp, options);
  }

  #sendSealed(
    type: MessageType,
    fields: RecordFields,
    options: PublishedOptions,
    sealer: StreamSealer,
  ): Promise<bigint> {
    const counts = this.#countsOf(type, fields);
    sealer.renew(this.#writer);
    const prepared = this.#writer.prepare(type, fields, flagsOf(options), now(), counts, sealer.isConstant);
    return sealer.put(prepared, this.#writer).then(({ timestamp }) => {
      if (this.#failure) throw this.#failure;
      return this.#written(timestamp, options);
    });
  }

  #countsOf(type: MessageType, fields: RecordFields): ExactCounts | undefined {
    return type === MessageType.ECG_DATA ? this.#exact?.take(fieldOf(fields, "signal")) : undefined;
  }

  /** Sends what was written last. Returns the promise of `send`. */
  #written(timestamp: bigint, options: PublishedOptions): Promise<bigint> {
    const number = this.#writer.next - 1;
    const done = options.acknowledged
      ? new Promise<bigint>((resolve, reject) => {
          this.#receipts.set(timestamp, { number, resolve: () => resolve(timestamp), reject });
        })
      : Promise.resolve(timestamp);
    this.pump();
    return done;
  }

  /** Waits until the server has all messages that were sent so far, or has been told that they are lost. */
  flush(): Promise<void> {
    return this.#sealer ? this.#sealer.settled().then(() => this.#flushWritten()) : this.#flushWritten();
  }

  #flushWritten(): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    const number = this.#writer.next - 1;
    if (this.#writer.confirmed > number) return Promise.resolve();
    const flushed = new Promise<void>((resolve, reject) => this.#flushes.push({ number, resolve, reject }));
    this.#askIfDone();
    return flushed;
  }

  /** Waits until the server has all messages, then stops publishing. */
  async close(): Promise<void> {
    clearInterval(this.#attesting);
    try {
      if (!this.#failure) await this.#attest(true);
      await this.flush();
    } finally {
      this.end(new ConnectionLost("the publisher is closed"));
    }
  }

  // --- the service's side ---

  /** Notes that there is a connection whose version is known, and opens the stream. */
  connected(connection: Connection): void {
    this.#connection = connection;
    this.#asked = null;
    this.#writer.disconnected();
    const { session } = connection;
    if (this.#sealer && !this.#isUnderstood(connection, this.#sealer)) return;
    if (!session.numbered) return;
    this.#writer.speak(this.#settings, session.capabilities, session.maxPayloadOfPeer ?? this.#settings.maxPayload);
    this.#ask();
  }

  /** Notes that the connection is lost. */
  disconnected(): void {
    this.#connection = null;
    this.#asked = null;
    this.#writer.disconnected();
  }

  /** Notes that the server acknowledged a message. Returns whether it is one of this publisher. */
  acknowledged({ timestamp, next, lost }: Extract<SessionEvent, { kind: "acknowledged" }>): boolean {
    const receipt = this.#receipts.get(timestamp);
    this.#receipts.delete(timestamp);
    receipt?.resolve();
    if (timestamp !== this.#asked) return receipt !== undefined;
    this.#asked = null;
    if (next === null) {
      const text = "the server acknowledged an opening without a number";
      this.end(new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, text));
      return true;
    }
    if (this.#writer.isOpen && next >= this.#askedAt) this.#writer.confirm(next, lost);
    else this.#writer.opened(next, lost);
    this.#settleConfirmed();
    this.#tellLoss();
    this.pump();
    return true;
  }

  /** Notes that the server did not acknowledge a message over the present connection. */
  undelivered({ timestamp, attempts }: Extract<SessionEvent, { kind: "undelivered" }>): boolean {
    if (timestamp === this.#asked) {
      this.#asked = null;
      this.#askLater();
      return true;
    }
    const receipt = this.#receipts.get(timestamp);
    if (!receipt) return false;
    if (this.#connection?.session.closing === null) {
      this.#receipts.delete(timestamp);
      receipt.reject(new NotAcknowledged(timestamp, attempts));
    }
    return true; // otherwise it is sent again over the next connection
  }

  /** Processes an ERROR about this stream in this epoch. */
  refused({ code, message, details }: Extract<SessionEvent, { kind: "error" }>): void {
    if (fieldOf(details, "stream") !== this.stream || fieldOf(details, "epoch") !== this.epoch) return;
    if (code === ErrorCode.PERMISSION_DENIED) {
      this.end(new ProtocolError(code, message));
    } else if (!this.#writer.isOpen && this.#asked !== null) {
      this.#forgetQuestion();
      this.#askLater();
    }
  }

  /** Notes that nothing more is sent. */
  end(failure: Error): void {
    if (this.#failure) return;
    this.#failure = failure;
    clearInterval(this.#attesting);
    this.#forgetQuestion();
    this.#writer.disconnected();
    for (const { reject } of [...this.#receipts.values(), ...this.#flushes]) reject(failure);
    this.#receipts.clear();
    this.#flushes = [];
    this.#owner.forget(this);
  }

  /** Sends what waits, as far as the send queue has room. */
  pump(): void {
    const connection = this.#connection;
    if (!connection || this.#failure) return;
    while (this.#writer.isOpen && this.#writer.unsent && connection.hasRoomForUrgent) {
      const frames = this.#writer.take(!connection.hasRoom);
      for (const outgoing of frames) connection.sending.sendFrame(outgoing, this.#attempts(outgoing));
      this.#askAboutLoss();
      if (!frames.length) break;
    }
    this.#askIfDone();
    connection.wake();
  }

  /** Returns true if messages wait that the send queue has room for. */
  canFill(connection: Connection): boolean {
    return connection === this.#connection && this.#writer.isOpen && this.#writer.unsent > 0 && connection.hasRoom;
  }

  // --- inside ---

  async #attest(last: boolean): Promise<void> {
    try {
      await this.#sealer?.attest(this.#writer, last);
      this.pump();
    } catch (error) {
      this.#owner.report(error as Error);
    }
  }

  /** Ends the publisher if the server does not take what is sealed. */
  #isUnderstood({ session }: Connection, { isConstant }: StreamSealer): boolean {
    const has = (name: Capability) => session.capabilities.has(name);
    let fault = "";
    if (!session.numbered) fault = `the server speaks version ${session.version}`;
    else if (!has(Capability.ENCRYPTION)) fault = "the server has not agreed on encryption";
    else if (isConstant && !has(Capability.TEMPLATES) && !has(Capability.NDARRAY_BIN))
      fault = "without templates and ndarray-bin, sizes would depend on the samples";
    if (fault === "") return true;
    const text = `the stream ${JSON.stringify(this.stream)} cannot be sealed: ${fault}`;
    this.end(new ProtocolError(ErrorCode.AUTHENTICATION_FAILED, text));
    return false;
  }

  #attempts({ acknowledged }: Outgoing): number {
    return acknowledged ? this.#settings.acknowledgementAttempts : 1;
  }

  #ask(): void {
    const connection = this.#connection;
    if (!connection || this.#failure) return;
    const opening = this.#writer.opening();
    this.#asked = opening.timestamp;
    this.#askedAt = this.#writer.next;
    connection.sending.sendFrame(opening, this.#attempts(opening));
    connection.wake();
  }

  /** Asks how far the server has got, if all was sent and somebody waits for that. */
  #askIfDone(): void {
    if (this.#flushes.length && this.#writer.isOpen && !this.#writer.unsent && this.#asked === null) this.#ask();
  }

  #askLater(): void {
    const connection = this.#connection;
    setTimeout(() => {
      if (connection && connection === this.#connection && this.#asked === null) this.#ask();
    }, ASK_AGAIN);
  }

  #forgetQuestion(): void {
    if (this.#asked !== null) this.#connection?.sending.giveUp(this.#asked);
    this.#asked = null;
  }

  #settleConfirmed(): void {
    for (const [timestamp, receipt] of [...this.#receipts]) {
      if (receipt.number >= this.#writer.confirmed) continue;
      this.#receipts.delete(timestamp);
      receipt.resolve();
    }
    const done = this.#flushes.filter(({ number }) => number < this.#writer.confirmed);
    this.#flushes = this.#flushes.filter(({ number }) => number >= this.#writer.confirmed);
    for (const { resolve } of done) resolve();
  }

  /** Asks the server how many messages are lost, if some were not in memory any more. */
  #askAboutLoss(): void {
    if (!this.#writer.skipped || this.#asked !== null) return;
    const [first, end] = this.#writer.skipped;
    this.#writer.skipped = null;
    for (const [timestamp, { number, reject }] of [...this.#receipts]) {
      if (number < first || number >= end) continue;
      this.#receipts.delete(timestamp);
      reject(new NotAcknowledged(timestamp, 0));
    }
    this.#ask();
  }

  #tellLoss(): void {
    const messages = this.#writer.lost - this.#told;
    this.#told = this.#writer.lost;
    const onLost = this.#onLost;
    if (messages > 0 && onLost) callSafely(() => onLost({ stream: this.stream, messages }));
  }
}

/** Returns true if the application has keys of a stream, valid now or not. */
function isSealed(keys: Keyring, stream: string): boolean {
  try {
    return keys.current(stream) !== null;
  } catch {
    return true;
  }
}

function flagsOf({ priority, acknowledged }: PublishedOptions): number {
  return (priority ? Flag.PRIORITY : 0) | (acknowledged ? Flag.ACK_REQUIRED : 0);
}

/**
 * Publishes on a stream so that each message arrives once.
 *
 * In version 4, the client opens the stream: it numbers the messages, and sends the constant fields of ECG_DATA once, as a
 * template, and then records. After a reconnection, the server says which message it expects next, and the client sends from
 * there what it has in memory. What is no longer in memory is lost: `onLost` is told how many messages, and viewers of
 * version 4 see the same number. Another client that opens the stream ends this publisher.
 *
 * Over a connection to a server before version 4, messages are sent as by `sendMessage`.
 *
 * If the application has a key of the stream (`new Sealing({ keys })`), the messages are sealed end to end: the server and
 * everything behind it needs no key, and viewers need one of their own. Then each message needs a `timestamp`, and a server
 * that takes no sealed messages ends the publisher. With `signer`, they are signed and attested before they are sealed; `close`
 * makes the last attestation.
 *
 * @param service a `WebSocketBinaryService`
 * @throws RangeError if the name is empty or too long, an option is out of range, or there is a signer and no key
 * @throws Error if there is a publisher of the stream already
 */
export function publisher(service: PublisherHost, stream: string, options: PublishOptions = {}): Publisher {
  if (!stream || [...stream].length > MAX_STREAM_NAME)
    throw new RangeError(`the name of a stream has 1 to ${MAX_STREAM_NAME} characters`);
  return service.attachPublisher(stream, (owner) => new Publisher(stream, options, owner));
}
