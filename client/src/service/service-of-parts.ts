import type { Decompressor } from "../codec/decompressor.js";
import type { Compression, Message } from "../codec/protocol-handler.js";
import { SendClock } from "../codec/send-clock.js";
import type { Attested, Unattested } from "../codec/signing.js";
import { ProtocolError } from "../errors.js";
import {
  Capability,
  CloseCode,
  DATA_TYPES,
  ErrorCode,
  Flag,
  type MessageType,
  SESSION_VERSIONS,
  VERSIONS,
  type Version,
} from "../protocol.js";
import { BASIC_SETTINGS, type Settings, supported } from "../session/basic-settings.js";
import type { SessionEvent } from "../session/client-session.js";
import type { StreamPosition } from "../session/stream-book.js";
import {
  addCounts,
  noSealCounts,
  noSignatureCounts,
  type SealCounts,
  type SignatureCounts,
} from "../session/stream-seals.js";
import { Access, type Asked, type Destination, isPromise } from "./access.js";
import type { AttachedHistory, HistoryAnswered, HistoryHost } from "./attached-history.js";
import type { AttachedPublisher, PublisherHost, PublisherOwner } from "./attached-publisher.js";
import { Backoff, type BackoffOptions, ConnectionLost, DEFAULT_BACKOFF, isFinal } from "./backoff.js";
import { ClockOffset } from "./clock-offset.js";
import { Connection, type ConnectionOwner, type Ending, type WebSocketConstructor } from "./connection.js";
import type { Gap } from "./cursor.js";
import { callSafely, Emitter } from "./emitter.js";
import type { ServiceParts } from "./parts.js";
import type { SealedStreams, Sealing } from "./sealing.js";
import type { Sending, SendOptions } from "./sending.js";
import type { FollowedStream, StreamCallback, StreamMessage, SubscribeOptions, Subscription } from "./subscription.js";
import { Subscriptions, type SubscriptionsOwner } from "./subscriptions.js";

/** Versions, capabilities, limits and intervals of this side. Times are in milliseconds. */
export interface ServiceOptions {
  /** Protocol versions to speak; 1 to 4 by default. Both sides agree on the highest that they have in common. */
  readonly versions?: readonly Version[];
  /** Capabilities to offer; all those of the versions by default. */
  readonly capabilities?: Iterable<Capability>;
  /** Bytes that the payload of a received frame may have, compressed and inflated; 16 MiB by default. */
  readonly maxPayload?: number;
  /** Time without a frame sent after which a HEARTBEAT is sent, if the server announces no interval; 15,000 by default. */
  readonly heartbeatInterval?: number;
  /** Time that opening the WebSocket may take; 10,000 by default. */
  readonly connectTimeout?: number;
  /** Time to wait for the server to negotiate before it is treated as an old one; 5,000 by default. */
  readonly negotiationTimeout?: number;
  /** Time after which a message that was not acknowledged is sent again; 2,000 by default. */
  readonly acknowledgementTimeout?: number;
  /** How often a message is sent until it is acknowledged, the first time included; 5 by default. */
  readonly acknowledgementAttempts?: number;
  /** Which payloads are compressed, if the server supports it; null for none. */
  readonly compression?: Compression | null;
  /**
   * What decompresses payloads of version 4 that the server compressed with another algorithm than zlib: `lz4`, or what
   * `zstd()` of "ecgframe/zstd" loads. The service announces these algorithms; without them, it announces zlib only.
   */
  readonly decompressors?: readonly Decompressor[];
  /** Delays between attempts to reconnect; false to end when the first connection is lost. */
  readonly reconnect?: Partial<BackoffOptions> | false;
  /** How many messages, and bytes of them, may wait for a connection; 1,024 and 4 MiB by default. */
  readonly outbox?: { readonly messages?: number; readonly bytes?: number };
  /**
   * A bearer token, or a function that returns one, also as a promise; it is called before each attempt to connect. A
   * browser cannot send an `Authorization` header, so the token is offered as the subprotocol `bearer.TOKEN`, beside
   * `ecgframe`. If the server refuses a token (ERROR 0x202), the function is asked for another one once.
   */
  readonly token?: Asked<string | null>;
  /** Subprotocols to offer, or a function that returns them, as for `token`; `["ecgframe"]` by default with a token. */
  readonly protocols?: Asked<readonly string[]>;
  /** Opens sealed streams, with keys of the application or those that the server hands out; without it, none is opened. */
  readonly sealing?: Sealing;
  /** The WebSocket class; the global one by default. */
  readonly WebSocket?: WebSocketConstructor;
}

/** Number of promises of callbacks for which the answers to PINGs wait. */
const MOST_TAKING = 1024;

/** The result of the negotiation. */
export interface Negotiated {
  readonly version: Version;
  readonly capabilities: ReadonlySet<Capability>;
  /** False if the server is an old one, which does not negotiate. */
  readonly negotiated: boolean;
}

/**
 * The state of a service: `idle` before `connect`, `connecting` until the first negotiation is complete, `open` with a
 * connection, `reconnecting` between two connections, `closed` if there will be no other.
 */
export type ServiceState = "idle" | "connecting" | "open" | "reconnecting" | "closed";

/** Counters over all connections, and measurements. */
export interface Statistics {
  readonly framesReceived: number;
  readonly bytesReceived: number;
  readonly framesSent: number;
  readonly bytesSent: number;
  readonly reconnections: number;
  /**
   * Number of frames that are lost: the server reports that it dropped them, because this client was too slow, or their
   * numbers are missing.
   */
  readonly droppedByServer: number;
  /** Number of frames that this client refused. */
  readonly refused: number;
  /** What became of the messages of sealed streams. */
  readonly sealed: Readonly<SealCounts>;
  /** What became of signed and attested messages. */
  readonly signatures: Readonly<SignatureCounts>;
  /** When a message of the server last arrived, in milliseconds since 1970; null before the first. */
  readonly lastHeard: number | null;
  /** The latest round trip time in seconds; null before the first. */
  readonly roundTrip: number | null;
  /** The server's clock minus the local one, in seconds; null before V3, or if the local clock was set since. */
  readonly clockOffset: number | null;
  /** Seconds by which `clockOffset` may be wrong; null without an offset. */
  readonly clockError: number | null;
}

/** The events of a service, by name; see `WebSocketBinaryService.on`. */
export interface ServiceEvents {
  state: { readonly state: ServiceState; readonly previous: ServiceState };
  negotiated: Negotiated;
  /** Each data message, once, including those of subscribed streams. */
  message: Message;
  /** An error that the server reports, an error in its `frame`, a message that was not sent, or a failed connection. */
  error: { readonly error: Error; readonly frame?: Uint8Array };
  /** A WebSocket message, received or sent: one or several frames, end to end. `at` is in milliseconds since 1970. */
  frame: { readonly direction: "in" | "out"; readonly bytes: Uint8Array; readonly at: number };
  /**
   * The server granted a subscription, the first time or again; `from` is in microseconds since 1970, by its clock.
   *
   * The first time, without `since`: the time from which this viewer gets everything, or null if the server does not
   * tell. After a reconnection, or with `since`: null if no message is missing, or if the server does not resume; else
   * the time from which it sends everything, and `loss` reports what is missing before.
   */
  subscribed: { readonly stream: string; readonly from: bigint | null };
  /** A signer has attested messages that were delivered before. */
  attested: Omit<Attested, "kind"> & { readonly stream: string };
  /** Messages that no signer of the stream has attested in time. They may come from anybody who may publish. */
  unattested: Omit<Unattested, "kind"> & { readonly stream: string };
  /** Lost messages of a subscribed stream, after the message before them and before the message after them. */
  loss: Gap;
}

const CONNECT_TIMEOUT = 10;

/** A client of one server that does what its parts can: all of it, as `WebSocketBinaryService`, or only receiving. */
export class ServiceOfParts implements PublisherHost, HistoryHost {
  readonly #settings: Settings;
  readonly #backoff: BackoffOptions | null;
  readonly #connectTimeout: number;
  readonly #WebSocket: WebSocketConstructor | undefined;
  readonly #token: Asked<string | null>;
  readonly #protocols: Asked<readonly string[]>;
  readonly #clock = new SendClock();
  readonly #events = new Emitter<ServiceEvents>();
  readonly #subscriptions: Subscriptions;
  readonly #parts: ServiceParts;
  /** Null if this service only receives. */
  readonly #sending: Sending | null;
  /** By the numbers of their requests. */
  readonly #histories = new Map<number, AttachedHistory>();
  readonly #taking = new Set<PromiseLike<unknown>>();
  #latestId = 0;
  readonly #owner: ConnectionOwner;
  readonly #seals: SealedStreams | null;
  #access = new Access("", null, []);
  #hasAskedAgain = false;
  #attempts = 0;
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
    sealed: noSealCounts(),
    signatures: noSignatureCounts(),
    lastHeard: null as number | null,
  };

  /** @param parts what it can do; what they lack is not loaded */
  constructor(options: ServiceOptions, parts: ServiceParts) {
    if (options.sealing && !parts.ProtectedFrames) throw new TypeError("this service opens no sealed streams");
    this.#parts = parts;
    this.#settings = settingsOf(options, parts);
    this.#seals = this.#opens() ? (options.sealing?.attach() ?? null) : null;
    if (this.#seals) this.#seals.onAttestation = (stream, found) => this.#onAttestation(stream, found);
    this.#backoff = options.reconnect === false ? null : { ...DEFAULT_BACKOFF, ...options.reconnect };
    this.#token = options.token ?? null;
    this.#protocols = options.protocols ?? [];
    this.#connectTimeout = (options.connectTimeout ?? 1000 * CONNECT_TIMEOUT) / 1000;
    this.#WebSocket = options.WebSocket ?? (globalThis.WebSocket as unknown as WebSocketConstructor | undefined);
    this.#sending = parts.Sending && this.#makeSending(parts.Sending, options.outbox ?? {});
    this.#subscriptions = new Subscriptions(this.#subscriptionsOwner());
    this.#owner = this.#connectionOwner();
  }

  /** Returns true if this side opens sealed streams, or verifies. */
  #opens(): boolean {
    const { capabilities } = this.#settings;
    return capabilities.has(Capability.ENCRYPTION) || capabilities.has(Capability.SIGNING);
  }

  /** The state of the service. */
  get state(): ServiceState {
    return this.#state;
  }

  /** When the service tries to connect next, in milliseconds since 1970; null if it does not wait for that. */
  get nextAttempt(): number | null {
    return this.#nextAttempt;
  }

  /** The result of the negotiation; null without a connection. */
  get negotiated(): Negotiated | null {
    return this.#negotiated;
  }

  /** Counters over all connections, and measurements. */
  get statistics(): Statistics {
    const { connections, ...counts } = this.#counts;
    const sealed = { ...counts.sealed };
    const signatures = { ...counts.signatures };
    if (this.#connection) addCounts(sealed, this.#connection.session.sealed);
    if (this.#connection) addCounts(signatures, this.#connection.session.signatures);
    return {
      ...counts,
      sealed,
      signatures,
      framesReceived: counts.framesReceived + (this.#connection?.session.framesReceived ?? 0),
      framesSent: counts.framesSent + (this.#connection?.session.framesSent ?? 0),
      reconnections: Math.max(0, connections - 1),
      roundTrip: this.#offset.roundTrip,
      clockOffset: this.#offset.seconds,
      clockError: this.#offset.error,
    };
  }

  /** Adds a listener for the events of a name. Returns a function that removes it. */
  on<Name extends keyof ServiceEvents>(event: Name, listener: (event: ServiceEvents[Name]) => void): () => void {
    return this.#events.on(event, listener);
  }

  // --- opening and closing ---

  /**
   * Connects and negotiates. From then on, the service reconnects when a connection is lost.
   *
   * It does not retry the first connection, nor a server that refuses it: one that closes with 1008 or has no version in
   * common. But if the URL, the token or the subprotocols come from a function, it asks for others once after a refusal.
   *
   * @param url "ws://..." or "wss://...", or a function that returns it, called before each attempt
   * @throws ConnectionLost if the connection fails, or the server closes it before the negotiation is complete
   * @throws Error if the service is connected already, or there is no WebSocket class
   */
  connect(url: Asked<string>): Promise<Negotiated> {
    if (this.#state !== "idle" && this.#state !== "closed") {
      return Promise.reject(new Error(`the service is ${this.#state}: close it before connecting again`));
    }
    if (!this.#WebSocket)
      return Promise.reject(new Error("there is no global WebSocket: pass a class as the option WebSocket"));
    this.#access = new Access(url, this.#token, this.#protocols);
    this.#hasAskedAgain = false;
    this.#delays = this.#backoff && new Backoff(this.#backoff);
    this.#counts.connections = 0;
    return new Promise((resolve, reject) => {
      this.#opening = { resolve, reject };
      this.#enter("connecting");
      this.#open();
    });
  }

  /**
   * Sends what waits, except data, and closes the connection. Fulfilled once it is closed. The subscriptions end, and
   * messages that are not sent or acknowledged are rejected.
   */
  close(code: CloseCode = CloseCode.NORMAL, reason = ""): Promise<void> {
    if (this.#state === "closed") return Promise.resolve();
    const closed = new Promise<void>((resolve) => this.#closed.push(resolve));
    if (this.#connection) this.#connection.end(code, reason);
    else this.#finish(new ConnectionLost("the service is closed"));
    return closed;
  }

  /** Drops the connection, or ends the wait for the next attempt, and reconnects at once. */
  reconnect(): void {
    if (this.#state === "open") this.#connection?.drop();
    if (this.#state !== "reconnecting" || this.#connection) return;
    clearTimeout(this.#timer);
    this.#open();
  }

  // --- receiving ---

  /**
   * Subscribes to a stream, also before there is a connection.
   *
   * After a reconnection, the server first sends the messages after the last one that arrived, as far as it keeps them.
   * Each message arrives once and in order, except that urgent ones overtake. Messages that are lost are reported as a
   * `Gap`, also after the server restarted with another clock. V1 and V2 have no timestamps: the stream resumes by the
   * server's clock, one second before the last message, so messages may arrive twice. An old server that does not
   * negotiate cannot resume; what it sent in the meantime is a gap.
   *
   * @throws RangeError if the name is empty or too long
   * @throws Error if there is a subscription of the stream already
   */
  subscribe(stream: string, callback: StreamCallback, options: SubscribeOptions = {}): Subscription {
    return this.#subscriptions.subscribe(stream, callback, options);
  }

  /** Begins a history. `history` calls it. */
  attachHistory(history: AttachedHistory): void {
    if (this.#state === "closed") {
      history.closed(new ConnectionLost("the service is closed"));
      return;
    }
    const request = ++this.#latestId;
    this.#histories.set(request, history);
    if (this.#connection && this.#negotiated) history.connected(this.#connection, request);
  }

  /** Forgets a history that is over. */
  detachHistory(history: AttachedHistory): void {
    for (const [request, one] of this.#histories) if (one === history) this.#histories.delete(request);
  }

  #historyOf(position: StreamPosition | null): AttachedHistory | undefined {
    return this.#histories.get(position?.history ?? 0);
  }

  // --- sending ---

  /**
   * Sends a data message.
   *
   * `samplingRate`, `deviceId` and `patientId` are sent as `sampling_rate`, `device_id` and `patient_id`. Numbers in
   * `timestamp`, `start` and `end` are milliseconds here, and seconds in the payload.
   *
   * Without a connection, the message waits for the next one. If a connection is lost, messages that were sent but have
   * not arrived are lost too. With `acknowledged`, such a message is sent again over the next connection, with the same
   * timestamp; the application of the server may get it twice.
   *
   * @param type ECG_DATA, ANOMALY_ALERT, PREDICTION_RESULT or FEATURE_DATA
   * @returns the timestamp of the message, in microseconds since 1970, once it is sent, or with `acknowledged` once the
   *   application of the server has it. It is rejected with NotAcknowledged, ConnectionLost, a RangeError if too many
   *   messages wait, or an Error if the server does not support acknowledgements; the event `error` reports that as well.
   * @throws TypeError | RangeError | ProtocolError at once, if the message cannot be encoded or is no data message
   */
  sendMessage(type: MessageType, data: Readonly<Record<string, unknown>>, options: SendOptions = {}): Promise<bigint> {
    if (!DATA_TYPES.has(type))
      throw new RangeError(`message type ${type} is not a data message: the service sends it by itself`);
    return this.#senderOrThrow().send(type, data, options);
  }

  /**
   * Attaches the publisher of a stream. `publisher` calls it.
   *
   * @throws Error if there is a publisher of the stream already
   */
  attachPublisher<Attached extends AttachedPublisher>(
    stream: string,
    make: (owner: PublisherOwner) => Attached,
  ): Attached {
    return this.#senderOrThrow().attach(stream, make);
  }

  #senderOrThrow(): Sending {
    if (!this.#sending) throw new TypeError("this service only receives");
    return this.#sending;
  }

  #makeSending(Class: typeof Sending, room: NonNullable<ServiceOptions["outbox"]>): Sending {
    return new Class({
      settings: this.#settings,
      clock: this.#clock,
      keys: this.#seals?.own ?? null,
      room,
      connection: () => this.#connection,
      isOpen: () => this.#negotiated !== null,
      isClosed: () => this.#state === "closed",
      newId: () => ++this.#latestId,
      report: (error) => this.#events.emit("error", { error }),
    });
  }

  /** Sends a PING, and returns the round trip time in seconds. @throws ConnectionLost if the connection ends before */
  async ping(): Promise<number> {
    if (this.#state !== "open" || !this.#connection) throw new ConnectionLost("there is no connection");
    const pong = new Promise<number | null>((resolve) => this.#pongs.push(resolve));
    this.#connection.ping();
    const seconds = await pong;
    if (seconds === null) throw new ConnectionLost("the connection ended before the server answered");
    return seconds;
  }

  // --- the connection ---

  #open(): void {
    this.#nextAttempt = null;
    const attempt = ++this.#attempts;
    let destination: Destination | Promise<Destination>;
    try {
      destination = this.#access.ask(this.#connectTimeout);
    } catch (error) {
      this.#noAccess(error as Error);
      return;
    }
    if (!isPromise(destination)) {
      this.#openAt(destination);
      return;
    }
    const ifAwaited = (then: () => void) => {
      if (attempt === this.#attempts && this.#state !== "closed") then();
    };
    destination.then(
      (found) => ifAwaited(() => this.#openAt(found)),
      (error: Error) => ifAwaited(() => this.#noAccess(error)),
    );
  }

  #openAt({ url, protocols }: Destination): void {
    try {
      this.#connection = new Connection(
        url,
        protocols,
        this.#WebSocket as WebSocketConstructor,
        this.#settings,
        this.#clock,
        this.#connectTimeout,
        this.#owner,
      );
    } catch (error) {
      this.#finish(new ConnectionLost((error as Error).message)); // the WebSocket class refuses the URL or the subprotocols
    }
  }

  /** Retries later after the application's function failed, as it may get a token then; ends a first attempt. */
  #noAccess(error: Error): void {
    const text = `no connection: no URL or credentials: ${error}`;
    if (this.#delays && this.#counts.connections) {
      this.#events.emit("error", { error: new ConnectionLost(text) });
      this.#openLater(this.#delays.pause(0, true));
    } else {
      this.#finish(new ConnectionLost(text));
    }
  }

  #openLater(pause: number): void {
    this.#nextAttempt = Date.now() + pause;
    this.#timer = setTimeout(() => this.#open(), pause);
    this.#enter("reconnecting");
  }

  #connectionOwner(): ConnectionOwner {
    return {
      positions: this.#subscriptions,
      seals: this.#seals,
      taking: this.#taking,
      onEvent: (event, bytes) => this.#handleEvent(event, bytes),
      passed: (direction, bytes) => this.#passed(direction, bytes),
      drained: () => this.#drained(),
      failed: (error) => this.#events.emit("error", { error }),
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
    if (!this.#events.has("frame")) return;
    this.#events.emit("frame", { direction, bytes: direction === "in" ? this.#shown(bytes) : bytes, at: Date.now() });
  }

  /** Returns received bytes as a log may see them. */
  #shown(bytes: Uint8Array): Uint8Array {
    return this.#parts.withoutKeys?.(bytes) ?? bytes;
  }

  #drained(): void {
    if (this.#connection) this.#sending?.drained(this.#connection);
  }

  #ended({ code, reason, said, lasted, opened }: Ending): void {
    const connection = this.#connection;
    this.#counts.framesReceived += connection?.session.framesReceived ?? 0;
    this.#counts.framesSent += connection?.session.framesSent ?? 0;
    if (connection) addCounts(this.#counts.sealed, connection.session.sealed);
    if (connection) addCounts(this.#counts.signatures, connection.session.signatures);
    this.#connection = null;
    this.#negotiated = null;
    this.#seals?.disconnected();
    this.#subscriptions.disconnected();
    this.#sending?.disconnected();
    for (const history of this.#histories.values()) history.disconnected();
    for (const resolve of this.#pongs.splice(0)) resolve(null);
    const text = said && said.message !== reason ? `${reason} (${said.message})` : reason;
    const lost = new ConnectionLost(opened ? text || `closed with ${code}` : `no connection: ${text}`, code, said);
    const isWanted = this.#closed.length > 0;
    if (this.#delays && !isWanted && this.#mayAskAgain(said)) {
      this.#openLater(this.#delays.pause(lasted, true));
      return;
    }
    if (isWanted || !this.#delays || !this.#counts.connections || (code !== null && isFinal(code, said))) {
      this.#finish(isWanted ? new ConnectionLost("the service is closed") : lost);
      return;
    }
    this.#openLater(this.#delays.pause(lasted, code !== null || !opened));
  }

  /** Returns true once after refused credentials, if the next attempt may have others. */
  #mayAskAgain(said: ProtocolError | null): boolean {
    const isRefused = said?.code === ErrorCode.AUTHENTICATION_FAILED;
    if (!isRefused || !this.#access.isAsked || this.#hasAskedAgain) return false;
    this.#hasAskedAgain = true;
    return true;
  }

  /** Closes the service: there will be no other connection. */
  #finish(error: ConnectionLost): void {
    clearTimeout(this.#timer);
    this.#nextAttempt = null;
    const isWanted = this.#closed.length > 0;
    const opening = this.#opening;
    this.#opening = null;
    this.#sending?.end(error);
    this.#subscriptions.end(error);
    for (const history of [...this.#histories.values()]) history.closed(error);
    this.#enter("closed");
    for (const resolve of this.#closed.splice(0)) resolve();
    if (opening) opening.reject(error);
    else if (!isWanted) this.#events.emit("error", { error });
  }

  #enter(state: ServiceState): void {
    const previous = this.#state;
    if (state === previous) return;
    this.#state = state;
    // A browser tells when the network is back.
    if (state === "connecting") globalThis.addEventListener?.("online", this.#hurry);
    if (state === "closed") globalThis.removeEventListener?.("online", this.#hurry);
    this.#events.emit("state", { state, previous });
  }

  // --- events of the session ---

  #handleEvent(event: SessionEvent, bytes: Uint8Array | null): void {
    switch (event.kind) {
      case "negotiated":
        this.#onNegotiated(event);
        break;
      case "received":
        if (event.position?.history === undefined) this.#onReceived(event.message, event.position);
        else this.#historyOf(event.position)?.take(event.message, event.position.number);
        break;
      case "explained":
        if (event.position.history !== undefined)
          this.#historyOf(event.position)?.passed(event.position.number, event.timestamp);
        else this.#subscriptions.explained(event.position, event.timestamp);
        break;
      case "repeated":
        if (this.#subscriptions.repeated(event.position)) this.#connection?.session.acknowledge(event.message);
        break;
      case "answered":
        if (event.history) this.#histories.get(event.history.request)?.answered(event as HistoryAnswered);
        else this.#subscriptions.answered(event);
        break;
      case "acknowledged":
        this.#sending?.acknowledged(event);
        break;
      case "undelivered":
        this.#sending?.undelivered(event);
        break;
      case "error":
        this.#sending?.refused(event);
        if (!this.#subscriptions.noticed(event)) {
          this.#events.emit("error", { error: new ProtocolError(event.code, event.message) });
        }
        break;
      case "refused":
        this.#counts.refused++;
        if (event.position?.history === undefined) this.#subscriptions.refused(event);
        else this.#historyOf(event.position)?.refused(event.position.number);
        this.#events.emit("error", { error: event.error, ...(bytes ? { frame: this.#shown(bytes) } : {}) });
        break;
      case "unopened":
        this.#historyOf(event.position)?.notOpened();
        break;
      case "key-missing":
        this.#subscriptions.keyMissing(event.stream);
        break;
      case "keys-refused": // "refused" follows
        if (event.history === null) this.#subscriptions.keysRefused(event.stream, event.error);
        else this.#histories.get(event.history)?.fail(event.error);
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
    this.#seals?.connected();
    this.#offset = new ClockOffset();
    this.#hasAskedAgain = false;
    if (this.#state !== "open") this.#counts.connections++; // not after a late negotiation with an assumed version
    this.#subscriptions.connected(connection);
    this.#enter("open");
    this.#events.emit("negotiated", this.#negotiated);
    this.#opening?.resolve(this.#negotiated);
    this.#opening = null;
    this.#sending?.connected(connection);
    for (const [request, history] of [...this.#histories]) history.connected(connection, request);
  }

  #onReceived(message: Message, position: StreamPosition | null): void {
    const connection = this.#connection as Connection;
    const { followed, isNew } = this.#subscriptions.take(message, position);
    if (!isNew) {
      if (!position || !followed?.isInHand(position)) connection.session.acknowledge(message);
      return;
    }
    let isTaken = this.#events.has("message");
    if (followed) {
      isTaken = false;
      if (position && message.flags & Flag.ACK_REQUIRED) followed.hold(position);
      callSafely(() => {
        const done = followed.callback(message as StreamMessage);
        if (isThenable(done)) this.#whenTaken(done, connection, message, followed, position);
        else isTaken = true;
      });
    }
    this.#events.emit("message", message);
    if (!isTaken) return;
    if (position) followed?.release(position);
    connection.session.acknowledge(message);
  }

  /** Acknowledges a message once the promise of its callback is fulfilled. Until then, the answers to PINGs wait for others. */
  #whenTaken(
    done: PromiseLike<unknown>,
    connection: Connection,
    message: Message,
    followed: FollowedStream,
    position: StreamPosition | null,
  ): void {
    if (!(message.flags & Flag.ACK_REQUIRED)) {
      const forget = () => this.#taking.delete(done);
      this.#taking.add(done);
      if (this.#taking.size > MOST_TAKING) this.#taking.delete(this.#taking.values().next().value as typeof done);
      done.then(forget, forget);
    }
    done.then(() => this.#acknowledge(connection, message, followed, position), reportLater);
  }

  /** Acknowledges a message whose callback returned a promise. */
  #acknowledge(
    connection: Connection,
    message: Message,
    followed: FollowedStream,
    position: StreamPosition | null,
  ): void {
    if (position) followed.release(position);
    connection.session.acknowledge(message);
    connection.wake();
  }

  #onAttestation(stream: string, { kind, ...found }: Attested | Unattested): void {
    this.#counts.signatures[kind] += found.numbers.length;
    if (kind === "attested") this.#events.emit("attested", { stream, ...(found as Omit<Attested, "kind">) });
    else this.#events.emit("unattested", { stream, ...found });
  }

  #subscriptionsOwner(): SubscriptionsOwner {
    return {
      seals: this.#seals,
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

function settingsOf(options: ServiceOptions, parts: ServiceParts): Settings {
  const { versions, capabilities, maxPayload, compression, decompressors = [] } = options;
  if (versions && (versions.length === 0 || !versions.every((version) => VERSIONS.includes(version)))) {
    throw new RangeError(`versions is a list of numbers from 1 to ${VERSIONS.at(-1)}`);
  }
  const spoken = versions ?? SESSION_VERSIONS;
  const known = new Set([...supported(spoken), ...(options.sealing?.capabilities ?? [])]);
  if (!parts.Fragments) known.delete(Capability.FRAGMENTS);
  if (spoken.includes(4)) for (const one of decompressors) known.add(one.capability);
  for (const name of capabilities ?? []) {
    if (!known.has(name)) throw new RangeError(`this package does not have the capability "${name}"`);
  }
  return {
    ...BASIC_SETTINGS,
    ...(versions && { versions }),
    capabilities: new Set(capabilities ?? known),
    ...(maxPayload !== undefined && { maxPayload }),
    ...(compression !== undefined && { compression }),
    decompressors,
    parts,
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

/** Returns whether a callback returned a promise, of any library. Other results are ignored. */
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
