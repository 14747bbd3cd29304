import { wireFields } from "../codec/ecg-data.js";
import { pack } from "../codec/messagepack-utils.js";
import type { Compression, Message } from "../codec/protocol-handler.js";
import { SendClock } from "../codec/send-clock.js";
import { ProtocolError } from "../errors.js";
import {
  type Capability,
  CloseCode,
  DATA_TYPES,
  Flag,
  LATEST_VERSION,
  type MessageType,
  VERSIONS,
  type Version,
} from "../protocol.js";
import type { Packed, SessionEvent } from "../session/client-session.js";
import { DEFAULT_SETTINGS, EVERYTHING, type Settings } from "../session/settings.js";
import { Backoff, type BackoffOptions, ConnectionLost, DEFAULT_BACKOFF, isFinal } from "./backoff.js";
import { ClockOffset } from "./clock-offset.js";
import { Connection, type ConnectionOwner, type Ending, type WebSocketConstructor } from "./connection.js";
import type { Gap } from "./cursor.js";
import { callSafely, Emitter } from "./emitter.js";
import { Outbox } from "./outbox.js";
import type { StreamCallback, StreamMessage, SubscribeOptions, Subscription } from "./subscription.js";
import { Subscriptions, type SubscriptionsOwner } from "./subscriptions.js";

export { Capability, CloseCode, ErrorCode, Flag, MessageType } from "../protocol.js";

/** What this side can do, and what it puts up with. Times are in milliseconds. */
export interface ServiceOptions {
  /** Protocol versions that it speaks. */
  readonly versions?: readonly Version[];
  /** What it has, of what a server offers; everything by default. */
  readonly capabilities?: Iterable<Capability>;
  /** Bytes of a payload that it accepts, as it travels and inflated. */
  readonly maxPayload?: number;
  /** After so long without anything sent, a HEARTBEAT goes out; a server's own interval takes its place. */
  readonly heartbeatInterval?: number;
  /** How long the WebSocket may take to open. */
  readonly connectTimeout?: number;
  /** How long to wait for the server's first word before it is taken for an old one. */
  readonly negotiationTimeout?: number;
  /** After how long a message that nobody acknowledged is sent again, and how often it is sent in all. */
  readonly acknowledgementTimeout?: number;
  readonly acknowledgementAttempts?: number;
  /** When to deflate, towards servers that can inflate; null for never. */
  readonly compression?: Compression | null;
  /** How a connection that breaks is replaced; false for not at all. */
  readonly reconnect?: Partial<BackoffOptions> | false;
  /** What may wait for a connection. */
  readonly outbox?: { readonly messages?: number; readonly bytes?: number };
  /**
   * Subprotocols to offer, such as `["ecgframe", "bearer." + token]`: what a browser can send in place of an
   * `Authorization` header. A function is called for each connection, so that a token can be a fresh one.
   */
  readonly protocols?: readonly string[] | (() => readonly string[]);
  /** The class of WebSocket, where there is no global one. */
  readonly WebSocket?: WebSocketConstructor;
}

export interface SendOptions {
  /** It overtakes what waits. */
  readonly priority?: boolean;
  /** It goes to every client; the server decides who may. */
  readonly broadcast?: boolean;
  /** It is sent until the server's application has it, over the next connection too; it may then have it twice. */
  readonly acknowledged?: boolean;
}

/** What both sides agreed on. */
export interface Negotiated {
  readonly version: Version;
  readonly capabilities: ReadonlySet<Capability>;
  /** False for a server of old that did not negotiate. */
  readonly negotiated: boolean;
}

/**
 * `idle` before `connect`, `connecting` until both sides can talk for the first time, `reconnecting` from the end of a
 * connection to the next that stands, `closed` when there will be no other.
 */
export type ServiceState = "idle" | "connecting" | "open" | "reconnecting" | "closed";

export interface Statistics {
  readonly framesReceived: number;
  readonly bytesReceived: number;
  readonly framesSent: number;
  readonly bytesSent: number;
  readonly reconnections: number;
  /** Frames that the server says it dropped since they were not taken fast enough. */
  readonly droppedByServer: number;
  /** Frames of the server's that were not accepted. */
  readonly refused: number;
  /** When something was last heard of the server, milliseconds since 1970. */
  readonly lastHeard: number | null;
  /** Seconds that the last round trip took. */
  readonly roundTrip: number | null;
  /** The server's clock minus ours, in seconds; null if the server has not said, or our clock was set since. */
  readonly clockOffset: number | null;
  /** By how many seconds `clockOffset` may be wrong. */
  readonly clockError: number | null;
}

export interface ServiceEvents {
  state: { readonly state: ServiceState; readonly previous: ServiceState };
  negotiated: Negotiated;
  /** Every data message, once; those of followed streams as well. */
  message: Message;
  /** What the server says was wrong, or what was wrong in its `frame`, or why a connection could not be had. */
  error: { readonly error: Error; readonly frame?: Uint8Array };
  /** A WebSocket message as it passed: a frame, or several end to end. `at` is in milliseconds since 1970. */
  frame: { readonly direction: "in" | "out"; readonly bytes: Uint8Array; readonly at: number };
  /**
   * A stream was granted, the first time or again; `from` is in microseconds since 1970, by the server's clock.
   *
   * Without `since`, the first time: the moment from which this viewer gets everything, and nothing is lost; null where
   * the server does not say. Afterwards, and with `since`: null where the server vouches that nothing is missing, or
   * does not resume; else the moment from which it sends everything, and what is lost before it is told by `loss`.
   */
  subscribed: { readonly stream: string; readonly from: bigint | null };
  /** Messages of a followed stream that cannot be had any more, at the place where they are missing. */
  loss: Gap;
}

const DEFAULT_OUTBOX = { messages: 1024, bytes: 4 * 1024 * 1024 };
const CONNECT_TIMEOUT = 10;

/**
 * The client of one server, over any number of connections, one after the other.
 *
 * A connection that breaks is replaced by itself, and the subscriptions go on where they were: each message comes once
 * and in order, and what is lost for good is told.
 */
export class WebSocketBinaryService {
  readonly #settings: Settings;
  readonly #backoff: BackoffOptions | null;
  readonly #connectTimeout: number;
  readonly #WebSocket: WebSocketConstructor | undefined;
  readonly #protocols: () => readonly string[];
  readonly #clock = new SendClock();
  readonly #events = new Emitter<ServiceEvents>();
  readonly #subscriptions: Subscriptions;
  readonly #outbox: Outbox;
  readonly #owner: ConnectionOwner;
  #url = "";
  #state: ServiceState = "idle";
  #negotiated: Negotiated | null = null;
  #connection: Connection | null = null;
  #delays: Backoff | null = null;
  #offset = new ClockOffset();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #nextAttempt: number | null = null;
  #opening: { resolve: (negotiated: Negotiated) => void; reject: (error: Error) => void } | null = null;
  #closed: (() => void)[] = [];
  #pongs: ((seconds: number | null) => void)[] = [];
  readonly #hurry = () => this.reconnect();
  #counts = {
    framesReceived: 0,
    bytesReceived: 0,
    framesSent: 0,
    bytesSent: 0,
    connections: 0,
    droppedByServer: 0,
    refused: 0,
    lastHeard: null as number | null,
  };

  constructor(options: ServiceOptions = {}) {
    this.#settings = settingsOf(options);
    this.#backoff = options.reconnect === false ? null : { ...DEFAULT_BACKOFF, ...options.reconnect };
    const protocols = options.protocols ?? [];
    this.#protocols = typeof protocols === "function" ? protocols : () => protocols;
    this.#connectTimeout = (options.connectTimeout ?? 1000 * CONNECT_TIMEOUT) / 1000;
    this.#WebSocket = options.WebSocket ?? (globalThis.WebSocket as unknown as WebSocketConstructor | undefined);
    this.#outbox = new Outbox(this.#settings.acknowledgementAttempts, { ...DEFAULT_OUTBOX, ...options.outbox });
    this.#subscriptions = new Subscriptions(this.#subscriptionsOwner());
    this.#owner = this.#connectionOwner();
  }

  get state(): ServiceState {
    return this.#state;
  }

  /** When the next connection is tried, in milliseconds since 1970; null where none is waited for. */
  get nextAttempt(): number | null {
    return this.#nextAttempt;
  }

  /** What was agreed on with the server; null without a connection. */
  get negotiated(): Negotiated | null {
    return this.#negotiated;
  }

  /** Counters over all connections, and what is measured. */
  get statistics(): Statistics {
    const { connections, ...counts } = this.#counts;
    return {
      ...counts,
      framesReceived: counts.framesReceived + (this.#connection?.session.framesReceived ?? 0),
      framesSent: counts.framesSent + (this.#connection?.session.framesSent ?? 0),
      reconnections: Math.max(0, connections - 1),
      roundTrip: this.#offset.roundTrip,
      clockOffset: this.#offset.seconds,
      clockError: this.#offset.error,
    };
  }

  /** Has a function called with each event of that name; the function returned ends it. */
  on<Name extends keyof ServiceEvents>(event: Name, listener: (event: ServiceEvents[Name]) => void): () => void {
    return this.#events.on(event, listener);
  }

  // --- opening and closing ---

  /**
   * Connects, and agrees with the server on how to talk. From then on a connection that breaks is replaced by itself.
   *
   * The first one is not tried twice.
   *
   * @param url "ws://..." or "wss://..."
   * @throws ConnectionLost where there is no connection to be had, or the server does not let this client in
   */
  connect(url: string): Promise<Negotiated> {
    if (this.#state !== "idle" && this.#state !== "closed") {
      return Promise.reject(new Error(`the service is ${this.#state}; it has one connection at a time`));
    }
    if (!this.#WebSocket) return Promise.reject(new Error("there is no global WebSocket: give one in the options"));
    this.#url = url;
    this.#delays = this.#backoff && new Backoff(this.#backoff);
    this.#counts.connections = 0;
    return new Promise((resolve, reject) => {
      this.#opening = { resolve, reject };
      this.#enter("connecting");
      this.#open();
    });
  }

  /** Closes the connection, behind what waits to be sent. Fulfilled once it is closed; there is no need to wait. */
  close(code: CloseCode = CloseCode.NORMAL, reason = ""): Promise<void> {
    if (this.#state === "closed") return Promise.resolve();
    const closed = new Promise<void>((resolve) => this.#closed.push(resolve));
    if (this.#connection) this.#connection.end(code, reason);
    else this.#finish(new ConnectionLost("the service is closed"));
    return closed;
  }

  /** Connects anew at once: in place of a connection that says nothing any more, or of waiting for the next attempt. */
  reconnect(): void {
    if (this.#state === "open") this.#connection?.drop();
    if (this.#state !== "reconnecting" || this.#connection) return;
    clearTimeout(this.#timer);
    this.#open();
  }

  // --- receiving ---

  /**
   * Follows a stream. It may be asked for before there is a connection, and is asked for again over each one.
   *
   * After a broken connection the server sends again what came after the last message here; its own memory bounds how
   * far that goes back. What is lost for good is told by `loss`, and to `onGap`, where the server's clock was set
   * meanwhile, too. Over versions 1 and 2, messages have no timestamps, and the stream goes on by the server's clock as
   * it is counted on here: approximately, and some may come twice.
   *
   * @throws Error where the name is none, or the stream is followed already
   */
  subscribe(stream: string, callback: StreamCallback, options: SubscribeOptions = {}): Subscription {
    return this.#subscriptions.subscribe(stream, callback, options);
  }

  // --- sending ---

  /**
   * Sends a data message.
   *
   * `samplingRate`, `deviceId` and `patientId` become the wire's `sampling_rate`, `device_id` and `patient_id`, and
   * numbers in `timestamp`, `start` and `end` are milliseconds here and seconds there. Without a connection it waits for
   * the next one. A message that was on its way when a connection broke is lost, unless it is to be `acknowledged`.
   *
   * @returns its timestamp in microseconds since 1970, once it has left, or once the server's application has it where
   *   it is to be `acknowledged`. There is no need to wait for it: what goes wrong is told by `error` as well.
   * @throws TypeError | RangeError | ProtocolError at once, for a message that cannot be sent
   */
  sendMessage(type: MessageType, data: Readonly<Record<string, unknown>>, options: SendOptions = {}): Promise<bigint> {
    if (!DATA_TYPES.has(type)) throw new RangeError(`message type ${type} is the service's own to send`);
    const flags =
      (options.priority ? Flag.PRIORITY : 0) |
      (options.broadcast ? Flag.BROADCAST : 0) |
      (options.acknowledged ? Flag.ACK_REQUIRED : 0);
    const timestamp = this.#clock.next();
    const attempts = this.#settings.acknowledgementAttempts;
    const sent = this.#send({ type, flags, timestamp, attempts, payload: null, data: wireFields(data) });
    sent.catch((error: Error) => this.#events.emit("error", { error }));
    return sent;
  }

  #send(message: Packed): Promise<bigint> {
    const connection = this.#connection;
    if (!(message.flags & Flag.ACK_REQUIRED) && this.#outbox.isEmpty && connection?.hasRoom) {
      connection.session.send(message);
      connection.stir();
      return Promise.resolve(message.timestamp);
    }
    // In list form, which any server reads that it may have to be sent to.
    const payload = pack(message.data, { maxPayload: this.#settings.maxPayload });
    if (this.#state === "closed") return Promise.reject(new ConnectionLost("the service is closed"));
    const sent = this.#outbox.put({ ...message, payload, data: null });
    this.#pump();
    return sent;
  }

  #pump(): void {
    if (!this.#connection) return;
    this.#outbox.fill(this.#connection);
    this.#connection.stir();
  }

  /** Asks the server for an answer: seconds of the round trip. @throws ConnectionLost where none can come */
  async ping(): Promise<number> {
    if (this.#state !== "open" || !this.#connection) throw new ConnectionLost("there is no connection");
    const pong = new Promise<number | null>((resolve) => this.#pongs.push(resolve));
    this.#connection.ping();
    const seconds = await pong;
    if (seconds === null) throw new ConnectionLost("the connection went before the server answered");
    return seconds;
  }

  // --- the connection ---

  #open(): void {
    this.#nextAttempt = null;
    try {
      this.#connection = new Connection(
        this.#url,
        this.#protocols(),
        this.#WebSocket as WebSocketConstructor,
        this.#settings,
        this.#clock,
        this.#connectTimeout,
        this.#owner,
      );
    } catch (error) {
      this.#finish(new ConnectionLost((error as Error).message)); // not a URL, or no subprotocols, that a WebSocket takes
    }
  }

  #connectionOwner(): ConnectionOwner {
    return {
      heed: (event, bytes) => this.#heed(event, bytes),
      passed: (direction, bytes) => this.#passed(direction, bytes),
      drained: () => this.#drained(),
      ended: (ending) => this.#ended(ending),
    };
  }

  #passed(direction: "in" | "out", bytes: Uint8Array): void {
    if (direction === "in") {
      this.#counts.bytesReceived += bytes.length;
      this.#counts.lastHeard = Date.now();
    } else {
      this.#counts.bytesSent += bytes.length;
    }
    if (this.#events.has("frame")) this.#events.emit("frame", { direction, bytes, at: Date.now() });
  }

  #drained(): void {
    if (!this.#outbox.isEmpty && this.#connection?.hasRoom) queueMicrotask(() => this.#pump());
  }

  #ended({ code, reason, said, lasted, opened }: Ending): void {
    const connection = this.#connection;
    this.#counts.framesReceived += connection?.session.framesReceived ?? 0;
    this.#counts.framesSent += connection?.session.framesSent ?? 0;
    this.#connection = null;
    this.#negotiated = null;
    this.#subscriptions.disconnected();
    for (const resolve of this.#pongs.splice(0)) resolve(null);
    const text = said && said.message !== reason ? `${reason} (${said.message})` : reason;
    const lost = new ConnectionLost(opened ? text || `closed with ${code}` : `no connection: ${text}`, code, said);
    const isWanted = this.#closed.length > 0;
    if (isWanted || !this.#delays || !this.#counts.connections || (code !== null && isFinal(code, said))) {
      this.#finish(isWanted ? new ConnectionLost("the service is closed") : lost);
      return;
    }
    const pause = this.#delays.pause(lasted, code !== null || !opened);
    this.#nextAttempt = Date.now() + pause;
    this.#timer = setTimeout(() => this.#open(), pause);
    this.#enter("reconnecting");
  }

  /** There will be no other connection. */
  #finish(error: ConnectionLost): void {
    clearTimeout(this.#timer);
    this.#nextAttempt = null;
    const isWanted = this.#closed.length > 0;
    const opening = this.#opening;
    this.#opening = null;
    this.#outbox.end(error);
    this.#subscriptions.end(error);
    this.#enter("closed");
    for (const resolve of this.#closed.splice(0)) resolve();
    if (opening) opening.reject(error);
    else if (!isWanted) this.#events.emit("error", { error });
  }

  #enter(state: ServiceState): void {
    const previous = this.#state;
    if (state === previous) return;
    this.#state = state;
    // A browser knows when it is worth while to try again.
    if (state === "connecting") globalThis.addEventListener?.("online", this.#hurry);
    if (state === "closed") globalThis.removeEventListener?.("online", this.#hurry);
    this.#events.emit("state", { state, previous });
  }

  // --- events of the session ---

  #heed(event: SessionEvent, bytes: Uint8Array | null): void {
    switch (event.kind) {
      case "negotiated":
        this.#onNegotiated(event);
        break;
      case "received":
        this.#onReceived(event.message);
        break;
      case "answered":
        this.#subscriptions.answered(event);
        break;
      case "acknowledged":
        this.#outbox.acknowledged(event.timestamp);
        break;
      case "undelivered":
        this.#outbox.undelivered(event.timestamp, event.attempts);
        break;
      case "error":
        if (!this.#subscriptions.noticed(event)) {
          this.#events.emit("error", { error: new ProtocolError(event.code, event.message) });
        }
        break;
      case "refused":
        this.#counts.refused++;
        this.#events.emit("error", { error: event.error, ...(bytes ? { frame: bytes } : {}) });
        break;
      case "round-trip":
        this.#offset.add(event);
        for (const resolve of this.#pongs.splice(0)) resolve(event.seconds);
        break;
    }
  }

  #onNegotiated({ version, capabilities, negotiated }: Extract<SessionEvent, { kind: "negotiated" }>): void {
    const connection = this.#connection as Connection;
    this.#negotiated = { version, capabilities, negotiated };
    this.#offset = new ClockOffset();
    if (this.#state !== "open") this.#counts.connections++; // a server may negotiate after it was taken for an old one
    this.#subscriptions.connected(connection);
    this.#enter("open");
    this.#events.emit("negotiated", this.#negotiated);
    this.#opening?.resolve(this.#negotiated);
    this.#opening = null;
    this.#outbox.fill(connection);
  }

  #onReceived(message: Message): void {
    const connection = this.#connection as Connection;
    const { followed, isNew } = this.#subscriptions.take(message);
    if (!isNew) {
      connection.session.acknowledge(message);
      return;
    }
    let isTaken = this.#events.has("message");
    if (followed) {
      isTaken = false;
      callSafely(() => {
        const done = followed.callback(message as StreamMessage);
        if (isThenable(done)) done.then(() => this.#acknowledge(connection, message), reportLater);
        else isTaken = true; // whatever it returned
      });
    }
    this.#events.emit("message", message);
    if (isTaken) connection.session.acknowledge(message);
  }

  /** The application has the message, some time after it came. */
  #acknowledge(connection: Connection, message: Message): void {
    connection.session.acknowledge(message);
    connection.stir();
  }

  #subscriptionsOwner(): SubscriptionsOwner {
    return {
      granted: (stream, from) => this.#events.emit("subscribed", { stream, from }),
      denied: (error) => this.#events.emit("error", { error }),
      lost: (gap) => {
        this.#counts.droppedByServer += gap.frames ?? 0;
        this.#events.emit("loss", gap);
      },
      pauseBefore: (attempt) => {
        const { initialDelay, maxDelay, factor } = this.#backoff ?? DEFAULT_BACKOFF;
        return Math.min(maxDelay, initialDelay * factor ** attempt);
      },
    };
  }
}

function settingsOf(options: ServiceOptions): Settings {
  const { versions, capabilities, maxPayload, compression } = options;
  if (versions && (versions.length === 0 || !versions.every((version) => VERSIONS.includes(version)))) {
    throw new RangeError(`versions are some of 1 to ${LATEST_VERSION}`);
  }
  const known = new Set<Capability>(EVERYTHING);
  for (const name of capabilities ?? []) {
    if (!known.has(name)) throw new RangeError(`this package does not have the capability "${name}"`);
  }
  return {
    ...DEFAULT_SETTINGS,
    ...(versions && { versions }),
    ...(capabilities && { capabilities: new Set(capabilities) }),
    ...(maxPayload !== undefined && { maxPayload }),
    ...(compression !== undefined && { compression }),
    ...(options.acknowledgementAttempts !== undefined && { acknowledgementAttempts: options.acknowledgementAttempts }),
    ...inSeconds(options, "heartbeatInterval"),
    ...inSeconds(options, "negotiationTimeout"),
    ...inSeconds(options, "acknowledgementTimeout"),
  };
}

type Times = "heartbeatInterval" | "negotiationTimeout" | "acknowledgementTimeout";

function inSeconds(options: ServiceOptions, name: Times): Partial<Settings> {
  const milliseconds = options[name];
  if (milliseconds === undefined) return {};
  if (!(milliseconds > 0)) throw new RangeError(`${name} is a number of milliseconds above 0`);
  return { [name]: milliseconds / 1000 };
}

/** Whether a handler gave a promise, of whatever library; `() => count++` gives a number, which means nothing. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    ((typeof value === "object" && value !== null) || typeof value === "function") &&
    typeof (value as { then?: unknown }).then === "function"
  );
}

function reportLater(error: unknown): void {
  callSafely(() => {
    throw error;
  });
}
