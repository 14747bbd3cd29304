import type { SendClock } from "../codec/send-clock.js";
import { ProtocolError } from "../errors.js";
import { CloseCode, HEADER_SIZES } from "../protocol.js";
import { ClientSession, type Close, type SessionEvent } from "../session/client-session.js";
import type { Settings } from "../session/settings.js";

/** What is needed of a WebSocket: the browser's own, Node's, or that of the `ws` package. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  readonly readyState: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocketLike;

/** What a connection tells its owner. */
export interface ConnectionOwner {
  /** Of an event, and of the WebSocket message that brought it. */
  heed(event: SessionEvent, bytes: Uint8Array | null): void;
  /** A WebSocket message went in or out. */
  passed(direction: "in" | "out", bytes: Uint8Array): void;
  /** Everything that could leave has left. */
  drained(): void;
  /** It is over. */
  ended(ending: Ending): void;
}

/** How a connection came to its end. */
export interface Ending {
  /** Null where it broke off. */
  readonly code: number | null;
  readonly reason: string;
  /** What one side last said was wrong. */
  readonly said: ProtocolError | null;
  /** Seconds since both sides could talk; 0 if they never could. */
  readonly lasted: number;
  /** Whether the WebSocket ever opened. */
  readonly opened: boolean;
}

const OPEN = 1;
const NO_STATUS = 1005;
const ABNORMAL = 1006;
const CLOSE_TIMEOUT = 2;
const FIRST_PING = 1;
/** Bytes in the WebSocket's own buffer at which to wait until it has sent some. */
const HIGH_WATER = 1 << 20;
const LOOK_AGAIN = 0.02;
/** The bytes that a close frame has for its reason. */
const LONGEST_REASON = 123;
/** A page may close with 1000 and with codes from 3000 on. */
const PRIVATE_CODES = 3000;

/** One WebSocket, a session, and the clock that the session has not. */
export class Connection {
  readonly session: ClientSession;
  readonly #owner: ConnectionOwner;
  readonly #socket: WebSocketLike;
  readonly #settings: Settings;
  #said: ProtocolError | null = null;
  #opened = false;
  #over = false;
  #closing: Close | null = null;
  #establishedAt: number | null = null;
  #nextPing = Number.POSITIVE_INFINITY;
  #betweenPings = FIRST_PING;
  #alarm: ReturnType<typeof setTimeout> | undefined;
  #alarmAt = Number.POSITIVE_INFINITY;

  /** Opens a WebSocket. @param protocols that are offered @param connectTimeout seconds that it may take to open */
  constructor(
    url: string,
    protocols: readonly string[],
    WebSocket: WebSocketConstructor,
    settings: Settings,
    clock: SendClock,
    connectTimeout: number,
    owner: ConnectionOwner,
  ) {
    this.#owner = owner;
    this.#settings = settings;
    this.session = new ClientSession(settings, clock);
    this.#socket = protocols.length > 0 ? new WebSocket(url, [...protocols]) : new WebSocket(url);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.#start();
    this.#socket.onmessage = (event: { data: unknown }) => this.#receive(event.data);
    this.#socket.onclose = (event: { code: number; reason: string }) => this.#closed(event.code, event.reason);
    this.#socket.onerror = () => {}; // a close follows, which says as much
    this.#setAlarm(now() + connectTimeout);
  }

  /** Whether the server's messages have timestamps. */
  get timed(): boolean {
    return HEADER_SIZES[this.session.version] > HEADER_SIZES[1];
  }

  /** Whether a message of the application's may be sent now. */
  get hasRoom(): boolean {
    return this.session.established && this.session.hasRoom && this.#socket.bufferedAmount < HIGH_WATER;
  }

  /** Something was done with the session: what waits is sent, the clock is set anew. */
  stir(): void {
    if (this.#over || !this.#opened) return;
    const isEmpty = this.#flush();
    if (this.session.closing && (isEmpty || this.session.closing.code === CloseCode.INTERNAL)) {
      this.#close(this.session.closing);
    } else {
      this.#setAlarm(
        Math.min(this.session.deadline(), this.#nextPing, isEmpty ? Number.POSITIVE_INFINITY : now() + LOOK_AGAIN),
      );
    }
  }

  /** Asks for a round trip. */
  ping(): void {
    this.session.ping(now());
    this.stir();
  }

  /** Ends it in good order. */
  end(code: CloseCode, reason: string): void {
    if (!this.#opened) this.drop();
    this.session.end(code, reason);
    this.stir();
  }

  /** Lets it go at once: nobody is there who would say goodbye. */
  drop(reason = "the connection was dropped"): void {
    if (this.#over) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#hangUp(null, reason);
    this.#socket.close();
  }

  // --- reading ---

  #start(): void {
    this.#opened = true;
    this.session.start(now());
    this.stir();
  }

  #receive(data: unknown): void {
    if (this.#over) return;
    const at = now();
    const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : null;
    if (bytes) this.#owner.passed("in", bytes);
    const events = bytes ? this.session.receive(bytes, at) : this.session.receiveText(at);
    this.#tell(events, bytes, at);
    // A page in the background may not be woken in time, but what comes wakes it.
    if (at >= this.#alarmAt) this.#ring();
    else this.stir();
  }

  #tell(events: readonly SessionEvent[], bytes: Uint8Array | null, at: number): void {
    for (const event of events) {
      if (this.#over) return; // the application has let it go meanwhile
      if (event.kind === "negotiated") this.#established(at);
      if (event.kind === "error") this.#said = new ProtocolError(event.code, event.message);
      if (event.kind === "refused") this.#said = event.error;
      this.#owner.heed(event, bytes);
    }
  }

  #established(at: number): void {
    this.#establishedAt ??= at;
    this.#pingAgain(at); // ahead of all requests: an answer behind a history would tell little of the server's clock
  }

  // --- the clock ---

  #setAlarm(at: number): void {
    if (this.#over || at === Number.POSITIVE_INFINITY) return;
    // A deadline that has moved on is found out when the alarm rings.
    if (this.#alarm !== undefined && this.#alarmAt <= at) return;
    clearTimeout(this.#alarm);
    this.#alarmAt = at;
    this.#alarm = setTimeout(() => this.#ring(), Math.max(0, Math.ceil((at - now()) * 1000)));
  }

  #ring(): void {
    clearTimeout(this.#alarm);
    this.#alarm = undefined;
    this.#alarmAt = Number.POSITIVE_INFINITY;
    if (this.#closing || !this.#opened) {
      this.drop(this.#closing?.reason ?? "the connection was not opened in time");
      return;
    }
    const at = now();
    if (at >= this.#nextPing) this.#pingAgain(at);
    this.#tell(this.session.tick(at), null, at);
    this.stir();
  }

  /** A clock is to be known soon; then the time between pings doubles. */
  #pingAgain(at: number): void {
    this.#nextPing = at + this.#betweenPings;
    this.#betweenPings = Math.min(2 * this.#betweenPings, this.#settings.heartbeatInterval);
    this.session.ping(at);
  }

  // --- writing ---

  /** Sends what may leave; whether that is all. */
  #flush(): boolean {
    if (this.#closing || this.#socket.readyState !== OPEN) return true;
    while (this.#socket.bufferedAmount < HIGH_WATER) {
      const message = this.session.nextMessage(now());
      if (!message) {
        this.#owner.drained();
        return true;
      }
      this.#owner.passed("out", message);
      this.#socket.send(message);
    }
    return false;
  }

  // --- closing ---

  #close(closing: Close): void {
    if (this.#closing) return;
    this.#closing = closing;
    if (closing.code === CloseCode.INTERNAL) {
      this.drop(closing.reason);
      return;
    }
    this.#socket.close(allowed(closing.code), shortened(closing.reason));
    clearTimeout(this.#alarm);
    this.#alarm = undefined;
    this.#setAlarm(now() + CLOSE_TIMEOUT);
  }

  #closed(code: number, reason: string): void {
    if (this.#closing) this.#hangUp(this.#closing.code, this.#closing.reason);
    else if (code === NO_STATUS || code === ABNORMAL) this.#hangUp(null, "the connection broke off");
    else this.#hangUp(code, reason);
  }

  #hangUp(code: number | null, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#alarm);
    for (const event of this.session.lost()) this.#owner.heed(event, null);
    const lasted = this.#establishedAt === null ? 0 : now() - this.#establishedAt;
    this.#owner.ended({ code, reason, said: this.#said, lasted, opened: this.#opened });
  }
}

/** Seconds of a clock that never goes back. */
export function now(): number {
  return performance.now() / 1000;
}

/** The code that a page may close with: 1002 becomes 4002. */
function allowed(code: CloseCode): number {
  return code === CloseCode.NORMAL ? code : PRIVATE_CODES + code;
}

/** What a close frame has room for. */
function shortened(reason: string): string {
  const bytes = new TextEncoder().encode(reason);
  return new TextDecoder().decode(bytes.subarray(0, LONGEST_REASON)).replace(/\ufffd$/, "");
}
