/**
 * The frames of a connection that wait: sealed ones until they are opened, signed ones until their signature is verified,
 * and others behind them. They are taken in the order of arrival, in two lanes: urgent messages wait for urgent ones only.
 *
 * Frames that are sealed with an unknown key are held aside, as their key may be on its way, and the later ones of their
 * stream in order with them.
 */
import type { DeferredFrame, Frame, Header } from "../codec/protocol-handler.js";
import type { NotOpened, Opened } from "../codec/seal.js";
import type { Signature } from "../codec/signing.js";
import type { ProtocolError } from "../errors.js";
import { Flag, MAX_HELD_BYTES, MAX_HELD_FRAMES, MessageType, STREAM_TYPES } from "../protocol.js";
import { isOfSealed, keyIdOf, SEALED_SINCE } from "./sealed-frames.js";

/** Number of frames that are opened at the same time. */
const UNDER_WAY = 64;
/** Bytes that a waiting frame counts for, beside its own: many small ones are also too much. */
const FRAME_COST = 256;
/** For how many seconds frames of an unknown key are held. */
const HELD_SECONDS = 10;

/** The result of opening a payload: an object of `Opened`, the reason why it was not opened, or the error. */
export type Outcome = Opened | NotOpened | ProtocolError;

/** What is known of a signature. */
export interface SignedBy {
  readonly signature: Signature;
  /** Name of the key, 8 bytes. */
  readonly signer: Uint8Array;
  /** Digest of the message, in hexadecimal; null for an attestation. */
  readonly digest: string | null;
}

/** What is to be verified: the trailer of a message, or an attestation. */
export interface Unverified {
  readonly stream: string;
  /** Epoch of the stream; null for a message of no stream. */
  readonly epoch: number | null;
  readonly type: MessageType;
  readonly form: number;
  /** Without the trailer, and of a record without filter. */
  readonly payload: Uint8Array;
  /** Null for an attestation. */
  readonly trailer: Uint8Array | null;
}

/** A frame that waits. */
export interface Arrival {
  readonly frame: DeferredFrame;
  /** Name of the stream; null if the header names none, as in version 3. */
  readonly stream: string | null;
  /** The request of the history to which the frame belongs; null for what is live. */
  readonly history: number | null;
  /** Of a template in an answer: its place there. */
  readonly place: number | null;
  /** What opening it had as a result; undefined until it is known, and null if the frame is not sealed. */
  outcome: Outcome | null | undefined;
  /** What verifying its signature had as a result; undefined until it is known. */
  verdict: SignedBy | ProtocolError | undefined;
  /** The decoded frame, while its signature is verified. */
  decoded: Frame | null;
  isUnderWay: boolean;
  /** If its key is unknown: until when it is held; null if it is held behind such a frame. */
  heldUntil: number | null;
}

export class Arrivals {
  readonly #urgent: Arrival[] = [];
  readonly #ordered: Arrival[] = [];
  #held: Arrival[] = [];
  #heldBytes = 0;
  #underWay = 0;
  #cost = 0;

  /** Bytes of the waiting frames, with what each costs beside them. */
  get cost(): number {
    return this.#cost;
  }

  /** Number of frames that wait, without those that are held. */
  get size(): number {
    return this.#urgent.length + this.#ordered.length;
  }

  /** Number of frames that are held because their key is not known. */
  get held(): number {
    return this.#held.length;
  }

  /** Returns true if a frame has to wait for others: of a stream, or a PING, which is answered once they are taken. */
  mustWait(header: Header): boolean {
    if (!STREAM_TYPES.has(header.type) && header.type !== MessageType.PING) return false;
    return this.#laneOf(header).length > 0;
  }

  add(frame: DeferredFrame, stream: string | null, history: number | null, place: number | null = null): void {
    const isSealed = isOfSealed(frame.header);
    this.#put({
      frame,
      stream,
      history,
      place,
      outcome: isSealed ? undefined : null,
      verdict: undefined,
      decoded: null,
      isUnderWay: false,
      heldUntil: null,
    });
  }

  #put(arrival: Arrival): void {
    this.#laneOf(arrival.frame.header).push(arrival);
    this.#cost += costOf(arrival);
  }

  /** Returns the frames that are to be opened now. */
  start(): Arrival[] {
    const started: Arrival[] = [];
    for (const lane of [this.#urgent, this.#ordered])
      for (const arrival of lane) {
        if (this.#underWay >= UNDER_WAY) return started;
        if (arrival.outcome !== undefined || arrival.isUnderWay) continue;
        arrival.isUnderWay = true;
        this.#underWay++;
        started.push(arrival);
      }
    return started;
  }

  /** Notes the result of opening a frame. */
  opened(arrival: Arrival, outcome: Outcome): void {
    if (!arrival.isUnderWay) return;
    arrival.isUnderWay = false;
    arrival.outcome = outcome;
    this.#underWay--;
  }

  /** Returns true if frames of a history wait. */
  hasOfHistory(request: number): boolean {
    return [...this.#urgent, ...this.#ordered].some(({ history }) => history === request);
  }

  /** Removes and returns the next frame whose turn it is; undefined if the first of both lanes are still being opened. */
  next(): Arrival | undefined {
    for (const lane of [this.#urgent, this.#ordered]) {
      const first = lane[0];
      if (!first || first.outcome === undefined || first.isUnderWay) continue;
      lane.shift();
      this.#cost -= costOf(first);
      return first;
    }
    return undefined;
  }

  /** Puts a frame back as the next of its lane, until its signature is verified. */
  putBack(arrival: Arrival, decoded: Frame): void {
    arrival.decoded = decoded;
    arrival.isUnderWay = true;
    this.#underWay++;
    this.#returnToLane(arrival);
  }

  /** Notes the result of verifying a signature. */
  verified(arrival: Arrival, verdict: SignedBy | ProtocolError): void {
    if (!arrival.isUnderWay) return;
    arrival.isUnderWay = false;
    arrival.verdict = verdict;
    this.#underWay--;
  }

  // --- frames of unknown keys ---

  /** Holds a frame whose key is not known. Returns false if too many are held already. */
  hold(arrival: Arrival, now: number): boolean {
    if (!this.#hasRoomFor(arrival)) return false;
    arrival.outcome = undefined;
    this.#keep(arrival, now + HELD_SECONDS);
    return true;
  }

  /**
   * Holds a frame whose turn it is if one before it in its stream is held. If too many are held already, those before it are
   * given up.
   *
   * @returns whether the frame is not to be taken now, and how many frames were given up
   */
  holdBehind(arrival: Arrival): { isHeld: boolean; givenUp: number } {
    const { header } = arrival.frame;
    const isBehind = (one: Arrival) => !isUrgent(header) && isBefore(one, header);
    if (!this.#held.some(isBehind)) return { isHeld: false, givenUp: 0 };
    if (this.#hasRoomFor(arrival)) {
      this.#keep(arrival, null);
      return { isHeld: true, givenUp: 0 };
    }
    const givenUp = this.#unhold((one) => one.heldUntil !== null && isBehind(one)).length;
    this.#returnToLane(arrival);
    this.#releaseFollowers();
    return { isHeld: true, givenUp };
  }

  /** When the oldest frame of an unknown key is discarded; infinite if none is held. */
  get heldUntil(): number {
    return this.#held.find(({ heldUntil }) => heldUntil !== null)?.heldUntil ?? Number.POSITIVE_INFINITY;
  }

  /** Lets go of the frames that were held long enough. Returns how many. */
  letGo(now: number): number {
    if (this.heldUntil > now) return 0;
    const late = this.#unhold(({ heldUntil }) => heldUntil !== null && heldUntil <= now);
    this.#releaseFollowers();
    return late.length;
  }

  /** Puts the held frames whose keys are known now in front of those that wait, in their order. */
  retry(isKnown: (keyId: number) => boolean): void {
    if (!this.#held.some((one) => one.heldUntil !== null && isKnown(keyIdOf(one)))) return;
    for (const one of this.#held) if (one.heldUntil !== null && isKnown(keyIdOf(one))) one.heldUntil = null;
    this.#releaseFollowers();
  }

  #hasRoomFor({ frame }: Arrival): boolean {
    return this.#held.length < MAX_HELD_FRAMES && this.#heldBytes + frame.payload.length <= MAX_HELD_BYTES;
  }

  #keep(arrival: Arrival, heldUntil: number | null): void {
    arrival.heldUntil = heldUntil;
    this.#held.push(arrival);
    this.#heldBytes += arrival.frame.payload.length;
  }

  /** Puts frames back in front of those that wait, unless one before them in their stream has to be held on. */
  #releaseFollowers(): void {
    const blocking: Arrival[] = [];
    const released = this.#unhold((one) => {
      const { header } = one.frame;
      const stays =
        one.heldUntil !== null || (!isUrgent(header) && blocking.some((before) => isBefore(before, header)));
      if (stays) blocking.push(one);
      return !stays;
    });
    for (const arrival of released.reverse()) this.#returnToLane(arrival);
  }

  #returnToLane(arrival: Arrival): void {
    this.#laneOf(arrival.frame.header).unshift(arrival);
    this.#cost += costOf(arrival);
  }

  #unhold(isOne: (arrival: Arrival) => boolean): Arrival[] {
    const found: Arrival[] = [];
    const kept: Arrival[] = [];
    for (const arrival of this.#held) (isOne(arrival) ? found : kept).push(arrival);
    this.#held = kept;
    for (const { frame } of found) this.#heldBytes -= frame.payload.length;
    return found;
  }

  /** Forgets everything, as the connection ends. */
  clear(): void {
    for (const lane of [this.#urgent, this.#ordered]) lane.length = 0;
    this.#held = [];
    this.#heldBytes = this.#cost = 0;
  }

  #laneOf(header: Header): Arrival[] {
    return isUrgent(header) ? this.#urgent : this.#ordered;
  }
}

/** Returns true if a held frame is before another one in its stream; version 3 has no stream in the header. */
function isBefore({ frame: { header } }: Arrival, { streamId = 0 }: Header): boolean {
  return streamId !== 0 && header.streamId === streamId && !isUrgent(header);
}

function isUrgent({ type, flags, version }: Header): boolean {
  return type === MessageType.ANOMALY_ALERT || (version >= SEALED_SINCE && (flags & Flag.PRIORITY) !== 0);
}

function costOf({ frame }: Arrival): number {
  return frame.payload.length + FRAME_COST;
}
