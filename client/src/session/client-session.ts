import {
  checkedControl,
  type ErrorBody,
  type Offer,
  type SubscriptionAnswer,
  type VersionCheck,
} from "../codec/control-messages.js";
import { pack } from "../codec/messagepack-utils.js";
import { type Message, ProtocolHandler } from "../codec/protocol-handler.js";
import type { SendClock } from "../codec/send-clock.js";
import { ProtocolError } from "../errors.js";
import {
  Capability,
  CloseCode,
  DATA_TYPES,
  ECHO_GROWTH,
  ERROR_BUDGET,
  ERROR_WINDOW,
  ErrorCode,
  FLAG_SINCE,
  Flag,
  LARGEST_LENGTH,
  LAST_FATAL_CHECK,
  LONGEST_HEARTBEAT,
  LONGEST_TEXT,
  MAX_BATCH_FRAMES,
  MessageType,
  SHORTEST_HEARTBEAT,
  SILENT_INTERVALS,
  SMALL_ECHO,
  type Version,
} from "../protocol.js";
import { Seen, Unacknowledged, type Waiting } from "./acknowledgements.js";
import { choice, commonCapabilities, implied, usable } from "./negotiation.js";
import { type Outgoing, SendQueue, tierOf, understood } from "./outgoing.js";
import type { Settings } from "./settings.js";
import { microseconds, seconds } from "./timestamps.js";

/** What a session has to tell its owner. */
export type SessionEvent =
  | { kind: "negotiated"; version: Version; capabilities: ReadonlySet<Capability>; negotiated: boolean }
  | { kind: "received"; message: Message }
  | {
      kind: "answered";
      stream: string;
      status: SubscriptionAnswer["status"];
      code: number | null;
      /** The moment from which messages follow, where the server says so; microseconds since 1970. */
      from: bigint | null;
      timestamp: bigint | null;
    }
  | { kind: "acknowledged"; timestamp: bigint }
  | { kind: "undelivered"; timestamp: bigint; attempts: number }
  | { kind: "error"; code: number; message: string; details: unknown }
  | { kind: "refused"; error: ProtocolError }
  | { kind: "round-trip"; seconds: number; offset: number | null };

/** How a connection is to be closed. */
export interface Close {
  readonly code: CloseCode;
  readonly reason: string;
}

/** A message that is packed, and waits for a connection that tells how it is framed. */
export interface Packed {
  readonly type: MessageType;
  readonly flags: number;
  readonly timestamp: bigint;
  /** In list form, which every peer reads, if it may have to be sent over more than one connection. */
  readonly payload: Uint8Array | null;
  readonly data: unknown;
  /** How often it may be sent over one connection, where it is to be acknowledged. */
  readonly attempts: number;
}

const SAID_BEFORE_AGREEING: ReadonlySet<MessageType> = new Set([
  MessageType.PROTOCOL_NEGOTIATION,
  MessageType.VERSION_CHECK,
  MessageType.HEARTBEAT,
  MessageType.PING,
  MessageType.PONG,
  MessageType.ERROR,
]);

/** Pings whose answers are waited for; of more, the oldest count no more. */
const MOST_PINGS = 32;

/** What does not tell how the server talks; one that lets nobody in says ERROR and closes. */
const NO_BEGINNING: ReadonlySet<MessageType> = new Set([MessageType.PROTOCOL_NEGOTIATION, MessageType.ERROR]);

/**
 * The client's side of one connection: bytes in, events out; frames to send, and when to look again. No socket, no clock.
 *
 * `now` is in seconds of any clock that never goes back.
 */
export class ClientSession {
  /** In which this side sends; 1 until more is known. */
  version: Version = 1;
  /** That both sides have and the version can express. */
  capabilities: ReadonlySet<Capability> = new Set();
  /** Whether the server has said how it talks. */
  established = false;
  /** Whether it has done so by negotiating. */
  negotiated = false;
  /** How to close once nothing more is to be sent; null while the connection goes on. */
  closing: Close | null = null;
  framesReceived = 0;
  framesSent = 0;

  readonly #settings: Settings;
  readonly #clock: SendClock;
  readonly #receiver: ProtocolHandler;
  #sender: ProtocolHandler;
  /** The same within the limit that the server announced. */
  #dataSender: ProtocolHandler;
  readonly #queue = new SendQueue();
  readonly #unacknowledged: Unacknowledged;
  readonly #seen = new Seen();
  #errorTimes: number[] = [];
  #heartbeatInterval: number;
  /** Those under way, the oldest first: a link may take longer than the time between two. */
  #pings: { timestamp: bigint; at: number }[] = [];
  #asked = false;
  #hearing = 0;
  #heardAt = 0;
  #sentAt = 0;
  #giveUpWaitingAt = Number.POSITIVE_INFINITY;

  constructor(settings: Settings, clock: SendClock) {
    this.#settings = settings;
    this.#clock = clock;
    // What is said before both agree is said in version 1.
    this.#receiver = new ProtocolHandler({ maxPayload: settings.maxPayload, versions: [1, ...settings.versions] });
    this.#sender = this.#dataSender = this.#senderFor(1, new Set(), LARGEST_LENGTH);
    this.#unacknowledged = new Unacknowledged(settings.acknowledgementTimeout);
    this.#heartbeatInterval = settings.heartbeatInterval;
  }

  // --- what the owner's loop calls ---

  /** The connection stands: the client waits for the server's offer. */
  start(now: number): void {
    this.#heardAt = this.#sentAt = now;
    this.#giveUpWaitingAt = now + this.#settings.negotiationTimeout;
  }

  /** A binary WebSocket message came: one frame, or several laid end to end. Whatever it holds, nothing is thrown. */
  receive(bytes: Uint8Array, now: number): SessionEvent[] {
    this.#hear(now);
    this.#hearing = bytes.length;
    const events: SessionEvent[] = [];
    if (this.closing) return events;
    if (bytes.length === 0) {
      this.#refuse(invalid("a message without any frame", 1), now, events);
      return events;
    }
    let count = 0;
    for (const item of this.#receiver.decodeEach(bytes)) {
      this.#take(count++ < MAX_BATCH_FRAMES ? item : tooMany(), now, events);
      if (this.closing) break;
    }
    return events;
  }

  /** A text message came, which this protocol does not have; it costs itself, as an error. */
  receiveText(now: number): SessionEvent[] {
    this.#hear(now);
    const events: SessionEvent[] = [];
    if (!this.closing) this.#refuse(invalid("a text message came; this protocol is binary", null), now, events);
    return events;
  }

  /** When `tick` is next to be called, unless something happens before. */
  deadline(): number {
    if (this.closing) return Number.POSITIVE_INFINITY;
    return Math.min(
      this.#silentAfter(this.#asked ? SILENT_INTERVALS : SILENT_INTERVALS - 1),
      this.#sentAt + this.#heartbeatInterval,
      this.#unacknowledged.deadline(),
      this.established ? Number.POSITIVE_INFINITY : this.#giveUpWaitingAt,
    );
  }

  /** Does what is due: heartbeats, messages to send again, a silent server to ask and then to give up. */
  tick(now: number): SessionEvent[] {
    const events: SessionEvent[] = [];
    if (this.closing) return events;
    if (!this.established && now >= this.#giveUpWaitingAt) {
      this.#assume(Math.min(...this.#settings.versions) as Version, events);
    }
    if (now >= this.#silentAfter(SILENT_INTERVALS)) {
      this.#abandon(CloseCode.INTERNAL, `not a word for ${Math.round(now - this.#heardAt)} s`);
      return events;
    }
    for (const waiting of this.#unacknowledged.due(now)) this.#sendAgain(waiting, events);
    if (!this.#asked && now >= this.#silentAfter(SILENT_INTERVALS - 1)) {
      this.#asked = true; // an old server may have nothing to say, and answers all the same
      this.#say(MessageType.PING, null);
    }
    if (!this.#queue.frames && now >= this.#sentAt + this.#heartbeatInterval) this.#say(MessageType.HEARTBEAT, null);
    return events;
  }

  /** The next WebSocket message to send: a frame, or several where both sides can batch; undefined when none waits. */
  nextMessage(now: number): Uint8Array<ArrayBuffer> | undefined {
    const first = this.#queue.pop();
    if (!first) return undefined;
    const batches = this.capabilities.has(Capability.BATCH);
    const batch = batches ? this.#queue.popBatch(first, this.#settings.batchBytes) : [first];
    this.#sentAt = now;
    this.framesSent += batch.length;
    for (const outgoing of batch) if (outgoing.acknowledged) this.#unacknowledged.sent(outgoing, now);
    return batch.length === 1 ? first.frame : joined(batch);
  }

  /** Whether a message of the application's may be added. */
  get hasRoom(): boolean {
    return (
      !this.closing &&
      this.#queue.frames < this.#settings.queueFrames / 2 &&
      this.#unacknowledged.size < this.#settings.maxUnacknowledged
    );
  }

  /** The connection is gone: what nobody acknowledged is given up over it. */
  lost(): SessionEvent[] {
    const events: SessionEvent[] = this.#unacknowledged
      .clear()
      .map(({ outgoing, attempts }) => ({ kind: "undelivered", timestamp: outgoing.timestamp, attempts }));
    this.#abandon(CloseCode.GOING_AWAY, "the connection is gone");
    return events;
  }

  // --- what the application calls ---

  /** Lets a data message wait to be sent. Flags that the server does not understand are left out. */
  send(message: Packed): void {
    this.#put(
      message.type,
      message.payload ?? message.data,
      message.flags,
      message.timestamp,
      message.payload !== null,
    );
  }

  /** The application has the message; the server is told if it asked for that. */
  acknowledge(message: Message): void {
    if (!(message.flags & Flag.ACK_REQUIRED) || message.timestamp === null) return;
    this.#seen.handOver(message.timestamp);
    this.#say(MessageType.PONG, { ack: message.timestamp, type: message.type });
  }

  /** Asks for a stream, from behind the message that an integer names, or behind a moment; an answer follows. */
  subscribe(stream: string, since: bigint | Date | null): void {
    const wanted = typeof since === "bigint" ? seconds(since) : since;
    this.#say(MessageType.SUBSCRIBE, wanted === null ? { stream } : { stream, since: wanted });
  }

  /** Gives a stream up; an answer follows. */
  unsubscribe(stream: string): void {
    this.#say(MessageType.UNSUBSCRIBE, { stream });
  }

  /** Asks for a PONG. */
  ping(now: number): void {
    const timestamp = this.#clock.next();
    this.#pings = [...this.#pings.slice(1 - MOST_PINGS), { timestamp, at: now }];
    this.#say(MessageType.PING, { ping: timestamp });
  }

  /** Closes the connection once urgent and control messages have left; data that waits is let go. */
  end(code: CloseCode = CloseCode.NORMAL, reason = ""): void {
    if (this.closing) return;
    this.#queue.letDataGo();
    this.closing = { code, reason };
  }

  // --- receiving ---

  #hear(now: number): void {
    this.#heardAt = now;
    this.#asked = false;
  }

  #silentAfter(intervals: number): number {
    return this.#heardAt + intervals * this.#heartbeatInterval;
  }

  #take(item: Message | ProtocolError, now: number, events: SessionEvent[]): void {
    try {
      if (item instanceof ProtocolError) throw item;
      this.#accept(item, now, events);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#refuse(error, now, events);
    }
  }

  #accept(message: Message, now: number, events: SessionEvent[]): void {
    const { type, version } = message;
    const spoken = this.#settings.versions.includes(version);
    if (!spoken && !(version === 1 && SAID_BEFORE_AGREEING.has(type))) {
      const text = `a V${version} frame; spoken here: ${this.#settings.versions.join(", ")}`;
      throw new ProtocolError(ErrorCode.INVALID_PROTOCOL_VERSION, text, { check: 2 });
    }
    const data = checkedControl(type, message.data);
    this.framesReceived++;
    if (spoken && !this.established && !NO_BEGINNING.has(type)) this.#assume(version, events);
    if (this.#cameAlready(message)) return;
    if (DATA_TYPES.has(type)) {
      events.push({ kind: "received", message });
    } else {
      this.#control(message, data, now, events);
      this.acknowledge(message);
    }
  }

  /** Whether it was sent again. If the application has it, the acknowledgement is sent again, too. */
  #cameAlready(message: Message): boolean {
    const { timestamp } = message;
    if (timestamp === null || !(message.flags & Flag.ACK_REQUIRED)) return false;
    if (!this.#seen.has(timestamp)) {
      this.#seen.add(timestamp);
      return false;
    }
    if (this.#seen.isHandedOver(timestamp)) this.acknowledge(message);
    return true;
  }

  #control(message: Message, data: unknown, now: number, events: SessionEvent[]): void {
    switch (message.type) {
      case MessageType.PING:
        this.#onPing(data);
        break;
      case MessageType.PONG:
        this.#onPong(data, message, now, events);
        break;
      case MessageType.ERROR:
        this.#onError(data as ErrorBody, events);
        break;
      case MessageType.VERSION_CHECK:
        this.#onVersionCheck(data as VersionCheck);
        break;
      case MessageType.PROTOCOL_NEGOTIATION:
        this.#onNegotiation(data as Offer, events);
        break;
      case MessageType.SUBSCRIPTION_ACK:
        this.#onSubscriptionAck(data as SubscriptionAnswer, message, events);
        break;
      case MessageType.SUBSCRIBE:
      case MessageType.UNSUBSCRIBE: {
        const text = "a client has no streams to subscribe to";
        throw new ProtocolError(ErrorCode.PERMISSION_DENIED, text, { check: 12 });
      }
    }
  }

  /** The same payload goes back, unless it would take much more room than it did: the list form may. */
  #onPing(data: unknown): void {
    const maxPayload = Math.min(Math.max(SMALL_ECHO, ECHO_GROWTH * this.#hearing), this.#settings.maxPayload);
    const ndarray = this.capabilities.has(Capability.NDARRAY_BIN) ? "binary" : "list";
    let room: Uint8Array;
    try {
      room = pack(data, { maxPayload, ndarray });
    } catch {
      const text = "this PING has a payload that cannot be sent back";
      throw new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, text);
    }
    this.#put(MessageType.PONG, ndarray === "list" ? room : data, 0, this.#clock.next(), ndarray === "list");
  }

  #onPong(data: unknown, message: Message, now: number, events: SessionEvent[]): void {
    if (data === null || typeof data !== "object") return;
    const { ack, ping } = data as { ack?: unknown; ping?: unknown };
    const acknowledged = timestampOf(ack);
    if (acknowledged !== null) {
      if (this.#unacknowledged.acknowledged(acknowledged))
        events.push({ kind: "acknowledged", timestamp: acknowledged });
    } else {
      const echoed = timestampOf(ping);
      const sent = this.#pings.find(({ timestamp }) => timestamp === echoed);
      if (!sent) return;
      this.#pings = this.#pings.filter(({ timestamp }) => timestamp > sent.timestamp);
      const elapsed = now - sent.at;
      const ahead = message.timestamp === null ? null : seconds(message.timestamp - sent.timestamp);
      events.push({ kind: "round-trip", seconds: elapsed, offset: ahead === null ? null : ahead - elapsed / 2 });
    }
  }

  #onError(data: ErrorBody, events: SessionEvent[]): void {
    events.push({ kind: "error", code: Number(data.code), message: data.message, details: data.details });
  }

  /** Says whether a version is spoken here; what is an answer itself is not answered. */
  #onVersionCheck({ version, compatible }: VersionCheck): void {
    if (compatible !== undefined) return;
    const versions = [...this.#settings.versions].sort();
    const isSpoken = versions.some((spoken) => spoken === Number(version));
    this.#say(MessageType.VERSION_CHECK, { version, compatible: isSpoken, versions });
  }

  #onNegotiation(data: Offer, events: SessionEvent[]): void {
    if (this.negotiated) throw invalid("version and capabilities are agreed already; they hold to the end", 12);
    if (data.versions === undefined) throw invalid("a server offers a list of versions, not one", 12);
    const answer = choice(this.#settings, data);
    // The answer travels in a V1 frame, also where another version was assumed.
    this.version = 1;
    this.#sender = this.#senderFor(1, new Set(), LARGEST_LENGTH);
    this.#say(MessageType.PROTOCOL_NEGOTIATION, answer);
    if (data.heartbeat_interval !== undefined) {
      const announced = Number(data.heartbeat_interval);
      this.#heartbeatInterval = Math.min(Math.max(announced, SHORTEST_HEARTBEAT), LONGEST_HEARTBEAT);
    }
    this.#establish(answer.version, commonCapabilities(this.#settings, data), true, events);
    if (data.max_payload !== undefined) {
      const most = Math.min(Number(data.max_payload), LARGEST_LENGTH);
      this.#dataSender = this.#senderFor(this.version, this.capabilities, most);
    }
  }

  #onSubscriptionAck(data: SubscriptionAnswer, message: Message, events: SessionEvent[]): void {
    events.push({
      kind: "answered",
      stream: data.stream,
      status: data.status,
      code: data.code === undefined ? null : Number(data.code),
      from: data.from === undefined ? null : microseconds(data.from),
      timestamp: message.timestamp,
    });
  }

  // --- agreeing ---

  /** Takes the server for an old one that talks in that version and does not negotiate. */
  #assume(version: Version, events: SessionEvent[]): void {
    this.#establish(version, implied(this.#settings, version), false, events);
  }

  #establish(version: Version, capabilities: Set<Capability>, negotiated: boolean, events: SessionEvent[]): void {
    this.version = version;
    this.capabilities = usable(capabilities, version);
    this.#sender = this.#senderFor(version, this.capabilities, LARGEST_LENGTH);
    this.#dataSender = this.#senderFor(version, this.capabilities, this.#settings.maxPayload);
    this.established = true;
    this.negotiated = negotiated;
    events.push({ kind: "negotiated", version, capabilities: this.capabilities, negotiated });
  }

  #senderFor(version: Version, capabilities: ReadonlySet<Capability>, maxPayload: number): ProtocolHandler {
    const inflates = capabilities.has(Capability.COMPRESSION) && version >= FLAG_SINCE[Flag.COMPRESSED];
    return new ProtocolHandler({
      version,
      maxPayload,
      compression: inflates ? this.#settings.compression : null,
      ndarray: capabilities.has(Capability.NDARRAY_BIN) ? "binary" : "list",
    });
  }

  // --- errors ---

  /** Tells both sides, and closes where no trust is left or the server was wrong too often. */
  #refuse(error: ProtocolError, now: number, events: SessionEvent[]): void {
    events.push({ kind: "refused", error });
    const message = error.message.slice(0, LONGEST_TEXT).toWellFormed();
    this.#say(MessageType.ERROR, { code: error.code, message });
    this.#errorTimes = [...this.#errorTimes.filter((time) => now - time <= ERROR_WINDOW), now];
    const isFatal = error.check !== null && error.check <= LAST_FATAL_CHECK;
    if (isFatal && error.code === ErrorCode.MESSAGE_TOO_LARGE) this.end(CloseCode.TOO_LARGE, message);
    else if (isFatal || this.#errorTimes.length >= ERROR_BUDGET) this.end(CloseCode.PROTOCOL_ERROR, message);
  }

  /** Closes at once: the server takes nothing, or is no longer there. */
  #abandon(code: CloseCode, reason: string): void {
    this.#queue.clear();
    this.closing ??= { code, reason };
  }

  // --- sending ---

  /** Sends a control message. No limit of size applies: it is small. */
  #say(type: MessageType, data: unknown): void {
    this.#put(type, data, 0, this.#clock.next(), false);
  }

  #put(type: MessageType, content: unknown, wanted: number, timestamp: bigint, packed: boolean, attempts = 1): void {
    if (this.closing) return;
    const flags = understood(wanted, this.version, this.capabilities);
    const options = { flags, ...(this.version >= 3 ? { timestamp } : {}) };
    const sender = DATA_TYPES.has(type) ? this.#dataSender : this.#sender;
    const frame = packed ? sender.frame(type, content as Uint8Array, options) : sender.encode(type, content, options);
    const outgoing: Outgoing = {
      frame,
      type,
      timestamp,
      tier: tierOf(type, wanted),
      acknowledged: (flags & Flag.ACK_REQUIRED) !== 0,
      deflated: this.version >= FLAG_SINCE[Flag.COMPRESSED] && (frame[2] & Flag.COMPRESSED) !== 0,
    };
    if (outgoing.acknowledged) this.#unacknowledged.add(outgoing, attempts);
    this.#enqueue(outgoing);
  }

  #enqueue(outgoing: Outgoing): void {
    this.#queue.put(outgoing);
    if (this.#queue.frames > this.#settings.queueFrames) {
      this.#abandon(CloseCode.TRY_LATER, `${this.#queue.frames} frames wait to be sent`);
    }
  }

  #sendAgain(waiting: Waiting, events: SessionEvent[]): void {
    const { timestamp } = waiting.outgoing;
    if (waiting.attempts >= waiting.most) {
      this.#unacknowledged.acknowledged(timestamp);
      events.push({ kind: "undelivered", timestamp, attempts: waiting.attempts });
    } else {
      this.#enqueue(waiting.outgoing);
    }
  }
}

function invalid(text: string, check: number | null): ProtocolError {
  return new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, text, check === null ? {} : { check });
}

function tooMany(): ProtocolError {
  const text = `more than ${MAX_BATCH_FRAMES} frames in one message`;
  return new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, text, { check: 4 });
}

/** A timestamp as packers write it: an integer, or a float of the same value. */
function timestampOf(value: unknown): bigint | null {
  if (typeof value === "bigint") return value;
  return typeof value === "number" && Number.isInteger(value) ? BigInt(value) : null;
}

function joined(batch: readonly Outgoing[]): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(batch.reduce((size, { frame }) => size + frame.length, 0));
  let at = 0;
  for (const { frame } of batch) {
    message.set(frame, at);
    at += frame.length;
  }
  return message;
}
