/**
 * What a client publishes on a stream that it opens: epoch, numbers and templates, and what may have to be sent again.
 *
 * The owner opens the stream over each connection, and is told by the answer which message the server expects next. From
 * there, `take` gives the frames to send, in order. A message that the server lacks and that is no longer in memory is lost;
 * the server counts it, as only it knows which urgent messages it has.
 */
import type { ExactCounts } from "../codec/exact.js";
import { ProtocolHandler } from "../codec/protocol-handler.js";
import type { RecordFields, Template } from "../codec/record.js";
import type { SendClock } from "../codec/send-clock.js";
import { Capability, Flag, Form, LARGEST_SEQUENCE, MessageType, TEMPLATES_IN_FORCE } from "../protocol.js";
import type { Settings } from "./basic-settings.js";
import { BULK, DATA, type Outgoing, tierOf, URGENT } from "./frame-queue.js";
import { RecordWriter } from "./record-writer.js";

const VERSION = 4;

/** How many messages, and bytes of them, are kept to be sent again. */
export interface Memory {
  readonly messages: number;
  readonly bytes: number;
}

export const DEFAULT_MEMORY: Memory = { messages: 4096, bytes: 8 * 1024 * 1024 };

/** A message, or the template of one, that has no number yet. */
export interface Prepared {
  readonly type: MessageType;
  readonly form: number;
  /** PRIORITY and ACK_REQUIRED. */
  readonly flags: number;
  readonly payload: Uint8Array;
  /** Of a record with a filter: its payload without that, which is what is signed. */
  readonly unfiltered?: Uint8Array;
  /** The template, if it is one. */
  readonly template: Template | null;
  /** Of a record: the number of its template. */
  readonly of: number | null;
}

interface Kept {
  readonly outgoing: Outgoing;
  /** Of a record: the number, as a message of the stream, of its template. */
  readonly template: number | null;
}

export class StreamWriter {
  readonly stream: string;
  /** Of the stream in the headers of the frames, the same over all connections. */
  readonly id: number;
  /** Of the numbers. */
  readonly epoch: number;
  /** The number of the next message that is written. */
  next = 1;
  /** The server has, or will never get, every message before this number. */
  confirmed = 1;
  /** Messages that the server was not sent, as it has told: they were not in memory any more, or were refused. */
  lost = 0;
  /**
   * The first number of messages that were not in memory any more when it was their turn, and the one after the last; null if
   * there are none. The owner asks the server then.
   */
  skipped: readonly [number, number] | null = null;
  /** True if the server has opened the stream over the present connection. */
  isOpen = false;

  /** As the server has told; less if it has forgotten the epoch. */
  #lostHere = 0;
  #lostBefore = 0;
  readonly #memory: Memory;
  readonly #clock: SendClock;
  /** BULK if the messages may wait behind others, except urgent ones. */
  readonly #class: number;
  readonly #records: RecordWriter;
  #encoder: ProtocolHandler;
  #maxPayload: number;
  #writesRecords = false;
  #delta = false;
  /** By number, without a gap, up to the one before `next`. */
  readonly #kept = new Map<number, Kept>();
  #bytes = 0;
  /** Frames of templates, by their numbers as messages of the stream. */
  readonly #templates = new Map<number, Outgoing>();
  /** By the number of a template, that of its message. */
  readonly #numbers = new Map<number, number>();
  /** How many records in memory have that template. */
  readonly #uses = new Map<number, number>();
  /** What is before this number was sent over the present connection, or is lost. */
  #toSend = 1;
  /** Urgent messages from there on that were sent, and those that were not. */
  readonly #ahead = new Set<number>();
  #urgent: number[] = [];
  /** Templates that were sent over the present connection. */
  readonly #sentTemplates = new Set<number>();

  /** @param bulk whether the messages may wait behind others, except urgent ones */
  constructor(
    stream: string,
    id: number,
    settings: Settings,
    clock: SendClock,
    memory: Memory,
    epoch = randomEpoch(),
    bulk = false,
  ) {
    this.#class = bulk ? Form.BULK : 0;
    this.stream = stream;
    this.id = id;
    this.epoch = epoch;
    this.#clock = clock;
    this.#memory = memory;
    this.#records = new RecordWriter(stream);
    this.#maxPayload = settings.maxPayload;
    this.#encoder = encoderFor(settings, settings.capabilities, settings.maxPayload);
    this.speak(settings, settings.capabilities, settings.maxPayload);
  }

  /** Writes from now on what a server with those capabilities and that limit reads. */
  speak(settings: Settings, capabilities: ReadonlySet<Capability>, maxPayload: number): void {
    this.#maxPayload = maxPayload;
    this.#encoder = encoderFor(settings, capabilities, maxPayload);
    this.#writesRecords = capabilities.has(Capability.TEMPLATES);
    this.#delta = capabilities.has(Capability.DELTA);
  }

  // --- writing ---

  /** Number of messages that wait to be sent over the present connection, or over the next. */
  get unsent(): number {
    return this.next - this.#toSend - this.#ahead.size;
  }

  /** Number of messages in memory. */
  get kept(): number {
    return this.#kept.size;
  }

  /** Bytes of the messages in memory. */
  get keptBytes(): number {
    return this.#bytes;
  }

  /** Returns the frame that opens the stream, or asks how far the server has got. The server answers it. */
  opening(): Outgoing {
    const first = this.isOpen && this.#toSend >= this.#oldest && this.#oldest > 1 ? { first: this.#oldest } : {};
    const fields = { template: 0, stream: this.stream, epoch: this.epoch, ...first };
    return this.#outgoing(MessageType.STREAM_TEMPLATE, fields, Flag.ACK_REQUIRED, 0);
  }

  /**
   * Gives a message its number, and keeps it to be sent. A new template gets the number before it.
   *
   * @param data its fields by their names on the wire
   * @param flags PRIORITY and ACK_REQUIRED
   * @param now in seconds of a monotonic clock
   * @param counts of an ECG_DATA whose samples travel as counts
   * @returns its frame
   * @throws TypeError | RangeError | ProtocolError if it cannot be encoded; then nothing has changed
   */
  write(type: MessageType, data: RecordFields, flags: number, now: number, counts?: ExactCounts): Outgoing {
    const mayBeRecord = this.#writesRecords && type === MessageType.ECG_DATA && !(flags & Flag.PRIORITY);
    const record = mayBeRecord && this.#records.recordOf(data, now, counts, this.#delta, this.#maxPayload);
    if (record) {
      if (record.isNew) this.#addTemplate(record.template, now);
      const template = this.#numbers.get(record.template.number) as number;
      return this.#keep(this.#outgoing(type, record.payload, flags, this.next, Form.RECORD), template);
    }
    return this.#keep(this.#outgoing(type, data, flags, this.next), null);
  }

  /**
   * Packs a message that is to be signed or sealed, and its template, if that is new. Each is then given to `keepTransformed`, in
   * order.
   *
   * @param isConstant whether the size must not depend on the samples: no filter, arrays in binary form
   * @throws TypeError | RangeError | ProtocolError if it cannot be packed
   */
  prepare(
    type: MessageType,
    data: RecordFields,
    flags: number,
    now: number,
    counts: ExactCounts | undefined,
    isConstant: boolean,
  ): Prepared[] {
    const mayBeRecord = this.#writesRecords && type === MessageType.ECG_DATA && !(flags & Flag.PRIORITY);
    const delta = this.#delta && !isConstant;
    const record = mayBeRecord && this.#records.recordOf(data, now, counts, delta, this.#maxPayload, true);
    if (!record) {
      const payload = this.#encoder.payload(type, data);
      return [{ type, form: 0, flags, payload, template: null, of: null }];
    }
    const { template, payload } = record;
    const unfiltered = delta ? template.withoutFilter(payload) : payload;
    const of = template.number;
    const prepared: Prepared = { type, form: Form.RECORD, flags, payload, unfiltered, template: null, of };
    if (!record.isNew) return [prepared];
    this.#records.writeWith(template, now);
    const before = { type: MessageType.STREAM_TEMPLATE, form: 0, flags: 0, payload: template.payload, of: null };
    return [{ ...before, template }, prepared];
  }

  /** Makes the templates of the records that follow anew. */
  renewTemplates(): void {
    this.#records.forgetTemplates();
  }

  /** Returns the payload compressed; undefined if it is not to be compressed. */
  deflate(payload: Uint8Array): Uint8Array | undefined {
    return this.#encoder.deflate(payload);
  }

  /**
   * Gives a prepared message its number, and keeps it to be sent.
   *
   * @param payload signed, compressed or sealed
   * @param transformed what was done with it: COMPRESSED, ENCRYPTED, SIGNED
   */
  keepTransformed({ type, form, flags, template, of }: Prepared, payload: Uint8Array, transformed: number): Outgoing {
    const timestamp = this.#clock.next();
    const options = {
      flags,
      timestamp,
      streamId: this.id,
      sequence: this.next,
      form: form | this.#classOf(type, flags),
    };
    const frame = this.#encoder.frameOf(type, payload, transformed, options);
    const outgoing = this.#outgoingOf(type, frame, flags, timestamp);
    if (template) {
      this.#templates.set(this.next, outgoing);
      this.#numbers.set(template.number, this.next);
    }
    return this.#keep(outgoing, of === null ? null : (this.#numbers.get(of) ?? null));
  }

  #addTemplate(template: Template, now: number): void {
    const outgoing = this.#outgoing(MessageType.STREAM_TEMPLATE, template.payload, 0, this.next);
    this.#records.writeWith(template, now);
    this.#templates.set(this.next, outgoing);
    this.#numbers.set(template.number, this.next);
    this.#keep(outgoing, null);
  }

  #outgoing(type: MessageType, data: unknown, flags: number, sequence: number, form = 0): Outgoing {
    const timestamp = this.#clock.next();
    // An opening is no message of the stream yet.
    const numbering = { streamId: this.id, sequence, form: sequence === 0 ? form : form | this.#classOf(type, flags) };
    const options = { flags, timestamp, ...numbering };
    const isPacked = type === MessageType.STREAM_TEMPLATE && data instanceof Uint8Array;
    const frame = isPacked ? this.#encoder.frame(type, data, options) : this.#encoder.encode(type, data, options);
    return this.#outgoingOf(type, frame, flags, timestamp);
  }

  #classOf(type: MessageType, flags: number): number {
    return type === MessageType.ANOMALY_ALERT || flags & Flag.PRIORITY ? 0 : this.#class;
  }

  #outgoingOf(type: MessageType, frame: Uint8Array<ArrayBuffer>, flags: number, timestamp: bigint): Outgoing {
    // Behind the data before it, whatever its type.
    const waits = type === MessageType.STREAM_TEMPLATE || type === MessageType.STREAM_ATTESTATION;
    const tier = tierOf(waits ? MessageType.ECG_DATA : type, flags);
    return {
      frame,
      type,
      timestamp,
      tier: tier === DATA && frame[19] & Form.BULK ? BULK : tier,
      acknowledged: (flags & Flag.ACK_REQUIRED) !== 0,
      deflated: (frame[2] & Flag.COMPRESSED) !== 0,
    };
  }

  #keep(outgoing: Outgoing, template: number | null): Outgoing {
    if (outgoing.tier === URGENT) this.#urgent.push(this.next);
    this.#kept.set(this.next++, { outgoing, template });
    this.#bytes += outgoing.frame.length;
    if (template !== null) this.#uses.set(template, (this.#uses.get(template) ?? 0) + 1);
    const { messages, bytes } = this.#memory;
    while (this.#kept.size > 1 && (this.#kept.size > messages || this.#bytes > bytes)) this.#dropOldest();
    this.#forgetTemplates();
    return outgoing;
  }

  #dropOldest(): void {
    const number = this.#oldest;
    const { outgoing, template } = this.#kept.get(number) as Kept;
    this.#kept.delete(number);
    this.#bytes -= outgoing.frame.length;
    if (template !== null) {
      const uses = (this.#uses.get(template) as number) - 1;
      if (uses) this.#uses.set(template, uses);
      else this.#uses.delete(template);
    }
    if (this.#urgent[0] === number) this.#urgent.shift();
  }

  /** Keeps the templates that are written with, and those of records in memory. */
  #forgetTemplates(): void {
    const old = [...this.#templates.keys()].slice(0, Math.max(0, this.#templates.size - TEMPLATES_IN_FORCE));
    for (const number of old) {
      if (this.#uses.has(number)) continue;
      this.#templates.delete(number);
      this.#sentTemplates.delete(number);
    }
    for (const [template, number] of this.#numbers) if (!this.#templates.has(number)) this.#numbers.delete(template);
  }

  // --- sending ---

  /** Notes that the connection is lost. */
  disconnected(): void {
    this.isOpen = false;
  }

  /**
   * Notes that the server has opened the stream over a new connection.
   *
   * @param next the number that it expects next
   * @param lost messages of the epoch that it passed over
   */
  opened(next: number, lost: number): void {
    this.isOpen = true;
    this.#noteLost(lost);
    this.confirmed = this.#toSend = Math.min(next, this.next);
    this.#ahead.clear();
    this.#sentTemplates.clear();
    this.#urgent = [...this.#kept]
      .filter(([number, { outgoing }]) => number >= this.#toSend && outgoing.tier === URGENT)
      .map(([number]) => number);
  }

  /** Notes how far the server has got over this connection. Parameters are those of `opened`. */
  confirm(next: number, lost: number): void {
    this.#noteLost(lost);
    this.confirmed = Math.max(this.confirmed, Math.min(next, this.next));
  }

  /**
   * Returns the frames of the next message to send: urgent messages first, a template before its first record. Empty if
   * none waits, or the stream is not open.
   */
  take(urgentOnly = false): Outgoing[] {
    if (!this.isOpen) return [];
    const urgent = this.#urgent.shift();
    if (urgent !== undefined) {
      this.#ahead.add(urgent);
      return [(this.#kept.get(urgent) as Kept).outgoing];
    }
    return urgentOnly ? [] : this.#takeInLine();
  }

  #takeInLine(): Outgoing[] {
    const frames = this.#toSend < this.#oldest ? this.#skipLost() : [];
    while (this.#ahead.delete(this.#toSend)) this.#toSend++;
    const number = this.#toSend;
    const kept = this.#kept.get(number);
    if (!kept) return frames;
    this.#toSend++;
    if (kept.template !== null && !this.#sentTemplates.has(kept.template)) {
      this.#sentTemplates.add(kept.template);
      frames.push(this.#templates.get(kept.template) as Outgoing);
    }
    if (this.#templates.has(number)) this.#sentTemplates.add(number);
    return [...frames, kept.outgoing];
  }

  /** Number of the oldest message in memory. */
  get #oldest(): number {
    return this.next - this.#kept.size;
  }

  /** Goes on to the oldest message in memory. Templates before it that are kept are sent in their place. */
  #skipLost(): Outgoing[] {
    const [first, oldest] = [this.#toSend, this.#oldest];
    const templates = [...this.#templates].filter(([number]) => number >= first && number < oldest);
    this.skipped = [first, oldest];
    this.#toSend = oldest;
    for (const number of [...this.#ahead]) if (number < oldest) this.#ahead.delete(number);
    for (const [number] of templates) this.#sentTemplates.add(number);
    return templates.map(([, outgoing]) => outgoing);
  }

  #noteLost(lost: number): void {
    if (lost < this.#lostHere) this.#lostBefore = this.lost; // it has forgotten what it had
    this.#lostHere = lost;
    this.lost = this.#lostBefore + lost;
  }
}

function encoderFor(settings: Settings, capabilities: ReadonlySet<Capability>, maxPayload: number): ProtocolHandler {
  return new ProtocolHandler({
    version: VERSION,
    maxPayload,
    compression: capabilities.has(Capability.COMPRESSION) ? settings.compression : null,
    ndarray: capabilities.has(Capability.NDARRAY_BIN) ? "binary" : "list",
  });
}

/** A random integer from 1 to 2^53 - 1. */
function randomEpoch(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return Math.max(1, (high % 2 ** 21) * 2 ** 32 + low) % (LARGEST_SEQUENCE + 1);
}
