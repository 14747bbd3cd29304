import type { SendClock } from "../codec/send-clock.js";
import { ProtocolError } from "../errors.js";
import { CloseCode, HEADER_SIZES } from "../protocol.js";
import type { Arrival, Outcome, SignedBy, Unverified } from "../session/arrivals.js";
import type { Settings } from "../session/basic-settings.js";
import { ClientSession, type Close, type SessionEvent } from "../session/client-session.js";
import type { DataSending } from "../session/data-sending.js";
import type { StreamPositions } from "../session/stream-book.js";
import type { StreamSeals } from "../session/stream-seals.js";
import { callSafely } from "./emitter.js";
import { LateUnpacking } from "./late-unpacking.js";
import { PingAnswers } from "./ping-answers.js";

/** The interface that the client needs of a WebSocket: a browser's, Node's, or that of the `ws` package. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  readonly readyState: number;
  /** Called when it is open. */
  onopen: ((event: never) => void) | null;
  /** Called with each message. */
  onmessage: ((event: never) => void) | null;
  /** Called when it is closed. */
  onclose: ((event: never) => void) | null;
  /** Called when it fails. */
  onerror: ((event: never) => void) | null;
  /** Sends a message. */
  send(data: Uint8Array<ArrayBuffer>): void;
  /** Begins to close it. */
  close(code?: number, reason?: string): void;
  /** Ends the connection without a close frame; not available in browsers. */
  terminate?(): void;
}

/** The class of the WebSockets of a service, such as that of the package `ws`. */
export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocketLike;

/** The sealed streams of a service, with what opens their frames. */
export interface OpeningSeals extends StreamSeals {
  /** Opens a frame. It never rejects. */
  open(arrival: Arrival): Promise<Outcome>;
  /** Verifies a signature or an attestation. It never rejects. */
  verify(unverified: Unverified): Promise<SignedBy | ProtocolError>;
}

/** The callbacks of a connection's owner. */
export interface ConnectionOwner {
  /** The position in each stream. */
  readonly positions: StreamPositions;
  /** The sealed streams; null if this side opens nothing. */
  readonly seals: OpeningSeals | null;
  /** The promises that callbacks have returned for messages without ACK_REQUIRED, as far as they are not settled. */
  readonly taking: Iterable<PromiseLike<unknown>>;
  /** An event of the session, and the WebSocket message that caused it; null if none did. */
  onEvent(event: SessionEvent, bytes: Uint8Array | null): void;
  /** A WebSocket message was received or sent. */
  passed(direction: "in" | "out", bytes: Uint8Array): void;
  /** The send queue is empty. */
  drained(): void;
  /** The connection ends because of an error on this side, which no server has caused. */
  failed(error: Error): void;
  /** The connection has ended. */
  ended(ending: Ending): void;
}

/** How a connection ended. */
export interface Ending {
  /** The WebSocket close code; null if the connection broke. */
  readonly code: number | null;
  readonly reason: string;
  /** The last error that the server reported, or the error in its last frame. */
  readonly said: ProtocolError | null;
  /** Seconds from the end of the negotiation to the end of the connection; 0 if it never got that far. */
  readonly lasted: number;
  /** True if the WebSocket was open. */
  readonly opened: boolean;
}

const OPEN = 1;
const NO_STATUS = 1005;
const ABNORMAL = 1006;
/** Seconds that closing may take; then the connection is dropped. */
const CLOSE_TIMEOUT = 5;
/** Seconds between the first two PINGs. */
const FIRST_PING = 1;
/** Bytes in the WebSocket's buffer from which on this side stops sending. */
const HIGH_WATER = 1 << 20;
/** Seconds until the WebSocket's buffer is checked again: browsers have no event for it. */
const LOOK_AGAIN = 0.02;
/** Seconds by which a timer is late if the page did not run: it was frozen, or the computer slept. */
const SLEPT = 2;
/** Bytes of the reason that a close frame can hold. */
const LONGEST_REASON = 123;
/** A page may close with 1000, or with a code from 3000 on. */
const PRIVATE_CODES = 3000;

/** A WebSocket with its session and the timer that the session needs. */
export class Connection {
  readonly session: ClientSession;
  readonly #owner: ConnectionOwner;
  readonly #socket: WebSocketLike;
  readonly #settings: Settings;
  #said: ProtocolError | null = null;
  #opened = false;
  #over = false;
  #closing: Close | null = null;
  #closeBy = Number.POSITIVE_INFINITY;
  #establishedAt: number | null = null;
  #nextPing = Number.POSITIVE_INFINITY;
  #betweenPings = FIRST_PING;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #isReceiving = false;
  readonly #late: LateUnpacking;

  /** Opens a WebSocket. @param protocols subprotocols to offer @param connectTimeout seconds that opening may take */
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
    this.#late = new LateUnpacking(settings.parts.unpacking, {
      take: (bytes) => this.#read(bytes),
      failed: (why) => {
        owner.failed(new Error(why));
        this.drop(why);
      },
    });
    const answers = new PingAnswers(() => owner.taking);
    this.session = new ClientSession(settings, clock, owner.positions, owner.seals, (answer) => {
      answers.add(() => {
        if (this.#over) return;
        answer();
        if (!this.#isReceiving) this.wake();
      });
    });
    this.#socket = protocols.length > 0 ? new WebSocket(url, [...protocols]) : new WebSocket(url);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.#start();
    this.#socket.onmessage = (event: { data: unknown }) => this.#receive(event.data);
    this.#socket.onclose = (event: { code: number; reason: string }) => this.#closed(event.code, event.reason);
    this.#socket.onerror = () => {}; // a close event follows
    this.#setTimer(now() + connectTimeout);
  }

  /** True if the server's messages have timestamps. */
  get timed(): boolean {
    return HEADER_SIZES[this.session.version] > HEADER_SIZES[1];
  }

  /** What sends data messages. @throws TypeError the service only receives */
  get sending(): DataSending {
    const { sending } = this.session;
    if (!sending) throw new TypeError("this service only receives");
    return sending;
  }

  /** True if the application may send a message that is not urgent now. */
  get hasRoom(): boolean {
    return this.session.established && this.sending.hasRoom && this.#socket.bufferedAmount < HIGH_WATER;
  }

  /** True if the application may send an urgent message now, which leaves before the others in the send queue. */
  get hasRoomForUrgent(): boolean {
    return this.session.established && this.sending.hasRoomForUrgent;
  }

  /** Sends what waits and sets the timer, after the session was used. */
  wake(): void {
    if (this.#over || !this.#opened) return;
    if (this.session.closing) this.#closeBy = Math.min(this.#closeBy, now() + CLOSE_TIMEOUT);
    const isEmpty = this.#flush();
    if (this.#over) return; // sending failed
    if (this.session.closing && (isEmpty || this.session.closing.code === CloseCode.INTERNAL)) {
      this.#close(this.session.closing);
    } else {
      this.#setTimer(
        Math.min(
          this.session.deadline(),
          this.#nextPing,
          this.#closeBy,
          isEmpty ? Number.POSITIVE_INFINITY : now() + LOOK_AGAIN,
        ),
      );
    }
  }

  /** Sends a PING. */
  ping(): void {
    this.session.ping(now());
    this.wake();
  }

  /** Sends what waits, then closes the connection. */
  end(code: CloseCode, reason: string): void {
    if (!this.#opened) this.drop();
    this.session.end(code, reason);
    this.wake();
  }

  /** Ends the connection at once, without waiting for the server to answer the close frame. */
  drop(reason = "the connection was dropped"): void {
    if (this.#over) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#hangUp(null, reason);
    try {
      // A close frame would wait behind all data that the server does not read.
      if (this.#socket.terminate) this.#socket.terminate();
      else this.#socket.close();
    } catch {} // the connection is not used any more
  }

  // --- reading ---

  #start(): void {
    this.#opened = true;
    this.session.start(now());
    this.wake();
  }

  #receive(data: unknown): void {
    if (this.#over) return;
    const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : null;
    if (bytes) this.#owner.passed("in", bytes);
    if (!bytes || !this.#late.holds(bytes)) this.#read(bytes);
  }

  #read(bytes: Uint8Array | null): void {
    if (this.#over) return;
    const at = now();
    this.#isReceiving = true;
    const events = bytes ? this.session.receive(bytes, at) : this.session.receiveText(at);
    this.#isReceiving = false;
    this.#tell(events, bytes, at);
    // A browser may delay the timers of a page in the background, but not its messages.
    if (at >= this.#timerAt) this.#onTimer();
    else this.wake();
  }

  #tell(events: readonly SessionEvent[], bytes: Uint8Array | null, at: number): void {
    for (const event of events) {
      if (this.#over) return; // a callback has ended the connection
      if (event.kind === "sealed") {
        void this.#open(event.arrival);
        continue;
      }
      if (event.kind === "signed") {
        void this.#verify(event.arrival, event.unverified);
        continue;
      }
      if (event.kind === "negotiated") this.#established(at);
      if (event.kind === "error") this.#said = new ProtocolError(event.code, event.message);
      if (event.kind === "refused") this.#said = event.error;
      callSafely(() => this.#owner.onEvent(event, bytes));
    }
  }

  async #open(arrival: Arrival): Promise<void> {
    const outcome = await (this.#owner.seals as OpeningSeals).open(arrival);
    if (this.#over) return;
    const at = now();
    this.#tell(this.session.protected?.opened(arrival, outcome, at) ?? [], null, at);
    this.wake();
  }

  async #verify(arrival: Arrival, unverified: Unverified): Promise<void> {
    const verdict = await (this.#owner.seals as OpeningSeals).verify(unverified);
    if (this.#over) return;
    const at = now();
    this.#tell(this.session.protected?.verified(arrival, verdict, at) ?? [], null, at);
    this.wake();
  }

  #established(at: number): void {
    this.#establishedAt ??= at;
    this.#pingAgain(at); // before all requests: after a long answer to a resume, the PONG would be late
  }

  // --- the clock ---

  #setTimer(at: number): void {
    if (this.#over || at === Number.POSITIVE_INFINITY) return;
    // If the deadline is later now, `#onTimer` finds that and sets the timer again.
    if (this.#timer !== undefined && this.#timerAt <= at) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => this.#onTimer(), Math.max(0, Math.ceil((at - now()) * 1000)));
  }

  #onTimer(): void {
    const due = this.#timerAt;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
    if (this.#closing || !this.#opened) {
      this.drop(this.#closing?.reason ?? "the connection was not opened in time");
      return;
    }
    const at = now();
    if (at - due > SLEPT) this.session.slept(at);
    if (at >= this.#closeBy) {
      const { code, reason } = this.session.closing as Close;
      this.#closing = { code, reason };
      this.drop(reason || "the server did not read what was sent");
      return;
    }
    if (at >= this.#nextPing) this.#pingAgain(at);
    this.#tell(this.session.tick(at), null, at);
    this.wake();
  }

  /** Sends a PING. The interval doubles each time, so that the clock offset is measured soon after connecting. */
  #pingAgain(at: number): void {
    this.#nextPing = at + this.#betweenPings;
    this.#betweenPings = Math.min(2 * this.#betweenPings, this.#settings.heartbeatInterval);
    this.session.ping(at);
  }

  // --- writing ---

  /** Sends what the WebSocket has room for. Returns whether the send queue is empty. */
  #flush(): boolean {
    if (this.#closing || this.#socket.readyState !== OPEN) return true;
    while (this.#socket.bufferedAmount < HIGH_WATER) {
      const message = this.session.nextMessage(now());
      if (!message) {
        this.#owner.drained();
        return true;
      }
      this.#owner.passed("out", message);
      try {
        this.#socket.send(message);
      } catch (error) {
        this.drop(`the WebSocket cannot send: ${(error as Error).message}`);
        return true;
      }
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
    try {
      this.#socket.close(allowed(closing.code), shortened(closing.reason));
    } catch (error) {
      this.drop(`the WebSocket cannot be closed: ${(error as Error).message}`);
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#setTimer(this.#closeBy);
  }

  #closed(code: number, reason: string): void {
    if (this.#closing) this.#hangUp(this.#closing.code, this.#closing.reason);
    else if (code === NO_STATUS || code === ABNORMAL) this.#hangUp(null, "the connection broke off");
    else this.#hangUp(code, reason);
  }

  #hangUp(code: number | null, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    for (const event of this.session.lost()) callSafely(() => this.#owner.onEvent(event, null));
    const lasted = this.#establishedAt === null ? 0 : now() - this.#establishedAt;
    this.#owner.ended({ code, reason, said: this.#said, lasted, opened: this.#opened });
  }
}

/** Returns the seconds of a monotonic clock. */
export function now(): number {
  return performance.now() / 1000;
}

/** Maps a close code to one that a page may use: 1002 becomes 4002. */
function allowed(code: CloseCode): number {
  return code === CloseCode.NORMAL ? code : PRIVATE_CODES + code;
}

/** Cuts a reason to what a close frame can hold. */
function shortened(reason: string): string {
  const bytes = new TextEncoder().encode(reason);
  return new TextDecoder().decode(bytes.subarray(0, LONGEST_REASON)).replace(/\ufffd$/, "");
}
