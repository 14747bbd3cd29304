/**
 * The sealed and signed frames of a session: they wait until they are opened and verified, and others behind them. A session
 * that only receives plain messages does without.
 */

import type { AnswerFields, SubscriptionAnswer } from "../codec/control-messages.js";
import { fieldOf } from "../codec/fields.js";
import type { DeferredFrame, Frame, Header, Message } from "../codec/frame-reader.js";
import { HANDED_KEYS } from "../codec/handed-keys.js";
import { quoted } from "../codec/path.js";
import type { Opened } from "../codec/seal.js";
import { ProtocolError } from "../errors.js";
import { Capability, ErrorCode, Flag, Form, MessageType } from "../protocol.js";
import { type Arrival, Arrivals, type Outcome, type SignedBy, type Unverified } from "./arrivals.js";
import type { Acknowledgeable, SessionEvent } from "./events.js";
import { isOfSealed, keyIdOf } from "./sealed-frames.js";
import type { StreamBook, StreamPosition } from "./stream-book.js";
import type { NotTaken, SealCounts, SignatureCounts, StreamSeals } from "./stream-seals.js";

/** Number of unknown keys that are asked for over one connection. */
const MOST_ASKED_KEYS = 64;

/** Bytes of frames that wait to be opened, beyond which the connection is closed, besides one payload. */
const MOST_WAITING = 16 * 1024 * 1024;

/** The first version with numbered messages. */
const NUMBERED_SINCE = 4;

/** The session whose frames they are. */
export interface ProtectedOwner {
  readonly maxPayload: number;
  readonly sealed: SealCounts;
  readonly signatures: SignatureCounts;
  isClosing(): boolean;
  /** Processes a frame whose turn it is. */
  take(frame: Frame, now: number, events: SessionEvent[], opened: Opened | null, signed: SignedBy | null): void;
  /** The same for a template of an answer. @param place its place there */
  takeTemplate(place: number, frame: Frame, now: number, events: SessionEvent[], opened: Opened | null): void;
  /** Counts a frame that is not read. */
  skip(header: Header, events: SessionEvent[]): void;
  refuse(error: ProtocolError, now: number, events: SessionEvent[], header: Header | null): void;
  refuseTemplate(error: ProtocolError, place: number, now: number, events: SessionEvent[]): void;
  /** Lets go of a message that is not taken. */
  letGo(header: Acknowledgeable & Pick<Header, "version">, isRepeated: boolean): void;
  /** Processes an answer that was postponed. */
  answer(data: SubscriptionAnswer, message: Message, events: SessionEvent[]): void;
  /** Closes the connection, as too much waits. */
  abandon(reason: string): void;
}

export class ProtectedFrames {
  readonly seals: StreamSeals;
  readonly #book: StreamBook;
  readonly #owner: ProtectedOwner;
  readonly #arrivals = new Arrivals();
  readonly #askedKeys = new Set<number>();
  /** Answers that end histories of which frames are still being opened. */
  readonly #endings: [SubscriptionAnswer, Message][] = [];

  constructor(seals: StreamSeals, book: StreamBook, owner: ProtectedOwner) {
    this.seals = seals;
    this.#book = book;
    this.#owner = owner;
  }

  /** The fields that answers have besides; null if `encryption` was not agreed on. */
  answerFields(capabilities: ReadonlySet<Capability>): AnswerFields | null {
    return capabilities.has(Capability.ENCRYPTION) ? HANDED_KEYS : null;
  }

  // --- frames that wait ---

  /** Returns true if a frame waits: to be opened or verified, or behind others that wait. */
  defers(header: Header): boolean {
    if (header.version >= NUMBERED_SINCE && header.flags & Flag.FRAGMENT) return false;
    return isOfSealed(header) || this.#mustVerify(header) || this.#arrivals.mustWait(header);
  }

  /**
   * Adds a frame that waits.
   *
   * @param place of a template in an answer: its place there
   * @param stream null if the header names none, as in version 3
   */
  add(
    frame: DeferredFrame,
    place: number | null = null,
    stream: string | null = this.#book.nameOf(frame.header.streamId ?? 0) ?? null,
  ): void {
    this.#arrivals.add(frame, stream, this.#book.positionOf(frame.header)?.history ?? null, place);
    if (this.#arrivals.cost > MOST_WAITING + this.#owner.maxPayload)
      this.#owner.abandon(`${this.#arrivals.size} frames wait to be opened`);
  }

  /** Takes the result of verifying a message of the event "signed". */
  verified(arrival: Arrival, verdict: SignedBy | ProtocolError, now: number): SessionEvent[] {
    this.#arrivals.verified(arrival, verdict);
    return this.#next(now);
  }

  /** Takes the result of opening a frame of the event "sealed". */
  opened(arrival: Arrival, outcome: Outcome, now: number): SessionEvent[] {
    this.#arrivals.opened(arrival, outcome);
    return this.#next(now);
  }

  #next(now: number): SessionEvent[] {
    const events: SessionEvent[] = [];
    this.goOn(now, events);
    return events;
  }

  /** When the oldest frame of an unknown key is discarded; infinite if none is held. */
  get heldUntil(): number {
    return this.#arrivals.heldUntil;
  }

  /** Lets go of what was held long enough, and takes the others. */
  tick(now: number, events: SessionEvent[]): void {
    this.#owner.sealed.unknownKey += this.#arrivals.letGo(now);
    this.goOn(now, events);
  }

  /** Takes the frames whose turn it is, and starts opening others. */
  goOn(now: number, events: SessionEvent[]): void {
    const arrivals = this.#arrivals;
    arrivals.retry((keyId) => this.seals.knows(keyId));
    for (let next = arrivals.next(); next && !this.#owner.isClosing(); next = arrivals.next())
      this.#take(next, now, events);
    if (this.#owner.isClosing()) return;
    for (const arrival of arrivals.start()) events.push({ kind: "sealed", arrival });
    for (const [data, message] of this.#endings.splice(0)) this.#owner.answer(data, message, events);
  }

  /** Returns true if the answer that ends a history waits until the frames of that are opened. */
  postpones(request: number, data: SubscriptionAnswer, message: Message): boolean {
    const isEarly = this.#arrivals.hasOfHistory(request);
    if (isEarly) this.#endings.push([data, message]);
    return isEarly;
  }

  /** Forgets everything, as the connection ends. */
  clear(): void {
    this.#arrivals.clear();
  }

  #take(arrival: Arrival, now: number, events: SessionEvent[]): void {
    const { outcome, place, frame } = arrival;
    const { header } = frame;
    if (this.#isNotWanted(arrival)) {
      if (place === null) this.#owner.skip(header, events);
    } else if (outcome instanceof ProtocolError) {
      if (place === null) this.#owner.refuse(outcome, now, events, header);
      else this.#owner.refuseTemplate(outcome, place, now, events);
    } else if (outcome === "unknown key") {
      const position = this.#book.positionOf(header);
      if (position?.history === undefined) this.#hold(arrival, now, events);
      else {
        this.#owner.sealed.unknownKey++;
        if (place === null) events.push({ kind: "unopened", position });
      }
    } else if (typeof outcome === "string") {
      this.#letGo(header, outcome);
    } else {
      const { isHeld, givenUp } = this.#arrivals.holdBehind(arrival);
      this.#owner.sealed.unknownKey += givenUp;
      if (!isHeld) this.#takeOpened(arrival, outcome ?? null, now, events);
    }
  }

  #takeOpened(arrival: Arrival, opened: Opened | null, now: number, events: SessionEvent[]): void {
    const { place, frame, verdict = null } = arrival;
    const decoded = arrival.decoded ?? frame.decode(opened?.payload ?? null);
    if (verdict === null && this.#mustVerify(frame.header) && !(decoded.item instanceof ProtocolError)) {
      this.#arrivals.putBack(arrival, decoded);
      events.push({ kind: "signed", arrival, unverified: this.#unverified(decoded) });
    } else if (verdict instanceof ProtocolError) {
      this.#owner.signatures.refused++;
      this.#owner.refuse(verdict, now, events, place === null ? frame.header : null);
    } else if (place === null) this.#owner.take(decoded, now, events, opened, verdict);
    else this.#owner.takeTemplate(place, decoded, now, events, opened);
  }

  /** Returns true if a message was received, or its stream unsubscribed, while its frame waited. */
  #isNotWanted({ frame: { header }, place, stream, history }: Arrival): boolean {
    if (place !== null) return this.#book.idOf(stream as string, history) !== header.streamId;
    return (header.streamId ?? 0) !== 0 && !this.#book.admits(header);
  }

  /** Holds a frame whose key is not known, and asks for the key once. */
  #hold(arrival: Arrival, now: number, events: SessionEvent[]): void {
    if (!this.#arrivals.hold(arrival, now)) this.#owner.sealed.unknownKey++;
    const keyId = keyIdOf(arrival);
    if (this.#askedKeys.has(keyId) || this.#askedKeys.size >= MOST_ASKED_KEYS) return;
    this.#askedKeys.add(keyId);
    events.push({ kind: "key-missing", stream: arrival.stream });
  }

  // --- messages whose turn it is ---

  /**
   * Checks that a message is sealed and signed as its stream has to be.
   *
   * @throws ProtocolError 0x202: check 8 for the seal, check 14 for the signature
   */
  check(message: Message, position: StreamPosition | null, opened: Opened | null, signed: SignedBy | null): void {
    this.checkSeal(message, position, opened);
    this.#checkSigned(message.type, signed);
  }

  /** Checks that a message of a sealed stream was sealed, and with a key of that stream. */
  checkSeal({ type, data, streamId }: Message, position: StreamPosition | null, opened: Opened | null): void {
    if (opened) {
      this.seals.check(opened, data, streamId ? 4 : 3);
      return;
    }
    const named = position?.stream ?? fieldOf(data, "stream");
    if (typeof named !== "string" || !this.seals.isSealed(named)) return;
    this.#owner.sealed.plain++;
    throw plainRefused(type, named);
  }

  /** @throws ProtocolError 0x202, check 14, if a message of that type has to be signed by a known signer, and is not */
  #checkSigned(type: MessageType, signed: SignedBy | null): void {
    if (signed?.signature === "valid" || !this.seals.requiresSignature(type)) return;
    this.#owner.signatures.refused++;
    const why = signed ? "is signed by nobody known" : "is not signed";
    const text = `a message of type 0x${type.toString(16).padStart(2, "0")} ${why}`;
    const reason = signed ? "signer" : "signature";
    throw new ProtocolError(ErrorCode.AUTHENTICATION_FAILED, text, { check: 14, reason });
  }

  /** Enters a message that was checked. Returns false if it is discarded: it was received before, or has too many senders. */
  takes(
    message: Message,
    payload: Uint8Array,
    position: StreamPosition | null,
    opened: Opened | null,
    signed: SignedBy | null,
  ): boolean {
    const history = position?.history ?? null;
    const notTaken = opened && this.seals.take(opened, history);
    const proven = signed?.signature === "valid" && signed.digest; // a signature that proves nothing lets nothing go
    if (notTaken) {
      this.#letGo(message, notTaken);
      return false;
    }
    if (proven && !this.seals.takeDigest(position?.stream ?? "", proven, history)) {
      this.#letGo(message, "repeated");
      return false;
    }
    const { sealed, signatures } = this.#owner;
    if (opened) sealed.opened++;
    if (signed?.digest) signatures[signed.signature === "valid" ? "valid" : "unknownSigner"]++;
    if (position && history === null && !signed && this.seals.verifies) this.#noteUnsigned(message, payload, position);
    return true;
  }

  /** Returns the message with what opening and verifying have shown. */
  marked(message: Message, position: StreamPosition | null, opened: Opened | null, signed: SignedBy | null): Message {
    const stream = opened?.key.stream ?? position?.stream ?? "";
    const isStale = position?.history === undefined && (opened || signed) && this.seals.isStale(stream, message.data);
    if (!isStale && !signed) return message;
    const { signature, signer } = signed ?? {};
    return { ...message, ...(isStale && { stale: true }), ...(signature && { signature }), ...(signer && { signer }) };
  }

  #letGo(header: Acknowledgeable & Pick<Header, "version">, why: NotTaken): void {
    this.#owner.sealed[why === "repeated" ? "repeated" : "tooManySenders"]++;
    this.#owner.letGo(header, why === "repeated");
  }

  // --- signatures ---

  #mustVerify(header: Header): boolean {
    if (!this.seals.verifies || header.version < NUMBERED_SINCE) return false;
    if (header.flags & Flag.SIGNED) return true;
    return header.type === MessageType.STREAM_ATTESTATION && this.#book.positionOf(header)?.history === undefined;
  }

  #unverified({ header, payload, trailer }: Frame): Unverified {
    const { type, form = 0 } = header as Header;
    const position = this.#book.positionOf(header as Header);
    const body = this.#unfiltered(header as Header, payload as Uint8Array);
    return { stream: position?.stream ?? "", epoch: position?.epoch ?? null, type, form, payload: body, trailer };
  }

  /** Returns the payload of which signatures are made: that of a record without filter. */
  #unfiltered({ form = 0, streamId = 0 }: Pick<Header, "form" | "streamId">, payload: Uint8Array): Uint8Array {
    if (!(form & Form.RECORD)) return payload;
    const template = this.#book.get(streamId, (payload[0] << 8) | payload[1]);
    return template?.unfiltered?.(payload, this.#owner.maxPayload) ?? payload;
  }

  #noteUnsigned(message: Message, payload: Uint8Array, position: StreamPosition): void {
    const { type, form = 0 } = message;
    if (type !== MessageType.STREAM_ATTESTATION)
      this.seals.noteUnsigned(position, type, form, this.#unfiltered(message, payload));
  }
}

function plainRefused(type: MessageType, stream: string): ProtocolError {
  const text = `a plain message of type 0x${type.toString(16).padStart(2, "0")} of a sealed stream, ${quoted(stream)}`;
  return new ProtocolError(ErrorCode.AUTHENTICATION_FAILED, text, { check: 8, reason: "plain" });
}
