import {
  type AnsweredKey,
  checkedControl,
  type ErrorBody,
  type Offer,
  type SubscriptionAnswer,
  type VersionCheck,
} from "../codec/control-messages.js";
import type { FrameSender } from "../codec/control-sender.js";
import { fieldOf, isPlain } from "../codec/fields.js";
import { type Frame, FrameReader, type Header, type Message } from "../codec/frame-reader.js";
import { pathText, ROOT } from "../codec/path.js";
import type { Opened } from "../codec/seal.js";
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
  HEADER_SIZES,
  LARGEST_LENGTH,
  LAST_FATAL_CHECK,
  LONGEST_HEARTBEAT,
  LONGEST_TEXT,
  MAX_BATCH_FRAMES,
  MAX_CONTROL_PAYLOAD,
  MessageType,
  SHORTEST_HEARTBEAT,
  SILENT_INTERVALS,
  SMALL_ECHO,
  STREAM_TYPES,
  type Version,
} from "../protocol.js";
import { Seen } from "./acknowledgements.js";
import type { SignedBy } from "./arrivals.js";
import type { Settings } from "./basic-settings.js";
import { checkNumbers, requireMoment } from "./control-numbers.js";
import type { DataSending, DataSendingOwner } from "./data-sending.js";
import type { Acknowledgeable, SessionEvent, StreamNumbers } from "./events.js";
import type { Fragments, FragmentsOwner } from "./fragments.js";
import { FrameQueue, type Leaving, type Outgoing, tierOf } from "./frame-queue.js";
import { choice, implied, usable } from "./negotiation.js";
import type { ProtectedFrames, ProtectedOwner } from "./protected-frames.js";
import { type Action, type Phase, TRANSITIONS, type Transition, type Trigger } from "./state.js";
import { NO_POSITIONS, StreamBook, type StreamPosition, type StreamPositions } from "./stream-book.js";
import {
  noSealCounts,
  noSignatureCounts,
  type SealCounts,
  type SignatureCounts,
  type StreamSeals,
} from "./stream-seals.js";
import { microseconds, seconds } from "./timestamps.js";

export type { Acknowledgeable, HistoryAnswer, SessionEvent, StreamNumbers } from "./events.js";

/** Where a viewer resumes a stream: after that number of that epoch. */
export interface Resumption {
  readonly epoch: number;
  readonly after: number;
}

/** How a connection is to be closed. */
export interface Close {
  readonly code: CloseCode;
  readonly reason: string;
}

/** Types that are accepted in V1 frames before both sides agree on a version, even if this side does not speak V1. */
const SENT_BEFORE_AGREEING: ReadonlySet<MessageType> = new Set([
  MessageType.PROTOCOL_NEGOTIATION,
  MessageType.VERSION_CHECK,
  MessageType.HEARTBEAT,
  MessageType.PING,
  MessageType.PONG,
  MessageType.ERROR,
]);

/** Seconds in which the server has to show that it is there, after this side has slept; a heartbeat interval at most. */
const AFTER_SLEEP = 5;

/** Number of unanswered PINGs that are remembered; beyond that, the oldest is forgotten. */
const MOST_PINGS = 32;

/** The first version with numbered messages, which is spoken only after a negotiation. */
const NUMBERED_SINCE = 4;

const EVERY_FRAME = { defers: () => true };

/** Types that do not show which version the server speaks: a server that refuses a client sends ERROR and closes. */
const NO_BEGINNING: ReadonlySet<MessageType> = new Set([MessageType.PROTOCOL_NEGOTIATION, MessageType.ERROR]);

/**
 * The client's side of one connection, without a socket and without a clock: bytes in, events and frames out.
 *
 * `now` is in seconds of any clock that never goes back.
 */
export class ClientSession {
  /** The version in which this side sends; 1 while the session is opening. */
  version: Version = 1;
  /** The capabilities that both sides have and that the version supports. */
  capabilities: ReadonlySet<Capability> = new Set();
  /** How far the session has got; see `state.ts`. */
  phase: Phase = "opening";
  /** Code and reason with which to close once `nextMessage` returns undefined; null while the session is open. */
  closing: Close | null = null;
  framesReceived = 0;
  framesSent = 0;
  /** Bytes of the largest payload that the server takes; null if it has not said. */
  maxPayloadOfPeer: number | null = null;
  /** What became of sealed frames, and of plain ones of sealed streams. */
  readonly sealed: SealCounts = noSealCounts();
  /** What became of signed messages; the owner counts what is attested. */
  readonly signatures: SignatureCounts = noSignatureCounts();

  /** The frames that are sealed or signed; null if this side opens nothing. */
  readonly protected: ProtectedFrames | null;
  /** Sends data messages; null if this side only receives. */
  readonly sending: DataSending | null;

  /** The last phase before the session began to close. */
  #openPhase: Phase = "opening";
  readonly #settings: Settings;
  readonly #clock: SendClock;
  readonly #book: StreamBook;
  /** Names of the streams that this side has subscribed to. Answers about other streams bind no id. */
  readonly #wanted = new Set<string>();
  /** The requests for histories that are not over, by number, with their streams. */
  readonly #histories = new Map<number, string>();
  readonly #positions: StreamPositions;
  readonly #answerLater: ((answer: () => void) => void) | null;
  /** Puts fragments together; null if this side takes none. */
  readonly #fragments: Fragments | null;
  #receiver: FrameReader;
  #sender: FrameSender;
  readonly #queue: FrameQueue;
  readonly #seen = new Seen();
  #errorTimes: number[] = [];
  #heartbeatInterval: number;
  /** The unanswered PINGs, the oldest first: a round trip may take longer than the time between two. */
  #pings: { timestamp: bigint; at: number }[] = [];
  #asked = false;
  /** True after `slept`, until something arrives. */
  #slept = false;
  #heardAt = 0;
  #sentAt = 0;
  #giveUpWaitingAt = Number.POSITIVE_INFINITY;

  /**
   * @param positions the position in each stream; it outlives the connection
   * @param seals the keys of sealed streams; null if this side opens nothing
   * @param answerLater called with what answers a PING; it is answered at once if null
   */
  constructor(
    settings: Settings,
    clock: SendClock,
    positions: StreamPositions = NO_POSITIONS,
    seals: StreamSeals | null = null,
    answerLater: ((answer: () => void) => void) | null = null,
  ) {
    this.#settings = settings;
    this.#answerLater = answerLater;
    this.#clock = clock;
    this.#positions = positions;
    this.#book = new StreamBook(positions, settings.parts.unpacking);
    const { Fragments, ProtectedFrames, DataSending } = settings.parts;
    this.protected = seals && ProtectedFrames && new ProtectedFrames(seals, this.#book, this.#protectedOwner());
    this.#fragments = Fragments && new Fragments(this.#book, this.#fragmentsOwner());
    // Until both sides agree, frames are sent in version 1, and version 4 is not read.
    this.#receiver = this.#receiverFor(settings.versions.filter((version) => version < NUMBERED_SINCE));
    this.#sender = this.#senderFor(1, new Set(), LARGEST_LENGTH);
    this.sending = DataSending && new DataSending(settings, this.#sender, this.#dataOwner());
    this.#queue = this.sending?.queue ?? new FrameQueue();
    this.#heartbeatInterval = settings.heartbeatInterval;
  }

  // --- what the owner's loop calls ---

  /** Starts the session on an open connection: the client waits for the server's offer. */
  start(now: number): void {
    this.#heardAt = this.#sentAt = now;
    this.#giveUpWaitingAt = now + this.#settings.negotiationTimeout;
  }

  /** Processes a binary WebSocket message: one or several frames, end to end. Never throws because of invalid frames. */
  receive(bytes: Uint8Array, now: number): SessionEvent[] {
    this.#hear(now);
    const events: SessionEvent[] = [];
    if (this.#react("message") === "ignore") return events;
    if (bytes.length === 0) {
      this.#refuse(invalid("a message without a frame", 1), now, events);
      return events;
    }
    const whole = this.#fragments && this.numbered ? this.#fragments.putTogether(bytes, now, events) : bytes;
    if (!whole) return events;
    let count = 0;
    for (const frame of this.#receiver.frames(whole, MAX_CONTROL_PAYLOAD, this.#book, this)) {
      if (count++ >= MAX_BATCH_FRAMES) this.#take(tooMany(), now, events);
      else if (frame.deferred) this.protected?.add(frame.deferred);
      else this.#take(frame, now, events);
      if (this.closing) break;
    }
    this.#fragments?.forgetUnbound();
    this.protected?.goOn(now, events);
    return events;
  }

  /** Returns true if a frame waits: to be opened, or behind others that wait. */
  defers(header: Header): boolean {
    return this.protected?.defers(header) ?? false;
  }

  /** Processes a text message: text is not part of the protocol, so it answers ERROR and keeps the connection open. */
  receiveText(now: number): SessionEvent[] {
    this.#hear(now);
    const events: SessionEvent[] = [];
    if (this.#react("message") !== "ignore")
      this.#refuse(invalid("text messages are not part of this protocol", null), now, events);
    return events;
  }

  /** The time at which to call `tick` next, unless something happens before. */
  deadline(): number {
    if (this.closing) return Number.POSITIVE_INFINITY;
    return Math.min(
      this.#silentAfter(this.#asked ? SILENT_INTERVALS : SILENT_INTERVALS - 1),
      this.#sentAt + this.#heartbeatInterval,
      this.sending?.deadline() ?? Number.POSITIVE_INFINITY,
      this.protected?.heldUntil ?? Number.POSITIVE_INFINITY,
      this.#fragments?.deadline(SILENT_INTERVALS * this.#heartbeatInterval) ?? Number.POSITIVE_INFINITY,
      this.phase === "opening" ? this.#giveUpWaitingAt : Number.POSITIVE_INFINITY,
    );
  }

  /**
   * Notes that this side did not run for a while, as in a frozen page: what the server has sent meanwhile is not read yet. The
   * server is asked, and has a few seconds to show that it is there.
   */
  slept(now: number): void {
    if (this.#slept) return;
    this.#slept = true;
    const left = Math.min(this.#heartbeatInterval, AFTER_SLEEP);
    this.#heardAt = Math.max(this.#heardAt, now - SILENT_INTERVALS * this.#heartbeatInterval + left);
  }

  /** Does what is due: sends heartbeats, repeats unacknowledged messages, sends a PING to a silent server, or closes. */
  tick(now: number): SessionEvent[] {
    const events: SessionEvent[] = [];
    if (this.closing) return events;
    if (this.phase === "opening" && now >= this.#giveUpWaitingAt) {
      this.#giveUpNegotiation(events);
      if (this.closing) return events;
    }
    if (now >= this.#silentAfter(SILENT_INTERVALS)) {
      this.#abandon(CloseCode.INTERNAL, `nothing received for ${Math.round(now - this.#heardAt)} s`);
      return events;
    }
    this.sending?.sendAgain(now, events);
    this.#fragments?.dropUnfinished(SILENT_INTERVALS * this.#heartbeatInterval, now, events);
    if (this.closing) return events;
    this.protected?.tick(now, events);
    if (this.closing) return events;
    if (!this.#asked && now >= this.#silentAfter(SILENT_INTERVALS - 1)) {
      this.#asked = true; // an old server may have nothing to send, but it answers a PING
      this.#say(MessageType.PING, null);
    }
    if (!this.#queue.frames && now >= this.#sentAt + this.#heartbeatInterval) this.#say(MessageType.HEARTBEAT, null);
    return events;
  }

  /** The next WebSocket message: a frame, or several if both sides support batches; undefined if none waits. */
  nextMessage(now: number): Uint8Array<ArrayBuffer> | undefined {
    const first = this.#queue.pop();
    if (!first) return undefined;
    const batches = this.capabilities.has(Capability.BATCH);
    const batch = batches ? this.#queue.popBatch(first, this.#settings.batchBytes) : [first];
    this.#sentAt = now;
    for (const { outgoing, isWhole } of batch) {
      if (!isWhole) continue;
      this.framesSent++;
      this.sending?.sent(outgoing, now);
    }
    return batch.length === 1 ? first.bytes : joined(batch);
  }

  /** Ends the session after the connection is lost. Returns an event for each message that was not acknowledged. */
  lost(): SessionEvent[] {
    const events = this.sending?.lost() ?? [];
    this.#react("lost");
    this.#discard(CloseCode.GOING_AWAY, "the connection is lost");
    return events;
  }

  // --- what the application calls ---

  /** Tells the server that the application has the message, if it asked for that. */
  acknowledge(message: Acknowledgeable): void {
    if (!(message.flags & Flag.ACK_REQUIRED) || message.timestamp === null) return;
    this.#seen.handOver(message.timestamp);
    this.#say(MessageType.PONG, { ack: message.timestamp, type: message.type });
  }

  /**
   * Subscribes to a stream, and resumes after the message with that number; or, before version 4 and if the server does
   * not know the epoch, after the message with that timestamp, or after that time.
   *
   * @param catchUp age in seconds of the oldest messages that the server is to send first; null for all
   */
  subscribe(
    stream: string,
    since: bigint | Date | null,
    position: Resumption | null = null,
    catchUp: number | null = null,
  ): void {
    const numbers = position && this.numbered ? { epoch: position.epoch, after: position.after } : {};
    const time = since === null ? {} : { since: typeof since === "bigint" ? seconds(since) : since };
    this.#wanted.add(stream);
    if (since !== null || position) this.#fragments?.forgetLive(stream);
    const limit = catchUp !== null && (since !== null || position) ? { catch_up: catchUp } : {};
    this.#say(MessageType.SUBSCRIBE, { stream, ...numbers, ...time, ...limit, ...this.#ownKeys(stream) });
  }

  /** Asks for no keys of a stream of which the application has some. */
  #ownKeys(stream: string): { keys?: false } {
    const hasOwn = this.protected?.seals.hasOwnKeys(stream) ?? false;
    return hasOwn && this.capabilities.has(Capability.ENCRYPTION) ? { keys: false } : {};
  }

  /** Returns true if a stream is to be sealed, and sealed messages were not agreed on. */
  lacksSeal(stream: string): boolean {
    return (this.protected?.seals.isSealed(stream) ?? false) && !this.capabilities.has(Capability.ENCRYPTION);
  }

  /**
   * Asks for the messages of a stream from one time to another, in microseconds since 1970, as far as the server keeps them.
   *
   * @param request a number that is not in use
   * @param stop null for those until now
   * @param owner the same object for all requests of one history, so that no sealed message arrives twice
   */
  askHistory(stream: string, request: number, start: bigint, stop: bigint | null, owner: object = {}): void {
    this.#histories.set(request, stream);
    this.protected?.seals.beginHistory(request, owner);
    const until = stop === null ? {} : { stop: seconds(stop) };
    this.#say(MessageType.SUBSCRIBE, {
      stream,
      history: request,
      start: seconds(start),
      ...until,
      ...this.#ownKeys(stream),
    });
  }

  /** Asks for no more of a history. */
  endHistory(stream: string, request: number): void {
    this.#histories.delete(request);
    this.#say(MessageType.UNSUBSCRIBE, { stream, history: request });
  }

  /** Unsubscribes from a stream. */
  unsubscribe(stream: string): void {
    this.#wanted.delete(stream);
    this.#say(MessageType.UNSUBSCRIBE, { stream });
  }

  /** Asks for a PONG. */
  ping(now: number): void {
    const timestamp = this.#clock.next();
    this.#pings = [...this.#pings.slice(1 - MOST_PINGS), { timestamp, at: now }];
    this.#say(MessageType.PING, { ping: timestamp });
  }

  /** Closes the connection after urgent and control messages are sent; waiting data is discarded. */
  end(code: CloseCode = CloseCode.NORMAL, reason = ""): void {
    if (this.#react("end") !== "flush") return;
    this.#queue.discardData();
    this.closing = { code, reason };
  }

  // --- phases ---

  /** True if the server has shown, by a frame or by negotiating, which version it speaks. Still true once closed. */
  get established(): boolean {
    return this.#openPhase !== "opening";
  }

  /** True if the server has negotiated. Still true once closed. */
  get negotiated(): boolean {
    return this.#openPhase === "negotiated";
  }

  /** True if the messages of streams have numbers. */
  get numbered(): boolean {
    return this.version >= NUMBERED_SINCE;
  }

  /** Returns the action for a trigger without changing the phase. */
  #actionOn(trigger: Trigger): Action {
    return transition(this.phase, trigger).action;
  }

  /** Moves to the next phase, and returns the action for the trigger. See `state.ts`. */
  #react(trigger: Trigger): Action {
    const { phase, action } = transition(this.phase, trigger);
    this.phase = phase;
    if (phase !== "closing" && phase !== "closed") this.#openPhase = phase;
    return action;
  }

  // --- receiving ---

  #hear(now: number): void {
    this.#heardAt = now;
    this.#asked = this.#slept = false;
  }

  #silentAfter(intervals: number): number {
    return this.#heardAt + intervals * this.#heartbeatInterval;
  }

  #take(
    { header, item, payload }: Frame,
    now: number,
    events: SessionEvent[],
    opened: Opened | null = null,
    signed: SignedBy | null = null,
  ): void {
    if (item === null) {
      this.#skip(header as Header, events);
      return;
    }
    try {
      if (item instanceof ProtocolError) throw item;
      this.#accept(item, payload as Uint8Array, now, events, opened, signed);
    } catch (error) {
      // An error in one frame does not affect those after it.
      const refused = error instanceof ProtocolError ? error : invalid(`cannot process the message: ${error}`, 12);
      this.#refuse(refused, now, events, header);
    }
  }

  #accept(
    message: Message,
    payload: Uint8Array,
    now: number,
    events: SessionEvent[],
    opened: Opened | null,
    signed: SignedBy | null,
  ): void {
    const { type, version } = message;
    const spoken = this.#settings.versions.includes(version);
    if (!spoken && !(version === 1 && SENT_BEFORE_AGREEING.has(type))) {
      const text = `a V${version} frame; supported versions: ${this.#settings.versions.join(", ")}`;
      throw new ProtocolError(ErrorCode.INVALID_PROTOCOL_VERSION, text, { check: 2 });
    }
    const data = checkedControl(type, message.data, version, this.protected?.answerFields(this.capabilities) ?? null);
    checkNumbers(type, data);
    const position = this.#book.positionOf(message);
    if (STREAM_TYPES.has(type)) this.protected?.check(message, position, opened, signed);
    if (STREAM_TYPES.has(type) && !DATA_TYPES.has(type)) this.#explain(message, position, payload);
    if (this.protected && !this.protected.takes(message, payload, position, opened, signed)) return;
    this.framesReceived++;
    if (spoken && !NO_BEGINNING.has(type) && this.#react("frame") === "assume") this.#assume(version, events);
    if (this.#isRepetition(message)) return;
    if (DATA_TYPES.has(type)) {
      if (position) giveName(message.data, position.stream);
      const marked = this.protected?.marked(message, position, opened, signed) ?? message;
      events.push({ kind: "received", message: marked, position });
    } else if (position) {
      events.push({ kind: "explained", position, timestamp: message.timestamp as bigint });
      this.acknowledge(message);
    } else {
      this.#control(message, data, payload, now, events);
      this.acknowledge(message);
    }
  }

  /** Processes a message that describes a stream. @throws ProtocolError (check 12) it has no stream, or another one */
  #explain({ type, data, streamId = 0 }: Message, position: StreamPosition | null, payload: Uint8Array): void {
    if (!position?.number) throw invalid(`this message of a stream has no ${position ? "sequence" : "stream"}`, 12);
    if (type === MessageType.STREAM_TEMPLATE) this.#book.learn(streamId, data, payload);
  }

  // --- fragments ---

  #fragmentsOwner(): FragmentsOwner {
    return {
      maxPayload: this.#settings.maxPayload,
      readUndecoded: (bytes) => {
        const [frame] = this.#receiver.frames(bytes, MAX_CONTROL_PAYLOAD, undefined, EVERY_FRAME);
        return frame;
      },
      refuse: (error, now, events, header) => this.#refuse(error, now, events, header),
      isClosing: () => this.closing !== null,
    };
  }

  // --- sealed and signed frames ---

  #protectedOwner(): ProtectedOwner {
    return {
      maxPayload: this.#settings.maxPayload,
      sealed: this.sealed,
      signatures: this.signatures,
      isClosing: () => this.closing !== null,
      take: (frame, now, events, opened, signed) => this.#take(frame, now, events, opened, signed),
      takeTemplate: (place, frame, now, events, opened) => this.#takeTemplate(place, frame, now, events, opened),
      skip: (header, events) => this.#skip(header, events),
      refuse: (error, now, events, header) => this.#refuse(error, now, events, header),
      refuseTemplate: (error, place, now, events) => this.#refuse(inTemplates(error, place), now, events),
      letGo: (header, isRepeated) => this.#letGo(header, isRepeated),
      answer: (data, message, events) => this.#onSubscriptionAck(data, message, events),
      abandon: (reason) => this.#abandon(CloseCode.TRY_LATER, reason),
    };
  }

  /** Lets go of a frame that was received before, or whose key has had too many senders. */
  #letGo(header: Acknowledgeable & Pick<Header, "version">, isRepeated: boolean): void {
    this.framesReceived++;
    const { version, timestamp, flags } = header;
    // Whoever forwards a frame can give it another number: only version 3 knows messages by their time.
    if (!isRepeated || version >= NUMBERED_SINCE || timestamp === null || !(flags & Flag.ACK_REQUIRED)) return;
    if (!this.#seen.has(timestamp) || this.#seen.isHandedOver(timestamp)) this.acknowledge(header);
  }

  /** Counts a frame that was skipped: its message was received before, or its stream is not subscribed any more. */
  #skip(header: Header, events: SessionEvent[]): void {
    this.framesReceived++;
    const position = this.#book.positionOf(header);
    if (position) events.push({ kind: "repeated", position, message: header });
  }

  /** Returns whether this message was received before. If the application has it, acknowledges it again. */
  #isRepetition(message: Message): boolean {
    const { timestamp } = message;
    if (timestamp === null || !(message.flags & Flag.ACK_REQUIRED)) return false;
    if (!this.#seen.has(timestamp)) {
      this.#seen.add(timestamp);
      return false;
    }
    if (this.#seen.isHandedOver(timestamp)) this.acknowledge(message);
    return true;
  }

  #control(message: Message, data: unknown, payload: Uint8Array, now: number, events: SessionEvent[]): void {
    switch (message.type) {
      case MessageType.PING:
        this.#onPing(data, payload, message.frameBytes);
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

  /** Answers with the same payload, unless that would be much larger: arrays are sent back in list form. */
  #onPing(data: unknown, payload: Uint8Array, frameBytes: number): void {
    const header = this.numbered ? HEADER_SIZES[this.version] : 0; // it counts from version 4 on
    const maxPayload = Math.min(SMALL_ECHO - header + ECHO_GROWTH * frameBytes, this.#settings.maxPayload);
    const ndarray = this.capabilities.has(Capability.NDARRAY_BIN) ? "binary" : "list";
    const { pack } = this.#settings.parts;
    let room: Uint8Array;
    try {
      room = pack ? pack(data, { maxPayload, ndarray }) : sameBytes(payload, maxPayload);
    } catch {
      const text = "this PING has a payload that cannot be sent back";
      throw new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, text);
    }
    const isPacked = !pack || ndarray === "list";
    const answer = () => this.#put(MessageType.PONG, isPacked ? room : data, isPacked);
    if (this.#answerLater) this.#answerLater(answer);
    else answer();
  }

  #onPong(data: unknown, message: Message, now: number, events: SessionEvent[]): void {
    const acknowledged = timestampOf(fieldOf(data, "ack"));
    if (acknowledged !== null) {
      this.sending?.acknowledged(acknowledged, data, events);
    } else {
      const echoed = timestampOf(fieldOf(data, "ping"));
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

  /** Answers whether this side supports a version. A VERSION_CHECK with `compatible` is an answer, and gets none. */
  #onVersionCheck({ version, compatible }: VersionCheck): void {
    if (compatible !== undefined) return;
    const versions = [...this.#settings.versions].sort();
    const isSpoken = versions.some((spoken) => spoken === Number(version));
    this.#say(MessageType.VERSION_CHECK, { version, compatible: isSpoken, versions });
  }

  #onNegotiation(data: Offer, events: SessionEvent[]): void {
    if (this.#actionOn("negotiation") === "refuse")
      throw invalid("version and capabilities are agreed already and cannot change", 12);
    if (data.versions === undefined) throw invalid("a server offers a list of versions, not one", 12);
    const answer = choice(this.#settings, data);
    this.#react("negotiation");
    // The answer is a V1 frame, even if another version was assumed.
    this.version = 1;
    this.#sender = this.#senderFor(1, new Set(), LARGEST_LENGTH);
    this.#say(MessageType.PROTOCOL_NEGOTIATION, answer);
    if (data.heartbeat_interval !== undefined) {
      const announced = Number(data.heartbeat_interval);
      this.#heartbeatInterval = Math.min(Math.max(announced, SHORTEST_HEARTBEAT), LONGEST_HEARTBEAT);
    }
    this.#establish(answer.version, new Set(answer.capabilities), events);
    if (data.max_payload !== undefined) {
      const most = Math.min(Number(data.max_payload), LARGEST_LENGTH);
      this.maxPayloadOfPeer = most;
      this.#agreeOnData(most);
    }
  }

  #onSubscriptionAck(data: SubscriptionAnswer, message: Message, events: SessionEvent[]): void {
    const { stream, status, templates = [], keys, rotation } = data;
    const line = numberingOf(data);
    const request = this.numbered && data.history !== undefined ? Number(data.history) : null;
    const isWanted = request === null ? this.#wanted.has(stream) : this.#histories.get(request) === stream; // not if nobody asked, or the stream was unsubscribed meanwhile
    if (request !== null) requireMoment(data, "more");
    if (request !== null && status !== "subscribed" && this.protected?.postpones(request, data, message)) return;
    const takesKeys = isWanted || (rotation && [...this.#histories.values()].includes(stream));
    if (keys && takesKeys) this.#takeKeys(stream, keys, rotation ? null : { request, events });
    if (rotation && status === "subscribed") return;
    if (status !== "subscribed") {
      this.#book.unbind(stream, request);
      if (request !== null) {
        this.#histories.delete(request);
        this.protected?.seals.endHistory(request);
      }
    } else if (line && isWanted) this.#book.bind(line.id, stream, line.epoch, request);
    else if (line) this.#book.note(line.id);
    events.push({
      kind: "answered",
      stream,
      status,
      code: data.code === undefined ? null : Number(data.code),
      reason: data.reason ?? null,
      from: data.from === undefined ? null : microseconds(data.from),
      timestamp: message.timestamp,
      line,
      ...(request !== null && {
        history: {
          request,
          end: data.end === undefined ? null : Number(data.end),
          more: data.more === undefined ? null : microseconds(data.more),
        },
      }),
    });
    if (isWanted) this.#learnAll(stream, templates, request);
  }

  /** Takes the keys of an answer. If they are refused, and somebody waits for the answer, an event says so besides. */
  #takeKeys(
    stream: string,
    keys: readonly AnsweredKey[],
    awaited: { request: number | null; events: SessionEvent[] } | null,
  ): void {
    try {
      this.protected?.seals.takeKeys(stream, keys);
    } catch (error) {
      if (awaited && error instanceof ProtocolError)
        awaited.events.push({ kind: "keys-refused", stream, history: awaited.request, error });
      throw error;
    }
  }

  /**
   * Adds the templates in an answer. Each is a complete frame: an invalid one does not affect the others.
   *
   * @throws ProtocolError (check 12) the first error
   */
  #learnAll(stream: string, frames: readonly Uint8Array[], history: number | null): void {
    let first: ProtocolError | null = null;
    frames.forEach((frame, i) => {
      try {
        this.#learn(stream, frame, i, history);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        first ??= inTemplates(error, i);
      }
    });
    if (first) throw first;
  }

  #learn(stream: string, bytes: Uint8Array, place: number, history: number | null): void {
    const [first, second] = this.#receiver.frames(bytes, MAX_CONTROL_PAYLOAD, undefined, this);
    if (first?.item instanceof ProtocolError) throw first.item;
    const { header } = first ?? {};
    if (second || !header || header.type !== MessageType.STREAM_TEMPLATE)
      throw invalid("not the frame of one STREAM_TEMPLATE", 12);
    const id = this.#book.idOf(stream, history);
    if (id === undefined || header.streamId !== id)
      throw invalid(`a template of the stream id ${header.streamId}; the id of the stream is ${id ?? "unknown"}`, 12);
    // The place in the queue is that of the answer, before the records after it.
    if (first.deferred) this.protected?.add(first.deferred, place, stream);
    else this.#learnTemplate(first, null);
  }

  /** Takes a template of an answer that had to wait. */
  #takeTemplate(place: number, frame: Frame, now: number, events: SessionEvent[], opened: Opened | null) {
    try {
      this.#learnTemplate(frame, opened);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#refuse(inTemplates(error, place), now, events);
    }
  }

  #learnTemplate({ item, payload }: Frame, opened: Opened | null): void {
    if (item instanceof ProtocolError) throw item;
    const { data, streamId = 0 } = item as Message;
    this.protected?.checkSeal(item as Message, this.#book.positionOf(item as Message), opened);
    this.#book.learn(streamId, data, payload as Uint8Array);
  }

  // --- agreeing ---

  /** Treats the server as an old one, which speaks that version and does not negotiate. */
  #assume(version: Version, events: SessionEvent[]): void {
    this.#establish(version, implied(this.#settings, version), events);
  }

  /** Treats a server that does not negotiate as one of the oldest version. Version 4 needs a negotiation. */
  #giveUpNegotiation(events: SessionEvent[]): void {
    const old = this.#settings.versions.filter((version) => version < NUMBERED_SINCE);
    if (old.length === 0) {
      this.end(CloseCode.PROTOCOL_ERROR, `the server does not negotiate, which version ${NUMBERED_SINCE} requires`);
      return;
    }
    this.#react("timeout");
    this.#assume(Math.min(...old) as Version, events);
  }

  #establish(version: Version, capabilities: Set<Capability>, events: SessionEvent[]): void {
    this.version = version;
    this.capabilities = usable(capabilities, version);
    if (version >= NUMBERED_SINCE) this.#receiver = this.#receiverFor(this.#settings.versions);
    this.#sender = this.#senderFor(version, this.capabilities, LARGEST_LENGTH);
    this.#agreeOnData(this.#settings.maxPayload);
    events.push({ kind: "negotiated", version, capabilities: this.capabilities, negotiated: this.negotiated });
  }

  /** @param most bytes of a payload of data */
  #agreeOnData(most: number): void {
    this.sending?.agreed(this.#senderFor(this.version, this.capabilities, most));
  }

  #receiverFor(versions: readonly Version[]): FrameReader {
    const { maxPayload, decompressors, parts } = this.#settings;
    const opens = this.protected !== null;
    return new FrameReader({ maxPayload, versions: [1, ...versions], opens, decompressors }, parts.unpacking);
  }

  #senderFor(version: Version, capabilities: ReadonlySet<Capability>, maxPayload: number): FrameSender {
    const inflates = capabilities.has(Capability.COMPRESSION) && version >= FLAG_SINCE[Flag.COMPRESSED];
    return this.#settings.parts.senderOf({
      version,
      maxPayload,
      compression: inflates ? this.#settings.compression : null,
      ndarray: capabilities.has(Capability.NDARRAY_BIN) ? "binary" : "list",
    });
  }

  // --- errors ---

  /**
   * Reports an error to both sides. Closes if later frames cannot be read either, or after too many errors.
   *
   * A message that was refused over an earlier connection as well does not count, or it would end every connection.
   */
  #refuse(error: ProtocolError, now: number, events: SessionEvent[], header: Header | null = null): void {
    const position = header && this.#book.positionOf(header);
    const isAgain = position !== null && this.#positions.wasRefused(position);
    events.push({ kind: "refused", error, position, timestamp: header?.timestamp ?? null, isAgain });
    const message = error.message.slice(0, LONGEST_TEXT).toWellFormed();
    const details = error.reason === null ? {} : { details: { reason: error.reason } };
    this.#say(MessageType.ERROR, { code: error.code, message, ...details });
    this.#errorTimes = this.#errorTimes.filter((time) => now - time <= ERROR_WINDOW);
    if (!isAgain) this.#errorTimes.push(now);
    const isFatal = error.check !== null && error.check <= LAST_FATAL_CHECK;
    if (isFatal && error.code === ErrorCode.MESSAGE_TOO_LARGE) this.end(CloseCode.TOO_LARGE, message);
    else if (isFatal || this.#errorTimes.length >= ERROR_BUDGET) this.end(CloseCode.PROTOCOL_ERROR, message);
  }

  /** Closes at once: the server is silent, or too slow for frames that must not be dropped. */
  #abandon(code: CloseCode, reason: string): void {
    this.#react("abandon");
    this.#discard(code, reason);
  }

  /** Discards everything that waits, and closes. */
  #discard(code: CloseCode, reason: string): void {
    this.#queue.clear();
    this.protected?.clear();
    this.closing ??= { code, reason };
  }

  // --- sending ---

  /** Queues a control message. These are small, so no limit applies. */
  #say(type: MessageType, data: unknown): void {
    this.#put(type, data, false);
  }

  #put(type: MessageType, content: unknown, isPacked: boolean): void {
    const timestamp = this.#clock.next();
    if (this.#isEnding()) return;
    const options = this.version >= 3 ? { timestamp } : {};
    const frame = isPacked
      ? this.#sender.frame(type, content as Uint8Array, options)
      : this.#sender.encode(type, content, options);
    const deflated = this.version >= FLAG_SINCE[Flag.COMPRESSED] && (frame[2] & Flag.COMPRESSED) !== 0;
    this.#enqueue({ frame, type, timestamp, tier: tierOf(type, 0), acknowledged: false, deflated });
  }

  #dataOwner(): DataSendingOwner {
    return {
      session: this,
      isEnding: () => this.#isEnding(),
      enqueue: (outgoing) => this.#enqueue(outgoing),
    };
  }

  #isEnding(): boolean {
    return this.#actionOn("send") === "ignore";
  }

  #enqueue(outgoing: Outgoing): void {
    this.#queue.put(outgoing);
    const { frames, bytes } = this.#queue;
    const room = this.#settings.queueBytes + 2 * this.#settings.maxPayload; // beyond the limit, only one of each kind
    if (frames > this.#settings.queueFrames || (frames > 1 && bytes > room)) {
      this.#abandon(CloseCode.TRY_LATER, `${frames} frames of ${bytes} bytes wait to be sent`);
    }
  }
}

/** Returns a payload that is sent back as it came. @throws RangeError it is too large */
function sameBytes(payload: Uint8Array, most: number): Uint8Array {
  if (payload.length > most) throw new RangeError(`${payload.length} bytes; the limit is ${most}`);
  return payload.slice();
}

function transition(phase: Phase, trigger: Trigger): Transition {
  const found = TRANSITIONS[phase][trigger];
  if (!found) throw new Error(`${trigger} cannot happen in the phase ${phase}`);
  return found;
}

function invalid(text: string, check: number | null): ProtocolError {
  return new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, text, check === null ? {} : { check });
}

function tooMany(): Frame {
  const text = `more than ${MAX_BATCH_FRAMES} frames in one message`;
  const item = new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, text, { check: 4 });
  return { header: null, item, payload: null, trailer: null, deferred: null };
}

/** Returns the error of a template in an answer. */
function inTemplates(error: ProtocolError, place: number): ProtocolError {
  const path = pathText(["templates", place]);
  const reason = error.reason === null ? {} : { reason: error.reason };
  return new ProtocolError(error.code, `${path}: ${error.message}`, { check: 12, path, ...reason });
}

/** Returns id, epoch and next of an answer; null if it has none. @throws ProtocolError (check 12) it has only some */
function numberingOf({ id, epoch, next, ended }: SubscriptionAnswer): (StreamNumbers & { id: number }) | null {
  if (id !== undefined && epoch !== undefined && next !== undefined) return { id, epoch, next, ended: ended ?? null };
  if (id === undefined && epoch === undefined && next === undefined) return null;
  const text = "SUBSCRIPTION_ACK has only some of id, epoch and next";
  throw new ProtocolError(ErrorCode.MISSING_REQUIRED_FIELDS, text, { check: 12, path: ROOT });
}

/** Adds the name of the stream to a message that lacks it; the header has only the id. */
function giveName(data: unknown, stream: string): void {
  if (data instanceof Map) {
    if (!data.has("stream")) data.set("stream", stream);
  } else if (isPlain(data) && fieldOf(data, "stream") === undefined) {
    data.stream = stream;
  }
}

/** A timestamp as packers write it: an integer, or a float of the same value. */
function timestampOf(value: unknown): bigint | null {
  if (typeof value === "bigint") return value;
  return typeof value === "number" && Number.isInteger(value) ? BigInt(value) : null;
}

function joined(batch: readonly Leaving[]): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(batch.reduce((size, { bytes }) => size + bytes.length, 0));
  let at = 0;
  for (const { bytes } of batch) {
    message.set(bytes, at);
    at += bytes.length;
  }
  return message;
}
